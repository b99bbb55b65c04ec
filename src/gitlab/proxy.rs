//! The proxy between here and GitLab, as the environment names it: read as curl reads it.

/// The variables that name one, the strongest first.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// The variable that names the proxy for a server, and its address. `server` has its port where that is not the usual
/// one.
pub(super) fn find(
    server: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    let given = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, variable(name).filter(|value| !value.trim().is_empty())?)))
    };
    let (_, without) = given(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    given(&VARIABLES).filter(|_| !is_in(&without, server))
}

/// True for a server that a list of hosts names: itself, or a domain that it is in.
fn is_in(list: &str, server: &str) -> bool {
    let server = server.to_ascii_lowercase();
    let host = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host);
    list.split([',', ' '])
        .map(|entry| entry.trim().to_ascii_lowercase())
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            let entry = entry.trim_start_matches('*').trim_start_matches('.');
            entry.is_empty()
                || [host, &server].into_iter().any(|name| {
                    name.strip_suffix(entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_a_proxy_are_known_by_name_and_domain() {
        for (list, expected) in [
            ("*", true),
            ("gitlab.example.com", true),
            ("a, GitLab.example.COM", true),
            ("example.com", true),
            (".example.com", true),
            ("*.example.com", true),
            ("gitlab.example.com:8443", true),
            ("gitlab.example.com:443", false),
            ("lab.example.com", false),
            ("example.org", false),
            ("", false),
            (",", false),
        ] {
            assert_eq!(is_in(list, "gitlab.example.com:8443"), expected, "{list}");
        }
    }
}
