//! What is written of a request: where it goes, what it asks with, and who asks.

use std::net::{IpAddr, Ipv4Addr};

use memchr::{memchr, memchr2, memmem, memrchr};

use crate::{Session, http};

/// Most keys of a query string, and most cookies of a header, that are looked at.
const PAIRS: usize = 256;
/// Most addresses of an X-Forwarded-For header that are looked at.
const FORWARDERS: usize = 64;
/// Most bytes of credentials that are decoded.
const CREDENTIAL_BYTES: usize = 1_024;
/// Where the host may stand in an absolute target: behind `https://`.
const HOST_WITHIN: usize = 8;

/// Writes host, URI, path and query of a request.
///
/// The URI is host and target; an absolute target stands for itself if it names the same host, else both are given
/// with a semicolon between them.
pub(super) fn target(session: &mut Session<'_>, host: Option<&[u8]>, target: &[u8], connect: bool) {
    let (authority, rest) = if connect { (Some(target), &b""[..]) } else { split_absolute(target) };
    // RFC 9112 section 3.2.2: the target's host counts where the header is missing.
    if let Some(host) = host.filter(|host| !host.is_empty()).or(authority) {
        write_host(session, host);
    }
    let mut uri = std::mem::take(&mut session.shared.scratch);
    uri.clear();
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        let itself = !target.starts_with(b"/") && {
            let start = target.get(..HOST_WITHIN + host.len()).unwrap_or(target);
            start.windows(host.len()).any(|window| window.eq_ignore_ascii_case(host))
        };
        if !itself {
            uri.extend(host.iter().map(u8::to_ascii_lowercase));
            if !target.starts_with(b"/") {
                uri.push(b';');
            }
        }
    }
    uri.extend_from_slice(target);
    session.fields.text(http::URI, &uri);
    session.shared.scratch = uri;
    if rest.starts_with(b"/") || rest.starts_with(b"?") {
        let (path, query) = rest.split_at(memchr(b'?', rest).unwrap_or(rest.len()));
        if !path.is_empty() {
            session.fields.text(http::PATH, path);
        }
        write_query(session, query.get(1..).unwrap_or_default());
    }
}

/// Splits `http://host/path` into host and the rest; any other target is all rest.
fn split_absolute(target: &[u8]) -> (Option<&[u8]>, &[u8]) {
    if target.starts_with(b"/") {
        return (None, target);
    }
    let scheme = target.get(..12).unwrap_or(target);
    let Some(after) = memmem::find(scheme, b"://").and_then(|end| target.get(end + 3..)) else { return (None, target) };
    let (authority, rest) = after.split_at(memchr2(b'/', b'?', after).unwrap_or(after.len()));
    let host = memrchr(b'@', authority).and_then(|at| authority.get(at + 1..)).unwrap_or(authority);
    (Some(host), rest)
}

/// Writes a host, and again without its port where it has one.
fn write_host(session: &mut Session<'_>, host: &[u8]) {
    session.fields.text(http::HOST, host);
    let bare = match (memrchr(b':', host), memrchr(b']', host)) {
        (Some(colon), Some(bracket)) if colon > bracket => host.get(..colon),
        (Some(colon), None) => host.get(..colon),
        _ => None,
    };
    if let Some(bare) = bare.filter(|bare| !bare.is_empty()) {
        session.fields.text(http::HOST, bare);
    }
}

/// Writes keys and values of a query string, percent-decoded.
fn write_query(session: &mut Session<'_>, query: &[u8]) {
    let mut decoded = std::mem::take(&mut session.shared.scratch);
    for pair in query.split(|&byte| byte == b'&').take(PAIRS) {
        let (key, value) = pair.split_at(memchr(b'=', pair).unwrap_or(pair.len()));
        if !key.is_empty() {
            session.fields.text(http::KEY, percent_decode(key, &mut decoded));
        }
        let value = value.get(1..).unwrap_or_default();
        if session.options.all_fields && !value.is_empty() {
            session.fields.text(http::VALUE, percent_decode(value, &mut decoded));
        }
    }
    session.shared.scratch = decoded;
}

/// Decodes `%xx` (RFC 3986 section 2.1); the text as it is where an escape is wrong or gives a NUL.
fn percent_decode<'a>(text: &'a [u8], decoded: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(first) = memchr(b'%', text) else { return text };
    decoded.clear();
    let (plain, mut rest) = text.split_at(first);
    decoded.extend_from_slice(plain);
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = after;
            continue;
        }
        let digits = match after {
            [high, low, ..] => (char::from(*high).to_digit(16), char::from(*low).to_digit(16)),
            _ => return text,
        };
        match digits {
            (Some(high), Some(low)) if high + low > 0 => decoded.push((high * 16 + low) as u8),
            _ => return text,
        }
        rest = after.get(2..).unwrap_or_default();
    }
    decoded
}

