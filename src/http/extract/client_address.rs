//! The client's address: the address of the connection's peer, or the one that trusted proxies report. Each proxy
//! appends the address of its own peer, so lists are read from the right. Everything left of the outermost trusted
//! proxy's entry was written by the client and is ignored.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName};

use super::forwarded;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// The address of the client behind `hops` trusted proxies. If they did not report it, returns the known address that
/// is nearest to it.
pub fn client_address(peer: Option<SocketAddr>, headers: &HeaderMap, hops: usize) -> IpAddr {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    if hops == 0 {
        return peer;
    }
    let plain =
        reported(headers, &X_FORWARDED_FOR, hops, |line| line.split(',').map(address).collect());
    let standard = reported(headers, &FORWARDED, hops, |line| {
        let nodes = forwarded::nodes(line).unwrap_or_default();
        nodes.iter().map(|node| address(node.as_deref()?)).collect()
    });
    match (plain, standard) {
        (Some(one), None) if !headers.contains_key(FORWARDED) => one,
        (None, Some(one)) if !headers.contains_key(X_FORWARDED_FOR) => one,
        (Some(one), Some(other)) if one.to_canonical() == other.to_canonical() => one,
        // A proxy writes one of the headers, or the same address in both. Otherwise the client wrote one of them, and
        // the server cannot know which, even if one of them is malformed. Use the proxy's address, so that the client
        // shares the proxy's rate limit.
        _ => peer,
    }
}

