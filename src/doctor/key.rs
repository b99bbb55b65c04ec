//! The key that jobs push with, beyond what the profile's resource repairs; and the server they push to.

use std::path::Path;

use anyhow::Result;

use super::DoctorContext;
use crate::change::FileKind;
use crate::facts::ssh::{Client, HostKeyFiles, SshVerdict};
use crate::fault::{self, Nature, move_aside};
use crate::finding::Findings;
use crate::resource::weakness;
use crate::text::key_pair::{self, Inspection, public_line};
use crate::text::public_key::PublicKey;

const SSH: &str = ".ssh";

/// The names that ssh tries by itself, and `id_dsa`, which it no longer does.
const NAMES: [&str; 4] = ["id_ed25519", "id_ecdsa", "id_rsa", "id_dsa"];

/// What `ssh-keygen` makes.
const USUAL_RSA_BITS: u32 = 3072;

/// Types and sizes. What servers refuse is told with the profile's own key.
pub(super) fn strength(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(account) = context.account() else { return Ok(()) };
    // What is kept from the account is told with the profile's own key.
    let look = |name: &str, end: &str| match context.facts.home_file(account, &format!("{SSH}/{name}{end}")) {
        Err(error) if fault::is(&error, Nature::Foreign) => Ok(None),
        seen => seen,
    };
    for name in NAMES {
        let Some(private) = look(name, "")?.filter(|seen| seen.kind == FileKind::Regular) else { continue };
        let public = look(name, ".pub")?;
        let path = account.home.join(SSH).join(name);
        let key = match key_pair::inspect(&private.bytes) {
            Inspection::OpenSsh { public, .. } => Some(public.key().clone()),
            _ => {
                public.as_ref().and_then(|seen| public_line(&seen.bytes).ok()).map(|line| line.key().clone())
            }
        };
        let aside = move_aside(&account.name, &path);
        if name == "id_dsa" {
            let what = format!("{} is a DSA key, which GitLab and OpenSSH refuse", path.display());
            findings.note("ssh-key-dsa", what, mend!("jobs do without it; to be rid of it: $ {}", aside));
        } else if let Some(key) = key.filter(|key| weakness(key, &account.name, &path, false).is_none()) {
            weigh(&key, &account.name, &path, findings);
        }
    }
    Ok(())
}

fn weigh(key: &PublicKey, account: &str, path: &Path, findings: &mut Findings) {
    let (aside, path) = (move_aside(account, path), path.display());
    let bits = key.bits();
    if key.kind() != "ssh-rsa" || bits >= USUAL_RSA_BITS {
        findings.fine(format!("{path}: {}, {bits} bits, {}", key.kind(), key.fingerprint()));
    } else {
        findings.note(
            "ssh-key-short",
            format!("{path} is an RSA key of {bits} bits: it works, and is below today's {USUAL_RSA_BITS}"),
            mend!("at the next chance, move it away and make another: $ {}", aside),
        );
    }
}

/// The GitLab server that the runners are registered with is the one they most likely push to.
pub(super) fn server(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    // Whoever names other servers in a profile has thought about where jobs push to.
    let wanted = &context.options.servers;
    let is_default = wanted.iter().all(|host| host.to_string() == "gitlab.com");
    let (mut hosts, mut files, mut unknown) = (Vec::new(), HostKeyFiles::default(), None);
    let Some(account) = context.account() else { return Ok(()) };
    for runner in context.all_runners()? {
        let host = runner.server();
        let Some(host) = host.filter(|host| !hosts.contains(host)) else { continue };
        let verdict = match context.target.ssh(context.facts, &host)? {
            Client::Does(settings) => settings.verdict(context.facts, account, &mut files, &[], None)?,
            // The message is told with the profile's own servers.
            Client::Refuses(_) => SshVerdict::Unknown("ssh does not take its configuration".to_owned()),
            Client::Unknown(why) => SshVerdict::Unknown(why.to_owned()),
        };
        if verdict == SshVerdict::Missing {
            // The address is a value of config.toml: it is not shown.
            let title = runner.title();
            let message = format!(
                "no known_hosts has a key of the server in `url` of {title}: a push to it by SSH is refused"
            );
            let by_hand = "name that server in known_hosts.hosts of a profile, with its key lines".into();
            // What keeps ssh from the keys of a server that the profile names is said there.
            let is_wanted = wanted.contains(&host);
            let (about, repair) = if is_wanted { (String::new(), context.apply()) } else { (title, by_hand) };
            findings.about(about).weigh(is_default, "server-host-key", message, repair);
        }
        hosts.push(host);
        if let SshVerdict::Unknown(why) = verdict {
            unknown = Some(why);
        }
    }
    if let Some(why) = unknown {
        let what = format!("whether the host keys of the registered servers are known can't be told: {why}");
        findings.unknown("ssh-config-unknown", what, "");
    }
    findings.else_fine("the host keys of the registered servers are known");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An RSA key with a modulus of that many bits.
    fn rsa(bits: usize) -> PublicKey {
        let mut modulus = vec![0, 0x80];
        modulus.resize(bits / 8 + 1, 1);
        let fields: [&[u8]; 3] = [b"ssh-rsa", &[1, 0, 1], &modulus];
        let length = |field: &[u8]| u32::try_from(field.len()).unwrap().to_be_bytes();
        let blob: Vec<u8> = fields.iter().flat_map(|field| [&length(field), *field].concat()).collect();
        PublicKey::from_blob(&blob).unwrap()
    }

    #[test]
    fn short_keys_are_named() {
        for (bits, code) in [(2048, "ssh-key-short"), (3072, "ok"), (4096, "ok")] {
            let mut findings = Findings::of("x");
            weigh(&rsa(bits), "ci", Path::new("/k"), &mut findings);
            assert_eq!(findings.into_list()[0].code, code, "{bits}");
        }
    }
}
