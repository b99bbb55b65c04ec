//! The names of hosts in addresses, and in those of images.

/// The name of the server in a runner's address, as gitlab-runner takes it for the name of a file with certificates.
/// `None` where it needs none of its own: `http://`, GitLab.com; and where a variable is in it.
pub fn own_server(url: &str) -> Option<&str> {
    let server = url.strip_prefix("https://")?.split(['/', ':']).next()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let is_own = !server.is_empty() && !server.starts_with('.') && server != "gitlab.com";
    (is_own && server.chars().all(is_name)).then_some(server)
}

/// The host names that jobs reach a service by: what gitlab-runner makes of the image's name (without registry port,
/// tag and digest; `__` and `-` for each `/`), and the words of its `alias`. Of two services with one host name only
/// the first has it.
pub fn host_names(name: &str, alias: &str) -> Vec<String> {
    let image = name.split('@').next().unwrap_or_default();
    let tag = image.rfind(':').filter(|at| !image[*at..].contains('/'));
    let image = &image[..tag.unwrap_or(image.len())];
    let (registry, path) = image.find('/').map_or((image, ""), |at| image.split_at(at));
    let image = format!("{}{path}", registry.split(':').next().unwrap_or_default());
    let mut names = vec![image.replace('/', "__")];
    if image.contains('/') {
        names.push(image.replace('/', "-"));
    }
    let aliases = alias.split([' ', '\t', '\n', ',']).filter(|alias| !alias.is_empty());
    names.extend(aliases.map(str::to_owned));
    names
}

/// The host in an address like `https://user@git.example.com:8443/path`.
pub fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host =
        if host.starts_with('[') { host.split_inclusive(']').next()? } else { host.split(':').next()? };
    Some(host.trim_matches(['[', ']'])).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_the_host_names_that_gitlab_runner_gives_it() {
        for (name, alias, names) in [
            ("docker:28-dind-rootless", "", &["docker"][..]),
            ("docker", "dind,  x", &["docker", "dind", "x"]),
            ("docker@sha256:0123", "", &["docker"]),
            ("a/b:1@sha256:0123", "b", &["a__b", "a-b", "b"]),
            (
                "registry.example.com:5000/a/b",
                "",
                &["registry.example.com__a__b", "registry.example.com-a-b"],
            ),
            ("registry.example.com:5000/b:1", "", &["registry.example.com__b", "registry.example.com-b"]),
        ] {
            assert_eq!(host_names(name, alias), names, "{name}");
        }
    }

    #[test]
    fn the_host_of_an_address() {
        for (url, host) in [
            ("https://gitlab.com/", Some("gitlab.com")),
            ("https://gitlab.com", Some("gitlab.com")),
            ("http://u:p@git.example.com:8443/ci?x", Some("git.example.com")),
            ("http://[2001:db8::1]:80/", Some("2001:db8::1")),
            ("gitlab.com", None),
            ("https:///x", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
