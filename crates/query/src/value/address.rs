//! Addresses, networks and ports beside them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skycap_model::Resolved;

use super::Values;
use crate::{
    AddressRange, Alternative, Operator, Predicate, QueryError, Range, Span, Target,
    literal::{Literal, Written},
};

/// An address as written.
#[derive(Debug, PartialEq)]
struct Address {
    /// `None`: any address, where only a port is given.
    ranges: Option<Vec<AddressRange>>,
    port: Option<u16>,
}

const WHAT: &str = "an address such as 10.0.0.5, a network such as 10.0.0.0/8, `ipv4` or `ipv6`";

impl Values<'_> {
    /// The alternatives for address fields. A field without a port beside it is passed over where a port is asked
    /// for; it is an error if no field has one.
    pub(super) fn addresses(
        &self,
        targets: &[Target],
        (operator, operator_span): (Operator, Span),
        written: &Written,
    ) -> Result<Vec<Alternative>, QueryError> {
        let mut without_port = Vec::new();
        let mut with_port: Vec<(u16, Option<Vec<AddressRange>>)> = Vec::new();
        let mut port_of = std::collections::HashMap::new();
        for literal in written.literals() {
            let text = self.exact(literal, WHAT)?;
            let Some(address) = parse_address(&text) else {
                return Err(self.wrong(literal, "this is no address").expected(WHAT));
            };
            match (address.ranges, address.port) {
                (Some(ranges), None) => without_port.extend(self.compared(operator, operator_span, literal, ranges)?),
                (ranges, Some(port)) => {
                    if operator != Operator::Equal {
                        let message = format!("an address with a port can't be compared by `{}`", operator.as_str());
                        return Err(QueryError::new(self.text, operator_span, message).expected("`==` or `!=`"));
                    }
                    if !targets.iter().any(|target| self.port(*target).is_some()) {
                        return Err(self
                            .wrong(literal, "this field has no port beside it")
                            .expected("an address without a port"));
                    }
                    // addresses of one port share a predicate
                    let place = *port_of.entry((port, ranges.is_some())).or_insert(with_port.len());
                    match (with_port.get_mut(place), ranges) {
                        (Some((_, Some(known))), Some(ranges)) => known.extend(ranges),
                        (Some(_), _) => {}
                        (None, ranges) => with_port.push((port, ranges)),
                    }
                }
                (None, None) => return Err(self.wrong(literal, "this is no address").expected(WHAT)),
            }
        }
        let mut alternatives = Vec::new();
        if !without_port.is_empty() {
            let predicate = Predicate::Address(without_port);
            alternatives.push(Alternative { targets: targets.to_vec(), predicate });
        }
        for (number, ranges) in with_port {
            for target in targets {
                let Some(port @ Target::Field(field)) = self.port(*target) else { continue };
                alternatives.push(match &ranges {
                    Some(ranges) => Alternative {
                        targets: vec![*target],
                        predicate: Predicate::AddressWithPort { ranges: ranges.clone(), port: field, number },
                    },
                    None => Alternative {
                        targets: vec![port],
                        predicate: Predicate::Integer(vec![Range { low: number.into(), high: number.into() }]),
                    },
                });
            }
        }
        Ok(alternatives)
    }

    /// The field of the port beside an address.
    fn port(&self, target: Target) -> Option<Target> {
        match self.catalogue.resolve(self.catalogue.field(target.field()).port?)? {
            Resolved::Field(id) => Some(Target::Field(id)),
            _ => None,
        }
    }

    fn compared(
        &self,
        operator: Operator,
        operator_span: Span,
        literal: &Literal,
        ranges: Vec<AddressRange>,
    ) -> Result<Vec<AddressRange>, QueryError> {
        if operator == Operator::Equal {
            return Ok(ranges);
        }
        let [range] = ranges.as_slice() else {
            let message = format!("`{}` does not apply to it", operator.as_str());
            return Err(QueryError::new(self.text, operator_span.to(literal.span()), message).expected("`==` or `!=`"));
        };
        Ok(match (range.low, range.high) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                let (low, high) = bounds(operator, low.to_bits().into(), high.to_bits().into(), u32::MAX.into());
                if low > high { Vec::new() } else { vec![v4(low as u32, high as u32)] }
            }
            (IpAddr::V6(low), IpAddr::V6(high)) => {
                let (low, high) = bounds(operator, low.to_bits(), high.to_bits(), u128::MAX);
                v6(low, high)
            }
            _ => Vec::new(),
        })
    }
}

