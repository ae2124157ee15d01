//! The client's address: the peer's, or what the trusted proxies in front say. Each proxy appends whom it heard from, so
//! the lists are read from the right, and nothing left of what the outermost trusted proxy wrote is believed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// The address of the client behind `hops` trusted proxies. What they did not say is answered by who is nearest.
pub fn client_address(peer: Option<SocketAddr>, headers: &HeaderMap, hops: usize) -> IpAddr {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    if hops == 0 {
        return peer;
    }
    let plain = said(headers, &X_FORWARDED_FOR, hops, address);
    let standard = said(headers, &FORWARDED, hops, |element| for_of(element).and_then(address));
    match (plain, standard) {
        (Some(one), None) | (None, Some(one)) => one,
        (Some(one), Some(other)) if one.to_canonical() == other.to_canonical() => one,
        // Proxies write one of the two, or the same in both. The other is the client's own then, and which one it is
        // cannot be told: the client shares the proxy's bucket.
        (Some(_), Some(_)) | (None, None) => peer,
    }
}

/// What the outermost of `hops` proxies wrote into a list, or the nearest to it that is an address.
fn said(
    headers: &HeaderMap,
    name: &HeaderName,
    hops: usize,
    read: impl Fn(&str) -> Option<IpAddr>,
) -> Option<IpAddr> {
    let mut found = None;
    let mut left = hops;
    let lines: Vec<_> = headers.get_all(name).collect();
    for line in lines.iter().rev() {
        // What is not text is no proxy's; what is left of it is not believed either.
        let Ok(mut rest) = line.to_str() else { break };
        while left > 0 {
            let (before, element) = last_element(rest);
            let Some(address) = read(element.trim()) else {
                // An obfuscated or unknown one: whoever is nearer stands for it.
                return found;
            };
            found = Some(address);
            left -= 1;
            match before {
                Some(before) => rest = before,
                None => break,
            }
        }
    }
    found
}

/// The last element of a list, and what stands before its comma. Commas within quotes are none.
fn last_element(list: &str) -> (Option<&str>, &str) {
    let mut quoted = false;
    for (position, byte) in list.bytes().enumerate().rev() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return (Some(&list[..position]), &list[position + 1..]),
            _ => {}
        }
    }
    (None, list)
}

/// The node of the `for` parameter of an element of `Forwarded`.
fn for_of(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
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
    fn without_trusted_proxies_headers_say_nothing() {
        assert_eq!(
            seen(0, &[(&X_FORWARDED_FOR, "192.0.2.1"), (&FORWARDED, "for=192.0.2.1")]),
            PEER
        );
    }

    #[test]
    fn lists_are_read_from_the_right_over_all_their_lines() {
        let lines =
            [(&X_FORWARDED_FOR, "6.6.6.6, 192.0.2.1"), (&X_FORWARDED_FOR, "10.0.0.7,10.0.0.8")];
        assert_eq!(seen(1, &lines), "10.0.0.8");
        assert_eq!(seen(2, &lines), "10.0.0.7");
        assert_eq!(seen(3, &lines), "192.0.2.1");
        // More hops than elements: the outermost proxy that wrote is believed.
        assert_eq!(seen(9, &lines[1..]), "10.0.0.7");
        assert_eq!(seen(2, &[]), PEER);
    }

    #[test]
    fn the_standards_header_is_read_in_all_its_forms() {
        for (value, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https; FOR = \"[2001:db8::1]\"", "2001:db8::1"),
            ("for=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("for=6.6.6.6, for=192.0.2.43", "192.0.2.43"),
            ("for=6.6.6.6, by=\"a,for=6.6.6.6\";for=192.0.2.43", "192.0.2.43"),
            ("for=unknown", PEER),
            ("for=_hidden", PEER),
            ("proto=https", PEER),
        ] {
            assert_eq!(seen(1, &[(&FORWARDED, value)]), expected, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_by_who_is_nearer() {
        assert_eq!(seen(2, &[(&X_FORWARDED_FOR, "6.6.6.6, unknown, 10.0.0.8")]), "10.0.0.8");
        assert_eq!(seen(1, &[(&X_FORWARDED_FOR, "6.6.6.6, unknown")]), PEER);
        assert_eq!(seen(1, &[(&X_FORWARDED_FOR, "")]), PEER);
    }

    #[test]
    fn a_header_of_the_clients_own_gains_nothing() {
        // Behind a proxy that writes the one, the client writes the other.
        let honest = (&X_FORWARDED_FOR, "192.0.2.1");
        assert_eq!(seen(1, &[honest, (&FORWARDED, "for=6.6.6.6")]), PEER);
        let honest = (&FORWARDED, "for=192.0.2.1");
        assert_eq!(seen(1, &[honest, (&X_FORWARDED_FOR, "6.6.6.6")]), PEER);
        assert_eq!(seen(1, &[honest, (&X_FORWARDED_FOR, "::ffff:192.0.2.1")]), "::ffff:192.0.2.1");
    }
}
