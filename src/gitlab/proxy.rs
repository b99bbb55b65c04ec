//! The proxy between here and GitLab, as the environment names it: read as curl reads it.

use std::net::IpAddr;

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

/// True for a server that a list of hosts names: itself, a domain that it is in, or a network.
fn is_in(list: &str, server: &str) -> bool {
    let server = server.to_ascii_lowercase();
    // The colons of an IPv6 address stand in brackets.
    let port = server.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    let host = port.map_or(server.as_str(), |(host, _)| host).trim_matches(['[', ']']);
    let is_it = |entry: &str| {
        let entry = entry.trim_start_matches('*').trim_start_matches('.');
        let is_part =
            |name: &str| name.strip_suffix(entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        entry.is_empty()
            || is_part(host)
            || is_part(&server)
            || entry.trim_matches(['[', ']']) == host
            || is_in_network(entry, host).unwrap_or_default()
    };
    let entries = list.split([',', ' ']).map(|entry| entry.trim().to_ascii_lowercase());
    entries.filter(|entry| !entry.is_empty()).any(|entry| is_it(&entry))
}

/// Whether an address is in a network, as in `10.0.0.0/8`.
fn is_in_network(network: &str, address: &str) -> Option<bool> {
    let (network, bits) = network.split_once('/')?;
    let (whole, network, address): (u32, u128, u128) = match (network.parse().ok()?, address.parse().ok()?) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (32, network.to_bits().into(), address.to_bits().into())
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (128, network.to_bits(), address.to_bits()),
        _ => return None,
    };
    let rest = whole.checked_sub(bits.parse().ok()?)?;
    Some((network ^ address).checked_shr(rest).unwrap_or(0) == 0)
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
        for (list, server, expected) in [
            ("10.0.0.0/8", "10.1.2.3:8443", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("0.0.0.0/0", "[::1]", false),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]:8443", true),
            ("[::1]:8443", "[::1]:8443", true),
            ("[::1]:1", "[::1]:8443", false),
            ("fe80::/10", "[fe80::2]:8443", true),
            ("::/0", "[fe80::2]", true),
            ("1", "[::1]", false),
        ] {
            assert_eq!(is_in(list, server), expected, "{list} {server}");
        }
    }
}
