//! A `[[runners]]` entry of `config.toml`: which ones are meant, and what in them stands in the way.

mod allowed;
mod daemon;
mod services;
mod wall;

use std::collections::BTreeSet;

use anyhow::Result;
use toml_edit::Item;

use super::settings::{ConfigSection, Setting};
use crate::change::Notes;
use crate::fault::fault;
use crate::profile::suggest;
use crate::runner_config::{
    DOCKER, EXECUTORS, NO_ADDRESS, NO_TOKEN, Runner, Volume, identity, sections, table_of,
};
use crate::text::toml_patch::Scalar;

/// The runners that are meant: those that were named, else those with one of the executors.
///
/// # Errors
/// When a name fits none or several.
pub(super) fn select<'r, 'a>(
    runners: &'r [Runner<'a>],
    executors: &[String],
    names: &[String],
    shown: &str,
) -> Result<Vec<&'r Runner<'a>>> {
    if names.is_empty() {
        let meant = |runner: &&Runner<'_>| {
            executors.iter().any(|name| Some(name.as_str()) == runner.text("executor"))
        };
        return Ok(runners.iter().filter(meant).collect());
    }
    let mut meant: Vec<&Runner<'a>> = Vec::new();
    for name in names {
        let found: Vec<&Runner<'a>> = runners.iter().filter(|runner| runner.is_called(name)).collect();
        match found[..] {
            [one] => meant.push(one),
            [] => {
                let known: Vec<&str> = runners.iter().filter_map(|runner| runner.text("name")).collect();
                let all = runners.iter().map(Runner::title).collect::<Vec<_>>().join(", ");
                let all = if all.is_empty() { "none".to_owned() } else { all };
                let near = suggest(name, &known);
                let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                let what = format!("{shown} has no runner with the name or id {name:?}{near}");
                return Err(fault("runner-unknown", what, mend!("its runners are: {}", all)));
            }
            _ => {
                let what = format!("{shown} has {} runners with the name or id {name:?}", found.len());
                let repair = "name the one that is meant by its id, or give the runners different names";
                return Err(fault("runner-ambiguous", what, repair));
            }
        }
    }
    meant.sort_by_key(|runner| runner.index);
    meant.dedup_by_key(|runner| runner.index);
    Ok(meant)
}

/// A runner that can't ask GitLab for jobs gets none, whatever else is right. An entry without an address is one that
/// something else will complete.
pub(super) fn check_asks(runner: &Runner<'_>, notes: &mut Notes) {
    if runner.has_token() && runner.has_odd_address() {
        notes.examined("runner-url", NO_ADDRESS, "let its `url` be that of GitLab, as https://gitlab.com");
    }
    if !runner.has_token() && runner.table.contains_key("url") {
        notes.examined("token-missing", NO_TOKEN, "register it again: $ gitlab-runner register");
    }
}

/// A table that is for other executors means nothing to this runner: what a profile puts there would have no effect.
pub(super) fn check_reads(runner: &Runner<'_>, section: &str, shown: &str) -> Result<()> {
    let executor = runner.text("executor").unwrap_or_default();
    let table = table_of(section);
    let readers: Vec<&str> = EXECUTORS.into_iter().filter(|one| sections(one).contains(&table)).collect();
    if readers.is_empty() || readers.contains(&executor) {
        return Ok(());
    }
    Err(fault(
        "runner-executor",
        format!("{shown}: {} has the executor {executor:?}, which does not read [{table}]", runner.title()),
        mend!("name a runner with one of the executors {}", readers.join(", ")),
    ))
}

