//! Images that no runner may pull, and that the Docker daemon does not have.

use anyhow::Result;
use toml_edit::{Item, TableLike};

use super::{DoctorContext, docker};
use crate::facts::machine;
use crate::finding::Findings;
use crate::runner_config;

/// Look for each image that config.toml names where the one policy is never to pull.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for (runner, socket) in docker::runners(context)? {
        let (Some(table), Some(socket)) = (runner.docker_table(), socket) else { continue };
        if !pulls_nothing(table) {
            continue;
        }
        let title = runner.title();
        for NamedImage { key, name, effect } in images(table) {
            match machine::docker_has_image(&socket, name) {
                Ok(true) => {}
                // The name is a value of config.toml: it is not shown.
                Ok(false) => findings.problem(
                    "image-missing",
                    format!(
                        "{title}: pull_policy is \"never\", and the Docker daemon does not have the image of `{key}`: \
                         {effect}"
                    ),
                    mend!("give the daemon that image, by docker pull or docker build with the name that stands in `{}`; \
                         or let pull_policy in config.toml be \"if-not-present\"", key),
                ),
                Err(error) => findings.unknown(
                    "image-unknown",
                    format!("{title}: whether the daemon has the image of `{key}` is not known: {error:#}"),
                    "$ systemctl start docker; $ systemctl status docker",
                ),
            }
        }
    }
    findings.else_fine("no image is missing that may not be pulled");
    Ok(())
}

/// The runner never pulls an image. A list is tried from its beginning.
fn pulls_nothing(docker: &dyn TableLike) -> bool {
    match docker.get("pull_policy") {
        Some(item) if item.is_str() => item.as_str() == Some("never"),
        Some(item) => {
            let policies = runner_config::strings(item).unwrap_or_default();
            !policies.is_empty() && policies.iter().all(|policy| *policy == "never")
        }
        None => false,
    }
}

/// An image that config.toml names.
struct NamedImage<'a> {
    key: String,
    name: &'a str,
    /// What becomes of jobs without it.
    effect: &'static str,
}

/// The images of a `[runners.docker]`; a name with a variable depends on the job.
fn images(docker: &dyn TableLike) -> Vec<NamedImage<'_>> {
    let all = "every job fails (\"No such image\")";
    let of = |key: &str, effect| {
        let name = docker.get(key).and_then(Item::as_str)?;
        Some(NamedImage { key: key.to_owned(), name, effect })
    };
    let services = docker.get("services").and_then(runner_config::tables).unwrap_or_default();
    let of_services = services.into_iter().enumerate().filter_map(|(index, service)| {
        let name = service.get("name").and_then(Item::as_str)?;
        Some(NamedImage { key: format!("services[{index}]"), name, effect: all })
    });
    let own = [of("image", "a job that names no image fails (\"No such image\")"), of("helper_image", all)];
    let named = own.into_iter().flatten().chain(of_services);
    named.filter(|image| !image.name.is_empty() && !image.name.contains('$')).collect()
}