/// The addresses that compare so with those from `low` to `high`; empty if the first is larger than the second.
const fn bounds(operator: Operator, low: u128, high: u128, last: u128) -> (u128, u128) {
    match operator {
        Operator::Equal => (low, high),
        Operator::AtMost => (0, high),
        Operator::AtLeast => (low, last),
        Operator::Below if low == 0 => (1, 0),
        Operator::Below => (0, low - 1),
        Operator::Above if high == last => (1, 0),
        Operator::Above => (high + 1, last),
    }
}

fn v4(low: u32, high: u32) -> AddressRange {
    AddressRange { low: IpAddr::V4(Ipv4Addr::from_bits(low)), high: IpAddr::V4(Ipv4Addr::from_bits(high)) }
}

/// IPv6 ranges without the IPv4-mapped block; what lies in it becomes IPv4.
fn v6(low: u128, high: u128) -> Vec<AddressRange> {
    const MAPPED_FIRST: u128 = 0xffff_0000_0000;
    const MAPPED_LAST: u128 = 0xffff_ffff_ffff;
    let range = |low: u128, high: u128| AddressRange {
        low: IpAddr::V6(Ipv6Addr::from_bits(low)),
        high: IpAddr::V6(Ipv6Addr::from_bits(high)),
    };
    if low > high {
        return Vec::new();
    }
    if MAPPED_FIRST <= low && high <= MAPPED_LAST {
        return vec![v4(low as u32, high as u32)];
    }
    let mut ranges = Vec::with_capacity(2);
    if low < MAPPED_FIRST {
        ranges.push(range(low, high.min(MAPPED_FIRST - 1)));
    }
    if high > MAPPED_LAST {
        ranges.push(range(low.max(MAPPED_LAST + 1), high));
    }
    ranges
}

/// An address, network, partial address, port or several of them.
fn parse_address(text: &str) -> Option<Address> {
    match text {
        "ipv4" => return Some(Address { ranges: Some(vec![v4(0, u32::MAX)]), port: None }),
        "ipv6" => return Some(Address { ranges: Some(v6(0, u128::MAX)), port: None }),
        // nothing but the sign of a port
        "" | ":" | "." => return None,
        _ => {}
    }
    let colons = text.matches(':').count();
    // IPv4 has at most the colon of its port; IPv6 at least two, and a dot before its port
    let (address, port) = if colons < 2 {
        match (text.split_once(':'), text.strip_prefix('.')) {
            (Some((address, port)), _) => (address, port),
            (None, Some(port)) => ("", port),
            (None, None) => (text, ""),
        }
    } else {
        split_v6(text)
    };
    let port = if port.is_empty() { None } else { Some(number(port, 65_535)? as u16) };
    if address.is_empty() {
        return Some(Address { ranges: None, port });
    }
    let ranges = if colons < 2 { vec![network_v4(address)?] } else { network_v6(address)? };
    Some(Address { ranges: Some(ranges), port })
}

/// The address and the port behind the last dot; the dots of an IPv4 tail (`::ffff:1.2.3.4`) belong to the address.
fn split_v6(text: &str) -> (&str, &str) {
    let tail = text.rfind([':', '/']).map_or(0, |at| at + 1);
    let dots = text.get(tail..).unwrap_or("").matches('.').count();
    match (dots, text.rsplit_once('.')) {
        (1 | 4, Some(parts)) => parts,
        _ => (text, ""),
    }
}

/// `10`, `10.0.0`, `1.2.3/25`, `1./23`.
fn network_v4(text: &str) -> Option<AddressRange> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address = address.strip_suffix('.').unwrap_or(address);
    let (mut bits, mut given) = (0_u32, 0_u32);
    for part in address.split('.') {
        if given == 32 {
            return None;
        }
        given += 8;
        bits |= (number(part, 255)? as u32) << (32 - given);
    }
    let length = length.map_or(Some(given), |length| number(length, 32).map(|length| length as u32))?;
    let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
    Some(v4(bits & !hosts, bits | hosts))
}