/// Docker-in-Docker and the host's own socket exclude each other: volumes go to services too, and
/// `docker` in the job prefers the socket. It does not matter which of them the profile brings, or both.
pub(super) fn refuse_clash(
    runner: &Runner<'_>,
    config: &ConfigSection,
    shown: &str,
    notes: &mut Notes,
) -> Result<()> {
    let found: Vec<Volume<'_>> = runner.docker_strings("volumes").into_iter().map(Volume::parse).collect();
    let asked: Vec<Volume<'_>> =
        config.list(DOCKER, "volumes").iter().map(|element| Volume::parse(element)).collect();
    let asks_dind = config.brings_dind() || asked.iter().any(Volume::is_for_dind);
    let has_dind =
        runner.docker_flag("services_privileged") == Some(true) || found.iter().any(Volume::is_for_dind);
    let clash = if asks_dind {
        socket_among(&found, "docker.volumes")
            .or_else(|| socket_among(&asked, "docker.volumes of the profile"))
    } else {
        socket_among(&asked, "docker.volumes of the profile").filter(|_| has_dind)
    };
    if let Some(Mounted { place, what, harm }) = clash {
        let ways = if !asks_dind {
            "take /certs/client and /runner/services/docker out of its volumes, and services_privileged"
                .into()
        } else if has_dind || harm != FOUND {
            mend!("take {} out", place)
        } else {
            mend!(
                "where its jobs are to use the host's daemon, as now: --profile docker-socket in place of this one. Where \
                 they are to have a daemon of their own: take {} out",
                place
            )
        };
        return Err(fault(
            "docker-sock-and-dind",
            if asks_dind {
                format!(
                    "{shown}: {} mounts {what} ({place}) and is to run Docker-in-Docker: {harm}",
                    runner.title()
                )
            } else {
                format!(
                    "{shown}: {} is set up for Docker-in-Docker and is to mount {what}: {harm}",
                    runner.title()
                )
            },
            ways + ". Or name other runners with --runner",
        ));
    }
    // What shares another path of the host at that place stays.
    let kept = |wanted: &Volume<'_>| {
        found.iter().find(|volume| volume.place() == wanted.place() && volume.host_path().is_some()).copied()
    };
    let asked_socket = |wanted: &Volume<'_>| {
        wanted.daemon_socket()?;
        let volume = kept(wanted).unwrap_or(*wanted);
        Some((volume.daemon_socket()?, volume.is_of_user()))
    };
    if let Some((socket, is_of_user)) = asked.iter().find_map(asked_socket) {
        let who =
            if is_of_user { "has the rights of the user whose daemon it is" } else { "is root on the host" };
        let what = format!("a job that reaches {socket} {who} (docker run -v /:/host)");
        let repair = "keep such a runner for jobs that you would let administer the host";
        notes.warn("root-equivalent-socket", what, repair);
    }
    if config.wants("privileged", true)
        && !config.names("services_privileged")
        && runner.docker_flag("services_privileged") == Some(false)
    {
        notes.harm_by(
            "services-unprivileged",
            "services_privileged",
            "services_privileged = false keeps dind from starting",
            "take services_privileged out, or set it to true",
        );
    }
    let mut bare = asked.iter().filter(|volume| volume.is_for_dind() && volume.source.is_none());
    if runner.docker_flag(DISABLE_CACHE) == Some(true) && bare.next().is_some() {
        notes.harm_by(
            "cache-disabled",
            DISABLE_CACHE,
            "with disable_cache = true gitlab-runner before 18.11 makes no volume without a source: the job then does \
             not find what dind puts there",
            "set disable_cache = false; the job's log says \"cache volumes creation is disabled\" where it does harm",
        );
    }
    Ok(())
}

/// What keeps gitlab-runner from making volumes without a source, before 18.11.
pub(super) const DISABLE_CACHE: &str = "disable_cache";

/// A volume that brings jobs another daemon than that of their service.
struct Mounted {
    place: String,
    what: String,
    harm: &'static str,
}

const FOUND: &str = "volumes go to the service too, and builds would silently use the host's daemon";
const HIDDEN: &str = "under another name, so that clients do not take it by themselves, but a job that does is root on the \
                      host, whatever the profile keeps from it";
const OF_USER: &str = "under another name, so that clients do not take it by themselves, but a job that does has the rights \
                       of the user whose daemon it is";
const UNKNOWN: &str =
    "builds would use the daemon there, if there is one, and else the service can't make its own socket";

