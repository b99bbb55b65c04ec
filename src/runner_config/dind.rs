//! The services of a `config.toml` that are Docker-in-Docker, and what the names of their images tell.

use toml_edit::{Item, TableLike};

use super::{strings_at, tables};

/// The first release of Docker whose fresh installation keeps images with containerd.
pub const CONTAINERD: u32 = 29;

/// A service with a Docker daemon that `config.toml` gives jobs.
#[derive(Clone, Copy)]
pub struct DindService<'a> {
    /// Its place in the list, counted from 0.
    pub index: usize,
    /// The name of its image, as it is written there.
    pub image: &'a str,
    table: &'a dyn TableLike,
}

impl<'a> DindService<'a> {
    /// Those of a `[runners.docker]`.
    pub fn of(docker: Option<&'a dyn TableLike>) -> impl Iterator<Item = Self> {
        let services = docker.and_then(|docker| docker.get("services")).and_then(tables).unwrap_or_default();
        services.into_iter().enumerate().filter_map(|(index, table)| {
            let image = table.get("name").and_then(Item::as_str).filter(|image| is_dind(image))?;
            Some(Self { index, image, table })
        })
    }

    /// The elements of a list at a key of it.
    pub fn strings(&self, key: &str) -> Vec<&'a str> {
        strings_at(Some(self.table), key)
    }

    /// The text at a key of it; empty where there is none.
    pub fn text(&self, key: &str) -> &'a str {
        self.table.get(key).and_then(Item::as_str).unwrap_or_default()
    }

    /// True where an ordinary user runs the daemon.
    pub fn is_rootless(&self) -> bool {
        self.image.contains("rootless")
    }
}

/// Whether the daemon of such an image keeps images with containerd; `None` where the image is somebody's own, or is named
/// by its digest.
pub fn keeps_with_containerd(image: &str) -> Option<bool> {
    let path = image.split('@').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let (name, tag) = name.split_once(':').unwrap_or((name, ""));
    if name != "docker" || (tag.is_empty() && image.contains('@')) {
        return None;
    }
    let release = tag.split(['.', '-']).next().unwrap_or_default().parse::<u32>();
    // A tag without a number means the newest.
    Some(release.map_or(true, |release| release >= CONTAINERD))
}

/// True for an image of Docker-in-Docker, by its name; and for a pattern of such names.
pub fn is_dind(image: &str) -> bool {
    let path = image.split('@').next().unwrap_or_default();
    path.rsplit('/').next().is_some_and(|name| name.contains("dind"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::toml_patch::Toml;

    #[test]
    fn the_image_tells_how_a_daemon_keeps_images() {
        for (image, keeps) in [
            ("docker:28-dind", Some(false)),
            ("docker.io/library/docker:29.0.4-dind-rootless", Some(true)),
            ("registry.example.com:5000/mirror/docker:19.03-dind", Some(false)),
            ("docker:dind", Some(true)),
            ("docker:dind-rootless@sha256:0123", Some(true)),
            ("our/dind:1", None),
        ] {
            let text =
                format!("services = [{{}}, {{ name = \"{image}\" }}, {{ name = \"dind.example.com/db\" }}]");
            let toml = Toml::parse(text.as_bytes()).unwrap();
            let found: Vec<_> = DindService::of(Some(toml.root())).collect();
            assert_eq!(found.len(), 1, "{image}");
            assert_eq!((found[0].index, keeps_with_containerd(found[0].image)), (1, keeps), "{image}");
        }
    }
}
