//! Client addresses as Microsoft's logs write them.
//!
//! The same column holds `203.0.113.7`, `203.0.113.7:443`, `[2001:db8::1]:443`, `::ffff:203.0.113.7`, `<null>` and
//! host names, depending on the workload that wrote it. The geoip transform looks addresses up and the lake stores
//! them in one canonical form; both read them here, so that the same text is the same address to both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that a text holds, and the port if it names one. An IPv4 address mapped into IPv6 is the IPv4 address;
/// blanks around the text and an IPv6 zone (`%eth0`) do not count. `None` for everything else: empty texts, `<null>`,
/// host names.
pub fn parse_address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, behind) = rest.split_once(']')?;
        let port = match behind {
            "" => None,
            _ => Some(port(behind.strip_prefix(':')?)?),
        };
        return Some((v6(address)?, port));
    }
    match text.split_once(':') {
        None => Some((IpAddr::V4(text.parse::<Ipv4Addr>().ok()?), None)),
        Some((address, behind)) if !behind.contains(':') => {
            Some((IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), Some(port(behind)?)))
        }
        Some(_) => Some((v6(text)?, None)),
    }
}

fn port(text: &str) -> Option<u16> {
    // `parse` alone would take a plus sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn v6(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _zone)| address);
    Some(address.parse::<Ipv6Addr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        for (text, address, port) in [
            ("203.0.113.7", "203.0.113.7", None),
            (" 203.0.113.7\t", "203.0.113.7", None),
            ("203.0.113.7:443", "203.0.113.7", Some(443)),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:65535", "2001:db8::1", Some(65535)),
            ("fe80::1%eth0", "fe80::1", None),
            ("[fe80::1%25eth0]:1", "fe80::1", Some(1)),
            ("::ffff:203.0.113.7", "203.0.113.7", None),
            ("[::ffff:203.0.113.7]:80", "203.0.113.7", Some(80)),
            ("::1", "::1", None),
        ] {
            assert_eq!(parse_address(text), Some((address.parse().unwrap(), port)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            " ",
            "<null>",
            "example.com",
            "example.com:443",
            "203.0.113",
            "203.0.113.256",
            "203.0.113.07",
            "203.0.113.7:",
            "203.0.113.7:65536",
            "203.0.113.7:+1",
            "203.0.113.7 x",
            "[203.0.113.7]",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "[2001:db8::1]:",
            "2001:db8::1::2",
            ":",
            "%",
        ] {
            assert_eq!(parse_address(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_an_address_prints_is_read_back(bits: u128, small: u32, port: u16) {
            let v6 = Ipv6Addr::from(bits);
            let canonical = v6.to_canonical();
            prop_assert_eq!(parse_address(&v6.to_string()), Some((canonical, None)));
            prop_assert_eq!(parse_address(&format!("[{v6}]:{port}")), Some((canonical, Some(port))));
            let v4 = Ipv4Addr::from(small);
            prop_assert_eq!(parse_address(&format!("{v4}:{port}")), Some((IpAddr::V4(v4), Some(port))));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9a-f:.%\\[\\] \u{e9}]{0,40}") {
            let _ = parse_address(&text);
        }
    }
}
