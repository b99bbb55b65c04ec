//! Images that a runner names in a way that Docker can't read, and services without one.

use toml_edit::Item;

use super::refused::{ALL_FAIL, RunnerValues};
use super::{DOCKER, SERVICES, tables};

/// The beginnings of the names of helper images that GitLab makes.
const FLAVORS: [&str; 3] = ["alpine", "ubuntu", "ubi"];

/// True for a name that is none of an image, whatever registry: with a scheme, a blank, or a last part that is not in
/// small letters. What a variable in it holds is not seen here.
fn is_no_image(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name).split([':', '@']).next().unwrap_or_default();
    let is_odd = last.is_empty() || last.bytes().any(|byte| byte.is_ascii_uppercase());
    !name.contains('$') && (name.contains("://") || name.contains(char::is_whitespace) || is_odd)
}

impl RunnerValues<'_, '_> {
    /// Find them.
    pub(super) fn images(&mut self) {
        let runner = self.runner;
        let rows = [("image", "jobs that name no image fail"), ("helper_image", ALL_FAIL)];
        for (key, harm) in rows {
            let named =
                runner.docker_item(key).filter(|item| item.as_str().is_some_and(|name| !name.is_empty()));
            if let Some(item) = named.filter(|item| item.as_str().is_some_and(is_no_image)) {
                self.unreadable((DOCKER, key), item, harm);
            }
        }
        let helper = runner.docker_text("helper_image").unwrap_or_default();
        let flavor = runner.docker_text("helper_image_flavor").filter(|flavor| !flavor.is_empty());
        let is_made =
            |flavor: &str| flavor.contains('$') || FLAVORS.iter().any(|name| flavor.starts_with(name));
        self.refuse([(
            DOCKER,
            "helper_image_flavor",
            helper.is_empty()
                && !runner.has_executor("docker-windows")
                && flavor.is_some_and(|it| !is_made(it)),
            "is none that GitLab makes an image of",
            "let `helper_image_flavor` be alpine or ubuntu, or take it out",
        )]);
        let services = runner.docker_item("services");
        for table in services.and_then(tables).into_iter().flatten() {
            match (table.get("name"), services) {
                (Some(item), _) if item.as_str().is_some_and(is_no_image) => {
                    self.unreadable((SERVICES, "name"), item, ALL_FAIL);
                }
                (None, Some(item)) => {
                    let why = "a service in `services` has no `name`";
                    let repair = "give it the `name` of an image, or take it out";
                    self.found.push(self.value((DOCKER, "services"), item, why, ALL_FAIL, repair.into()));
                }
                _ => {}
            }
        }
    }

    fn unreadable(&mut self, place: (&str, &str), item: &Item, harm: &str) {
        let why = format!("`{}` is no name of an image", place.1);
        let repair =
            mend!("let `{}` be one in small letters, as \"registry.example.com/team/image:tag\"", place.1);
        self.found.push(self.value(place, item, &why, harm, repair));
    }
}
