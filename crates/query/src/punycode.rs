//! International host names: Punycode (RFC 3492) and back, label by label.

use crate::literal::Symbol;

// RFC 3492 section 5
const BASE: u32 = 36;
const TMIN: u32 = 1;
const TMAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL_N: u32 = 128;

/// Longest label that is converted, in characters (RFC 1035 section 2.3.4 allows 63 bytes); keeps the work linear.
const MAX_LABEL: usize = 63;

/// The host with its Unicode labels in Punycode, or with its Punycode labels in Unicode; `None` if it has neither.
///
/// Labels with wildcards stay as they are.
pub(crate) fn other_spelling(host: &[Symbol]) -> Option<Vec<Symbol>> {
    let is_dot = |symbol: &Symbol| *symbol == Symbol::Is('.');
    let mut changed = false;
    let mut other = Vec::with_capacity(host.len());
    for (place, label) in host.split(is_dot).enumerate() {
        if place > 0 {
            other.push(Symbol::Is('.'));
        }
        match converted(label) {
            Some(spelling) => {
                changed = true;
                other.extend(spelling.chars().map(Symbol::Is));
            }
            None => other.extend_from_slice(label),
        }
    }
    changed.then_some(other)
}

fn converted(label: &[Symbol]) -> Option<String> {
    if label.len() > MAX_LABEL {
        return None;
    }
    let text: Option<String> =
        label.iter().map(|symbol| if let Symbol::Is(character) = symbol { Some(*character) } else { None }).collect();
    let text = text?;
    if text.is_ascii() { decode(text.strip_prefix("xn--")?) } else { encode(&text).map(|code| format!("xn--{code}")) }
}

/// RFC 3492 section 6.1.
fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / DAMP } else { delta / 2 };
    delta += delta / points.max(1);
    let mut k = 0;
    while delta > (BASE - TMIN) * TMAX / 2 {
        delta /= BASE - TMIN;
        k += BASE;
    }
    k + (BASE - TMIN + 1) * delta / (delta + SKEW)
}

fn threshold(k: u32, bias: u32) -> u32 {
    k.saturating_sub(bias).clamp(TMIN, TMAX)
}

/// RFC 3492 section 6.3; `None` on overflow.
fn encode(label: &str) -> Option<String> {
    let points: Vec<u32> = label.chars().map(u32::from).collect();
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = out.len() as u32;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (INITIAL_N, 0_u32, INITIAL_BIAS, basic);
    while (handled as usize) < points.len() {
        let next = points.iter().copied().filter(|point| *point >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for &point in &points {
            if point < n {
                delta = delta.checked_add(1)?;
            }
            if point != n {
                continue;
            }
            let (mut q, mut k) = (delta, BASE);
            loop {
                let t = threshold(k, bias);
                if q < t {
                    break;
                }
                out.push(digit(t + (q - t) % (BASE - t))?);
                q = (q - t) / (BASE - t);
                k += BASE;
            }
            out.push(digit(q)?);
            bias = adapt(delta, handled + 1, handled == basic);
            delta = 0;
            handled += 1;
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(out)
}

/// RFC 3492 section 6.2; `None` if it is not Punycode.
fn decode(code: &str) -> Option<String> {
    let (basic, extended) = code.rsplit_once('-').unwrap_or(("", code));
    let mut out: Vec<char> = basic.chars().collect();
    let (mut n, mut i, mut bias) = (INITIAL_N, 0_u32, INITIAL_BIAS);
    let mut digits = extended.chars().peekable();
    while digits.peek().is_some() {
        let (old, mut weight, mut k) = (i, 1_u32, BASE);
        loop {
            let value = digits.next()?.to_digit(36)?;
            // RFC 3492 numbers letters before digits
            let value = if value < 10 { value + 26 } else { value - 10 };
            i = i.checked_add(value.checked_mul(weight)?)?;
            let t = threshold(k, bias);
            if value < t {
                break;
            }
            weight = weight.checked_mul(BASE - t)?;
            k += BASE;
        }
        let length = out.len() as u32 + 1;
        bias = adapt(i - old, length, old == 0);
        n = n.checked_add(i / length)?;
        i %= length;
        out.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(out.into_iter().collect())
}

fn digit(value: u32) -> Option<char> {
    // a-z, then 0-9
    char::from_digit(if value < 26 { value + 10 } else { value.checked_sub(26)? }, 36)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::literal::{plain, symbols};

    #[test]
    fn both_ways() {
        for (unicode, ascii) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("почта.рф", "xn--80a1acny.xn--p1ai"),
            ("点看.com", "xn--3pxu8k.com"),
            ("*.münchen.de", "*.xn--mnchen-3ya.de"),
        ] {
            assert_eq!(plain(&other_spelling(&symbols(unicode)).unwrap()), ascii);
            assert_eq!(plain(&other_spelling(&symbols(ascii)).unwrap()), unicode);
        }
        for same in ["example.com", "mün*.de", "xn--.com-", "xn--99999999999", ""] {
            assert_eq!(
                other_spelling(&symbols(same)).filter(|other| plain(other) != same && !same.contains("xn--")),
                None
            );
        }
    }
}