/// The address that the outermost of `hops` proxies wrote into a list, or the valid address that is nearest to it.
/// `read` returns the addresses of a line in order: `None` for an element without an address, and an empty list for a
/// malformed line.
fn reported(
    headers: &HeaderMap,
    name: &HeaderName,
    hops: usize,
    read: impl Fn(&str) -> Vec<Option<IpAddr>>,
) -> Option<IpAddr> {
    let mut found = None;
    let mut left = hops;
    let lines: Vec<_> = headers.get_all(name).collect();
    for line in lines.iter().rev() {
        // No proxy writes invalid text, so the client wrote this line and everything left of it.
        let Ok(line) = line.to_str() else { break };
        let addresses = read(line);
        if addresses.is_empty() {
            break;
        }
        for address in addresses.into_iter().rev() {
            if left == 0 {
                return found;
            }
            // The address is obfuscated or unknown: use the address of the next nearer proxy.
            let Some(address) = address else { return found };
            found = Some(address);
            left -= 1;
        }
    }
    found
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
/// The port may be a name such as `_a1`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        (IpAddr::V6(host.parse().ok()?), port)
    } else {
        let (host, port) = text.split_at(text.find(':')?);
        (IpAddr::V4(host.parse().ok()?), port)
    };
    let is_hidden = |port: &str| {
        let name = port.strip_prefix('_').unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(plain)
    };
    let is_port = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        (digits && port.parse::<u16>().is_ok()) || is_hidden(port)
    };
    match port.strip_prefix(':') {
        Some(port) => is_port(port).then_some(host),
        None => port.is_empty().then_some(host),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const PEER: &str = "10.0.0.1";

    fn seen(hops: usize, headers: &[(&HeaderName, &str)]) -> String {
        let peer = SocketAddr::new(PEER.parse().expect("an address"), 4711);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append((*name).clone(), HeaderValue::from_str(value).expect("a value"));
        }
        client_address(Some(peer), &map, hops).to_string()
    }

    #[test]
    fn headers_are_ignored_without_trusted_proxies() {
        assert_eq!(
            seen(0, &[(&X_FORWARDED_FOR, "192.0.2.1"), (&FORWARDED, "for=192.0.2.1")]),
            PEER
        );
    }

    #[test]
    fn lists_are_read_from_the_right_across_header_lines() {
        let lines =
            [(&X_FORWARDED_FOR, "6.6.6.6, 192.0.2.1"), (&X_FORWARDED_FOR, "10.0.0.7,10.0.0.8")];
        assert_eq!(seen(1, &lines), "10.0.0.8");
        assert_eq!(seen(2, &lines), "10.0.0.7");
        assert_eq!(seen(3, &lines), "192.0.2.1");
        // With more hops than elements, the leftmost element is used.
        assert_eq!(seen(9, &lines[1..]), "10.0.0.7");
        assert_eq!(seen(2, &[]), PEER);
    }

    #[test]
    fn the_forwarded_header_is_read_in_all_its_forms() {
        for (value, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https; FOR = \"[2001:db8::1]\"", "2001:db8::1"),
            ("for=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("for=\"192.0.2.43:_a1\"", "192.0.2.43"),
            ("for=\"[2001:db8::1]:_a-1\"", "2001:db8::1"),
            ("for=\"1\\92.0.2.43\"", "192.0.2.43"),
            // Some proxies omit required quotes.
            ("for=192.0.2.43:47011", "192.0.2.43"),
            ("for=[2001:db8::1]:80", "2001:db8::1"),
            ("for=2001:db8::1", "2001:db8::1"),
            ("for=6.6.6.6, for=192.0.2.43", "192.0.2.43"),
            ("for=6.6.6.6,, for=192.0.2.43 ,", "192.0.2.43"),
            ("for=6.6.6.6;, ;for=192.0.2.43;", "192.0.2.43"),
            ("for=6.6.6.6, by=\"a,for=6.6.6.6\";for=192.0.2.43", "192.0.2.43"),
            ("proto=http;host=\"a;for=6.6.1.1\";for=192.0.2.43", "192.0.2.43"),
            ("host=\"a\\\", for=7.7.1.1;x=\\\"\";for=192.0.2.43", "192.0.2.43"),
            ("for=192.0.2.43;host=\"a\\\", for=7.7.1.1;x=\\\"\"", "192.0.2.43"),
            ("for=192.0.2.43;host=\"a\\\\\"", "192.0.2.43"),
            ("for=\"unknown\"", PEER),
            ("for=unknown:80", PEER),
            ("for=_hidden", PEER),
            ("for=\"_hidden:80\"", PEER),
            ("proto=https", PEER),
        ] {
            assert_eq!(seen(1, &[(&FORWARDED, value)]), expected, "{value}");
        }
    }

    /// The proxy appends to the line that the client wrote, and its element contains the client's Host header, quoted
    /// as the standard requires.
    #[test]
    fn a_client_cannot_choose_its_address_by_a_header_or_host() {
        let pieces = ["", "\"", "\\", ",", ";", "for=6.6.6.6", "x=", "x", " "];
        let texts: Vec<String> = pieces
            .iter()
            .flat_map(|a| pieces.iter().map(move |b| format!("{a}{b}")))
            .flat_map(|text| pieces.iter().map(move |c| format!("{text}{c}")))
            .flat_map(|text| pieces.iter().map(move |d| format!("{text}{d}")))
            .collect();
        // The client's own header precedes the proxy's element, and how it ends determines how the rest is parsed.
        let headers = ["for=6.6.6.6", "for=6.6.6.6;x=\"", "for=6.6.6.6;x=\"\\", "x=\"\\\\\"", "\""];
        for host in &texts {
            let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
            let elements = [
                format!("for=192.0.2.1;host=\"{quoted}\";proto=http"),
                format!("host=\"{quoted}\";proto=http;for=192.0.2.1"),
                format!("for=\"192.0.2.1:80\";host=\"{quoted}\""),
            ];
            for element in &elements {
                assert_eq!(seen(1, &[(&FORWARDED, element)]), "192.0.2.1", "{element}");
                for header in headers {
                    let appended = format!("{header}, {element}");
                    let address = seen(1, &[(&FORWARDED, &appended)]);
                    assert!(["192.0.2.1", PEER].contains(&&*address), "{appended}: {address}");
                    // A second proxy appends an element with the same host.
                    let twice = format!("{appended}, for=10.0.0.7;host=\"{quoted}\"");
                    let address = seen(2, &[(&FORWARDED, &twice)]);
                    let allowed = ["192.0.2.1", "10.0.0.7", PEER];
                    assert!(allowed.contains(&&*address), "{twice}: {address}");
                }
            }
        }
        // If the client's header is a separate line, its content does not matter.
        for header in &texts {
            let lines = [(&FORWARDED, &**header), (&FORWARDED, "for=192.0.2.1")];
            assert_eq!(seen(1, &lines), "192.0.2.1", "{header}");
        }
    }

    /// The proxy appends to one of the headers. The client controls the beginning of that one and all of the other.
    #[test]
    fn a_malformed_header_does_not_make_the_other_one_trusted() {
        let plain = HeaderValue::from_bytes(b"\xff, 192.0.2.1").expect("a value");
        let mut map = HeaderMap::new();
        map.append(X_FORWARDED_FOR, plain);
        map.append(FORWARDED, HeaderValue::from_static("for=6.6.6.6"));
        let peer = SocketAddr::new(PEER.parse().expect("an address"), 4711);
        assert_eq!(client_address(Some(peer), &map, 1).to_string(), PEER);
        for line in ["\", for=192.0.2.1", "for=unknown", "for=_x", "for=6.6.6.6, for=", ""] {
            let headers = [(&X_FORWARDED_FOR, "6.6.6.6"), (&FORWARDED, line)];
            assert_eq!(seen(1, &headers), PEER, "{line}");
        }
        for line in ["nobody", "6.6.6.6, ", ""] {
            let headers = [(&FORWARDED, "for=6.6.6.6"), (&X_FORWARDED_FOR, line)];
            assert_eq!(seen(1, &headers), PEER, "{line}");
        }
    }

    #[test]
    fn a_malformed_element_yields_the_next_nearer_address() {
        for value in [
            "for=192.0.2.1;for=6.6.6.6",
            "for=192.0.2.1;host=a;HOST=b",
            "for=192.0.2.1;host=\"a",
            "for=\"192.0.2.1\"6",
            "for=\"192.0.2.1\" 6",
            "for=192.0.2.1 6",
            "for=192.0.2.1;x",
            "for=192.0.2.1;=x",
            "for=192.0.2.1;x=",
            "for=192.0.2.1;x=a\\",
            "for=192.0.2.1;x=a\"b\"",
            "for=192.0.2.1:99999",
            "for=192.0.2.1:_",
            "for=\"[2001:db8::1\"",
            "for=\"[192.0.2.1]\"",
            "for==192.0.2.1",
            "192.0.2.1",
            "",
            " , ;",
        ] {
            assert_eq!(seen(1, &[(&FORWARDED, value)]), PEER, "{value}");
            let nearer = format!("{value}, for=10.0.0.8");
            let address = seen(2, &[(&FORWARDED, &nearer)]);
            assert!(["10.0.0.8", PEER].contains(&&*address), "{nearer}: {address}");
            let lines = [(&FORWARDED, value), (&FORWARDED, "for=10.0.0.8")];
            assert_eq!(seen(2, &lines), "10.0.0.8", "{value}");
        }
    }

    #[test]
    fn an_unreadable_address_yields_the_next_nearer_address() {
        assert_eq!(seen(2, &[(&X_FORWARDED_FOR, "6.6.6.6, unknown, 10.0.0.8")]), "10.0.0.8");
        assert_eq!(seen(1, &[(&X_FORWARDED_FOR, "6.6.6.6, unknown")]), PEER);
        assert_eq!(seen(1, &[(&X_FORWARDED_FOR, "")]), PEER);
        assert_eq!(seen(1, &[(&X_FORWARDED_FOR, "\"6.6.6.6, 192.0.2.1")]), "192.0.2.1");
        assert_eq!(seen(1, &[(&X_FORWARDED_FOR, "\"6.6.6.6, 192.0.2.1\"")]), PEER);
    }

    #[test]
    fn contradicting_headers_yield_the_peer_address() {
        // Behind a proxy that writes one header, the client writes the other.
        let honest = (&X_FORWARDED_FOR, "192.0.2.1");
        assert_eq!(seen(1, &[honest, (&FORWARDED, "for=6.6.6.6")]), PEER);
        let honest = (&FORWARDED, "for=192.0.2.1");
        assert_eq!(seen(1, &[honest, (&X_FORWARDED_FOR, "6.6.6.6")]), PEER);
        assert_eq!(seen(1, &[honest, (&X_FORWARDED_FOR, "::ffff:192.0.2.1")]), "::ffff:192.0.2.1");
    }
}