/// `1:2:3`, `1:2::/32`, `::1`.
fn network_v6(text: &str) -> Option<Vec<AddressRange>> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let (bits, given) = match address.parse::<Ipv6Addr>() {
        Ok(whole) => (whole.to_bits(), 128),
        Err(_) => partial_v6(address)?,
    };
    let length = length.map_or(Some(given), |length| number(length, 128).map(|length| length as u32))?;
    let hosts = u128::MAX.checked_shr(length).unwrap_or(0);
    Some(v6(bits & !hosts, bits | hosts))
}

/// The first groups of an address, and how many bits they are; a colon at the end is let pass.
fn partial_v6(text: &str) -> Option<(u128, u32)> {
    let text = text.strip_suffix(':').unwrap_or(text);
    let (mut bits, mut given) = (0_u128, 0_u32);
    for group in text.split(':') {
        let fits = (1..=4).contains(&group.len()) && group.bytes().all(|digit| digit.is_ascii_hexdigit());
        if given == 128 || !fits {
            return None;
        }
        given += 16;
        bits |= u128::from_str_radix(group, 16).ok()? << (128 - given);
    }
    Some((bits, given))
}

/// Decimal digits up to a limit.
fn number(text: &str, most: u64) -> Option<u64> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    let number = digits.then(|| text.parse::<u64>().ok()).flatten()?;
    (number <= most).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let address = parse_address(text)?;
        let ranges = address.ranges.map_or("any".to_owned(), |ranges| {
            let each: Vec<String> = ranges.iter().map(|range| format!("{}-{}", range.low, range.high)).collect();
            each.join(",")
        });
        Some(match address.port {
            Some(port) => format!("{ranges} {port}"),
            None => ranges,
        })
    }

    #[test]
    fn forms() {
        for (text, meaning) in [
            ("1.2.3.4", "1.2.3.4-1.2.3.4"),
            ("10", "10.0.0.0-10.255.255.255"),
            ("10.0.0", "10.0.0.0-10.0.0.255"),
            ("10.0.0.", "10.0.0.0-10.0.0.255"),
            ("1.2.3/25", "1.2.3.0-1.2.3.127"),
            ("1./23", "1.0.0.0-1.0.1.255"),
            ("10.0.0.5/24", "10.0.0.0-10.0.0.255"),
            ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
            ("1.2.3.4:80", "1.2.3.4-1.2.3.4 80"),
            ("1.2.3:82", "1.2.3.0-1.2.3.255 82"),
            ("10.0.0.0/8:443", "10.0.0.0-10.255.255.255 443"),
            (":80", "any 80"),
            (".80", "any 80"),
            ("1.2.3.4:", "1.2.3.4-1.2.3.4"),
            ("1:2:3", "1:2:3::-1:2:3:ffff:ffff:ffff:ffff:ffff"),
            ("1::2", "1::2-1::2"),
            ("1::2.80", "1::2-1::2 80"),
            ("1::2.", "1::2-1::2"),
            ("2001:db8::/32", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::5/32.53", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 53"),
            ("::ffff:1.2.3.4", "1.2.3.4-1.2.3.4"),
            ("::ffff:1.2.3.4.80", "1.2.3.4-1.2.3.4 80"),
            ("::ffff:1.2.0.0/112", "1.2.0.0-1.2.255.255"),
            ("ipv6", "::-::fffe:ffff:ffff,::1:0:0:0-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(meaning), "{text}");
        }
        for wrong in [
            "1.2.3.4:80x",
            "1.2.3.4.5",
            "256",
            "1.2.3.4/33",
            "1.2.3.4:65536",
            "1:2:3:4:5:6:7:8:9",
            "x",
            "",
            ":",
            ".",
            "1..2",
            "1.2.3.4/",
            "::1/129",
            "::1::",
            "1:g::",
            "/8",
            "1::2.80x",
            "1.2.3.4:-1",
            "+1",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