/// The one of these volumes that does most harm beside Docker-in-Docker.
fn socket_among(volumes: &[Volume<'_>], key: &str) -> Option<Mounted> {
    let judge = |(index, volume): (usize, &Volume<'_>)| {
        let (rank, what, harm) = match volume.daemon_socket() {
            Some(socket) if volume.is_where_clients_look() => (2, format!("the host's {socket}"), FOUND),
            Some(socket) => {
                (0, format!("the host's {socket}"), if volume.is_of_user() { OF_USER } else { HIDDEN })
            }
            None if volume.takes_socket_place() && volume.host_path().is_some() => {
                (1, "a path of the host where clients look for docker.sock".to_owned(), UNKNOWN)
            }
            None => return None,
        };
        Some((rank, Mounted { place: format!("{key}[{index}]"), what, harm }))
    };
    volumes.iter().enumerate().filter_map(judge).max_by_key(|(rank, _)| *rank).map(|(_, mounted)| mounted)
}

/// The form of the volume that keeps jobs apart.
const BARE: &str = "use the bare /certs/client: one volume for each project and job slot";

/// Values that have no effect where they stand, or share what should not be shared.
pub(super) fn warn(runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
    allowed::warn(runner, config, notes);
    services::warn_of_driver(runner, config, notes);
    daemon::warn(runner, config, notes);
    wall::warn(runner, config, notes);
    for key in ["privileged", "volumes", "image", "tls_verify", "services_privileged"] {
        if runner.table.contains_key(key) {
            notes.examined(
                "config-misplaced",
                format!("`{key}` under [[runners]] has no effect"),
                if runner.docker_item(key).is_some() {
                    mend!("take `{}` out: it stands below [runners.docker] already", key)
                } else {
                    mend!("move `{}` below [runners.docker]", key)
                },
            );
        }
    }
    warn_of_volumes(runner, config, notes);
}

/// Volumes on which every job fails, and those that dind can't use or should not share.
fn warn_of_volumes(runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
    let tmpfs = runner.docker_item("tmpfs").and_then(Item::as_table_like);
    let tmpfs = tmpfs.into_iter().flat_map(|table| table.iter());
    let mut taken: BTreeSet<String> = tmpfs.map(|(path, _)| Volume::parse(path).mount_point()).collect();
    let (found, asked) = (runner.docker_strings("volumes"), config.list(DOCKER, "volumes"));
    let known: BTreeSet<_> = found.iter().map(|one| identity("volumes", one)).collect();
    let is_missing = |wanted: &&str| !known.contains(&identity("volumes", wanted));
    let of_profile: BTreeSet<&str> = asked.iter().map(String::as_str).collect();
    // What the profile wants is said in one way before and after.
    let place = |(index, text): (usize, &'_ str)| {
        if of_profile.contains(text) {
            format!("the volume {text} of the profile")
        } else {
            format!("docker.volumes[{index}]")
        }
    };
    let wanted = asked.iter().map(String::as_str).filter(is_missing);
    let all =
        found.iter().copied().chain(wanted).enumerate().map(|(index, text)| (place((index, text)), text));
    // A daemon of Windows has other paths, and an empty text is passed over.
    let is_judged = |text: &str| !text.is_empty() && !runner.has_executor("docker-windows");
    for (at, text) in all.filter(|(_, text)| is_judged(text)) {
        let volume = Volume::parse(text);
        if !Volume::is_readable(text) {
            notes.harm(
                "volume-refused",
                format!("{at} is no volume to gitlab-runner: every job fails with \"invalid volume specification\""),
                mend!("write {} as /path, /source:/path or name:/path, with nothing but :ro, :rw or :z behind it", at),
            );
            continue;
        }
        let place = volume.mount_point();
        if !taken.insert(place.clone()) {
            notes.harm(
                "volume-refused",
                format!("{at} has the path of another mount: every job fails"),
                mend!("take one of the two out: {}, or what else has that path in `volumes` or `tmpfs`", at),
            );
        }
        match place.as_str() {
            "/certs" | "/certs/ca" => notes.harm(
                "certs-ca-shared",
                format!("the volume {place} hands the certificate authority's key to jobs"),
                mend!("take {} out; all that jobs need of it is the volume /certs/client", at),
            ),
            "/certs/client" if volume.is_read_only => notes.harm(
                "certs-read-only",
                "/certs/client is read-only: dind can't put its certificates there",
                BARE,
            ),
            "/certs/client" if volume.source.is_some() => notes.harm(
                "certs-shared",
                "/certs/client comes from one place for all jobs, which share certificates",
                BARE,
            ),
            _ => {}
        }
    }
}

/// gitlab-runner counts the services of `config.toml` with those of the job: with more of them than the limit
/// every job fails.
pub(super) fn check_limit(
    runner: &Runner<'_>,
    config: &ConfigSection,
    count: usize,
    shown: &str,
) -> Result<()> {
    let asked = match config.setting(DOCKER, "services_limit") {
        Some(Setting::Scalar(Scalar::Integer(limit))) => Some(*limit),
        _ => runner.docker_number("services_limit"),
    };
    match asked.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| count > *limit) {
        None => Ok(()),
        Some(limit) => Err(fault(
            "services-limit",
            format!(
                "{shown}: {} would have {count} services of its own with services_limit = {limit}: every job would \
                 fail with \"too many services requested\"",
                runner.title()
            ),
            "take services out of [[runners.docker.services]] by hand, or give services_limit a higher number",
        )),
    }
}

/// An allow-list of privileged images is only as narrow as its widest element, and elements that are
/// there stay.
pub(super) fn warn_of_extra(runner: &Runner<'_>, key: &str, config: &ConfigSection, notes: &mut Notes) {
    let wanted = config.list(DOCKER, key);
    // Those that open the wall are said by themselves.
    let is_hole = |element: &str| key == wall::LIST && wall::is_hole(element, config);
    let is_extra = |element: &&str| !wanted.iter().any(|wanted| wanted == element) && !is_hole(element);
    let extra: Vec<&str> = runner.docker_strings(key).into_iter().filter(is_extra).collect();
    if !extra.is_empty() {
        let what = format!("{key} also allows {}, which the profile does not ask for", extra.join(", "));
        let repair = mend!("take those elements out of {} by hand if nobody needs them", key);
        notes.warn("allow-list-wider", what, repair);
    }
}
