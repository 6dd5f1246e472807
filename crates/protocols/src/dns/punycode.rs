//! Internationalized names: the decoder of RFC 3492.

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL_CODE: u32 = 128;

/// Characters of a label at most; a label has at most 63 bytes, so no valid one is longer.
const MAX_CHARACTERS: usize = 63;

/// The name with its `xn--` labels in Unicode; `None` where it has none, or one of them is no valid encoding.
pub(super) fn to_unicode(name: &[u8]) -> Option<String> {
    if !name.windows(4).any(|window| window.eq_ignore_ascii_case(b"xn--")) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    let mut text = String::with_capacity(name.len() * 2);
    let mut changed = false;
    for (place, label) in name.split('.').enumerate() {
        if place > 0 {
            text.push('.');
        }
        match label.split_at_checked(4) {
            Some((prefix, encoded)) if prefix.eq_ignore_ascii_case("xn--") => {
                text.extend(decode(encoded)?);
                changed = true;
            }
            _ => text.push_str(label),
        }
    }
    changed.then_some(text)
}

/// Decodes what follows `xn--` (RFC 3492 §6.2).
fn decode(encoded: &str) -> Option<Vec<char>> {
    if encoded.len() > MAX_CHARACTERS || !encoded.is_ascii() {
        return None;
    }
    let (mut output, extended): (Vec<char>, &str) = match encoded.rsplit_once('-') {
        Some((basic, extended)) => (basic.chars().collect(), extended),
        None => (Vec::new(), encoded),
    };
    let mut code = INITIAL_CODE;
    let mut place = 0_u32;
    let mut bias = INITIAL_BIAS;
    let mut digits = extended.bytes();
    while digits.len() > 0 {
        let before = place;
        let mut weight = 1_u32;
        let mut threshold_base = BASE;
        loop {
            let digit = match digits.next()? {
                byte @ b'a'..=b'z' => byte - b'a',
                byte @ b'A'..=b'Z' => byte - b'A',
                byte @ b'0'..=b'9' => byte - b'0' + 26,
                _ => return None,
            };
            place = place.checked_add(u32::from(digit).checked_mul(weight)?)?;
            let threshold = threshold_base.saturating_sub(bias).clamp(T_MIN, T_MAX);
            if u32::from(digit) < threshold {
                break;
            }
            weight = weight.checked_mul(BASE - threshold)?;
            threshold_base += BASE;
        }
        let length = output.len() as u32 + 1;
        bias = adapt(place - before, length, before == 0);
        code = code.checked_add(place / length)?;
        place %= length;
        output.insert(place as usize, char::from_u32(code)?);
        place += 1;
    }
    Some(output)
}

fn adapt(delta: u32, length: u32, first: bool) -> u32 {
    let mut delta = if first { delta / DAMP } else { delta / 2 };
    delta += delta / length;
    let mut steps = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        steps += BASE;
    }
    steps + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        let cases: &[(&str, Option<&str>)] = &[
            ("xn--bcher-kva.example", Some("bücher.example")),
            ("XN--BCHER-kva.example", Some("BüCHER.example")),
            ("www.xn--fiqs8s", Some("www.中国")),
            ("xn--80a0adav.xn--80ao21a", Some("уаноо.қаз")),
            ("plain.example", None),
            ("xn--.example", Some(".example")),
            ("xn--99999999.example", None),
            ("a.xn--\u{e9}", None),
        ];
        for (name, expected) in cases {
            assert_eq!(to_unicode(name.as_bytes()).as_deref(), *expected, "{name}");
        }
    }
}
