//! Addresses that mean something only inside a network, told apart from those of the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of network that an address belongs to, unless that is the internet.
///
/// From the registries of special-purpose addresses (RFC 6890): `private` (RFC 1918), `shared` (RFC 6598, behind a
/// provider's address translation), `loopback`, `link_local`, `unique_local` (RFC 4193), `unspecified`. Documentation
/// ranges count as public: samples and tests use them so.
pub(super) fn scope(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => scope_v4(address),
        IpAddr::V6(address) => scope_v6(address),
    }
}

fn scope_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, ..] = address.octets();
    if address.is_private() {
        Some("private")
    } else if a == 100 && b & 0b1100_0000 == 64 {
        Some("shared")
    } else if address.is_loopback() {
        Some("loopback")
    } else if address.is_link_local() {
        Some("link_local")
    } else if address.is_unspecified() {
        Some("unspecified")
    } else {
        None
    }
}

fn scope_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("loopback")
    } else if address.is_unicast_link_local() {
        Some("link_local")
    } else if address.is_unique_local() {
        Some("unique_local")
    } else if address.is_unspecified() {
        Some("unspecified")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        for (address, expected) in [
            ("10.1.2.3", Some("private")),
            ("172.16.0.0", Some("private")),
            ("172.32.0.0", None),
            ("192.168.255.255", Some("private")),
            ("100.64.0.1", Some("shared")),
            ("100.127.255.255", Some("shared")),
            ("100.128.0.0", None),
            ("127.0.0.1", Some("loopback")),
            ("169.254.1.1", Some("link_local")),
            ("0.0.0.0", Some("unspecified")),
            ("203.0.113.7", None),
            ("8.8.8.8", None),
            ("::1", Some("loopback")),
            ("::", Some("unspecified")),
            ("fe80::1", Some("link_local")),
            ("fd00::1", Some("unique_local")),
            ("2001:db8::1", None),
            ("2603:1000::1", None),
        ] {
            assert_eq!(scope(address.parse().unwrap()), expected, "{address}");
        }
    }
}