/// Writes the cookies that a Cookie header brings (RFC 6265 section 4.2.1).
pub(super) fn cookies(session: &mut Session<'_>, value: &[u8]) {
    for pair in value.split(|&byte| byte == b';').take(PAIRS) {
        let Some(equals) = memchr(b'=', pair) else { continue };
        let (key, value) = pair.split_at(equals);
        let key = key.trim_ascii();
        if key.is_empty() {
            continue;
        }
        session.fields.text(http::COOKIE_KEY, key);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if session.options.all_fields && !value.is_empty() {
            session.fields.text(http::COOKIE_VALUE, value);
        }
    }
}

/// Writes the addresses of an X-Forwarded-For header; ports and what is no address are left out.
pub(super) fn forwarded_for(session: &mut Session<'_>, value: &[u8]) {
    for word in value.split(|&byte| byte == b',').take(FORWARDERS) {
        if let Some(address) = address(word.trim_ascii()) {
            session.fields.ip(http::XFF_IP, address);
        }
    }
}

/// `10.0.0.1`, `10.000.000.01`, `10.0.0.1:80`, `::1`, `[::1]` or `[::1]:80`.
fn address(word: &[u8]) -> Option<IpAddr> {
    let word = std::str::from_utf8(word).ok()?.trim_matches('"');
    if let Some(bracketed) = word.strip_prefix('[') {
        return bracketed.split(']').next()?.parse().ok();
    }
    let host = word.split_once(':').map_or(word, |(host, _)| host);
    ipv4(host).map(IpAddr::V4).or_else(|| word.parse().ok())
}

/// Four decimal numbers; some proxies pad them with zeros.
fn ipv4(word: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = word.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// Writes scheme and user name of an Authorization header (RFC 9110 section 11.6.2).
pub(super) fn authorization(session: &mut Session<'_>, value: &[u8]) {
    let (scheme, rest) = value.split_at(memchr(b' ', value).unwrap_or(value.len()));
    if scheme.is_empty() || !scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return;
    }
    session.fields.text(http::AUTH_TYPE, scheme);
    let credentials = rest.trim_ascii_start();
    if scheme.eq_ignore_ascii_case(b"basic") {
        let decoded = base64_decode(credentials);
        if let Some(colon) = memchr(b':', &decoded) {
            write_user(session, decoded.get(..colon).unwrap_or_default());
        }
    } else if scheme.eq_ignore_ascii_case(b"digest")
        && let Some(user) = parameter(credentials, b"username")
    {
        write_user(session, user);
    }
}

fn write_user(session: &mut Session<'_>, user: &[u8]) {
    if !user.is_empty() {
        session.fields.text(http::USER, user);
        session.user(user);
    }
}

/// Value of a parameter `name="value"`, RFC 7616 section 3.4.
fn parameter<'a>(parameters: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    parameters.split(|&byte| byte == b',').take(PAIRS).find_map(|parameter| {
        let (key, value) = parameter.split_at(memchr(b'=', parameter)?);
        let value = value.get(1..)?.trim_ascii();
        let value = value.strip_prefix(b"\"").map_or(value, |value| value.strip_suffix(b"\"").unwrap_or(value));
        key.trim_ascii().eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Decodes base64 (RFC 4648 section 4) up to the first byte that is none.
fn base64_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in text.iter().take(CREDENTIAL_BYTES) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding() {
        let decode = |text: &'static [u8]| percent_decode(text, &mut Vec::new()).to_vec();
        assert_eq!(decode(b"plain"), b"plain");
        assert_eq!(decode(b"sheep%20skin%2F"), b"sheep skin/");
        for wrong in [&b"100%"[..], b"%4", b"%zz", b"a%00b"] {
            assert_eq!(decode(wrong), wrong, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn addresses() {
        let parsed = |word: &str| address(word.as_bytes()).map(|address| address.to_string());
        for (word, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("10.000.000.03", "10.0.0.3"),
            ("2001:db8::1", "2001:db8::1"),
            ("[::1]:80", "::1"),
        ] {
            assert_eq!(parsed(word).as_deref(), Some(expected));
        }
        for wrong in ["", "unknown", "_hidden", "10.0.0", "[", "1.2.3.4.5", "1.2.3.256", "1..2.3", "+1.2.3.4"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn credentials() {
        assert_eq!(base64_decode(b"QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), b"Aladdin:open sesame");
        assert_eq!(parameter(b"realm=\"a\", username=\"Mufasa\", qop=auth", b"username"), Some(&b"Mufasa"[..]));
        assert_eq!(parameter(b"qop=auth", b"qop"), Some(&b"auth"[..]));
        assert_eq!(parameter(b"realm", b"username"), None);
    }

    #[test]
    fn absolute_targets() {
        assert_eq!(split_absolute(b"http://a:80/b?c"), (Some(&b"a:80"[..]), &b"/b?c"[..]));
        assert_eq!(split_absolute(b"http://u@a"), (Some(&b"a"[..]), &b""[..]));
        assert_eq!(split_absolute(b"/x?u=http://a"), (None, &b"/x?u=http://a"[..]));
        assert_eq!(split_absolute(b"*"), (None, &b"*"[..]));
    }
}
