//! IPv4 and IPv6: addresses, fragments, and the way to the transport header.

use etherparse::{Ipv4HeaderSlice, ip_number};

use super::{Decoded, Fragment, Layer, Span, transport};

/// Most extension headers of one packet; one with more is corrupt.
///
/// RFC 8200 (4.1) has six kinds, of which one may come twice.
pub const MAXIMUM_EXTENSION_HEADERS: u32 = 10;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Length of the IPv6 fragment header (RFC 8200, 4.5).
pub(crate) const FRAGMENT_HEADER: usize = 8;

/// An IP packet whose version is in its first nibble.
#[inline]
pub(super) fn any_version(packet: &[u8], offset: usize, span: Span, decoded: &mut Decoded) {
    match packet.get(offset).map(|first| first >> 4) {
        Some(4) => ipv4(packet, offset, span, decoded),
        Some(6) => ipv6(packet, offset, span, decoded),
        _ => {
            decoded.layer = Layer::CorruptIp;
            span.all(offset, decoded);
        }
    }
}

/// An IPv4 packet (RFC 791).
#[inline]
pub(super) fn ipv4(packet: &[u8], offset: usize, span: Span, decoded: &mut Decoded) {
    decoded.network_offset = offset as u32;
    decoded.ethertype = 0x0800;
    let rest = span.captured(packet, offset);
    let Ok(header) = Ipv4HeaderSlice::from_slice(rest) else { return broken_ipv4(rest, offset, span, decoded) };
    decoded.ip_version = 4;
    put_ipv4_addresses(header.source(), header.destination(), decoded);
    decoded.ttl = header.ttl();
    decoded.dscp = header.dcp().value();
    let protocol = header.protocol().0;
    decoded.ip_protocol = protocol;

    let header_length = header.slice().len();
    let total_length = usize::from(header.total_len());
    let transport_offset = offset + header_length;
    let span = if total_length == 0 {
        // Segmentation offload: the packet was captured before its length was known.
        span
    } else if total_length < header_length {
        decoded.layer = Layer::CorruptIp;
        return span.all(transport_offset, decoded);
    } else {
        span.claimed(offset + total_length)
    };

    let fragment_offset = header.fragments_offset().value() * 8;
    let more = header.more_fragments();
    if more || fragment_offset != 0 {
        let identification = u32::from(header.identification());
        decoded.fragment = Some(Fragment { identification, offset: fragment_offset, more });
    }
    if protocol == ip_number::AUTH.0 && fragment_offset == 0 {
        return extensions(packet, protocol, transport_offset, span, decoded);
    }
    transport::decode(packet, protocol, transport_offset, span, decoded);
}

#[cold]
fn broken_ipv4(rest: &[u8], offset: usize, span: Span, decoded: &mut Decoded) {
    decoded.layer = Layer::CorruptIp;
    span.all(offset, decoded);
    let Some(header) = rest.first_chunk::<IPV4_HEADER>() else { return };
    if header[0] >> 4 == 4 {
        decoded.ip_version = 4;
        decoded.ip_protocol = header[9];
        put_ipv4_addresses(
            [header[12], header[13], header[14], header[15]],
            [header[16], header[17], header[18], header[19]],
            decoded,
        );
    }
}

#[inline]
fn put_ipv4_addresses(source: [u8; 4], destination: [u8; 4], decoded: &mut Decoded) {
    decoded.source = mapped(source);
    decoded.destination = mapped(destination);
}

#[inline]
const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// An IPv6 packet (RFC 8200).
#[inline]
pub(super) fn ipv6(packet: &[u8], offset: usize, span: Span, decoded: &mut Decoded) {
    decoded.network_offset = offset as u32;
    decoded.ethertype = 0x86dd;
    let header = span.captured(packet, offset).first_chunk::<IPV6_HEADER>();
    let Some(header) = header.filter(|header| header[0] >> 4 == 6) else {
        decoded.layer = Layer::CorruptIp;
        return span.all(offset, decoded);
    };
    decoded.ip_version = 6;
    if let (Some(source), Some(destination)) = (header[8..].first_chunk(), header[24..].first_chunk()) {
        decoded.source = *source;
        decoded.destination = *destination;
    }
    decoded.ttl = header[7];
    decoded.dscp = (header[0] << 2 | header[1] >> 6) & 0x3f;
    let next = header[6];
    let payload_length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let transport_offset = offset + IPV6_HEADER;
    // Length 0 is a jumbogram, or segmentation offload: all there is.
    let span = if payload_length == 0 { span } else { span.claimed(transport_offset + payload_length) };
    if is_extension(next) {
        extensions(packet, next, transport_offset, span, decoded);
    } else {
        decoded.ip_protocol = next;
        transport::decode(packet, next, transport_offset, span, decoded);
    }
}

/// Goes through extension headers to the transport header.
#[cold]
fn extensions(packet: &[u8], first: u8, offset: usize, span: Span, decoded: &mut Decoded) {
    let mut next = first;
    let mut offset = offset;
    for _ in 0..MAXIMUM_EXTENSION_HEADERS {
        decoded.ip_protocol = next;
        if !is_extension(next) {
            return transport::decode(packet, next, offset, span, decoded);
        }
        let Some((following, length)) = extension(span.captured(packet, offset), next) else { break };
        if next == ip_number::IPV6_FRAG.0
            && let Some(fragment) = fragment_header(span.captured(packet, offset))
        {
            if decoded.fragment.is_some() {
                break;
            }
            decoded.fragment = Some(fragment);
            if fragment.offset != 0 {
                decoded.ip_protocol = following;
                return transport::decode(packet, following, offset + FRAGMENT_HEADER, span, decoded);
            }
        }
        next = following;
        offset += length;
    }
    decoded.ip_protocol = next;
    decoded.layer = Layer::CorruptIp;
    span.all(offset, decoded);
}

/// Headers that stand between IP's and the transport's, and say what follows them.
#[inline]
pub(crate) const fn is_extension(protocol: u8) -> bool {
    // Hop-by-hop options, routing, fragment, authentication, destination options.
    matches!(protocol, 0 | 43 | 44 | 51 | 60)
}

/// The protocol that follows an extension header, and the header's length; none where it's cut.
pub(crate) fn extension(bytes: &[u8], kind: u8) -> Option<(u8, usize)> {
    let [next, length, ..] = *bytes else { return None };
    let length = match kind {
        44 => FRAGMENT_HEADER,
        // RFC 4302, 2.2: in 4-byte units, less two.
        51 => (usize::from(length) + 2) * 4,
        _ => (usize::from(length) + 1) * 8,
    };
    (bytes.len() >= length).then_some((next, length))
}

/// Reads an IPv6 fragment header; none where it's cut, or says that the packet is no fragment (RFC 6946).
pub(crate) fn fragment_header(bytes: &[u8]) -> Option<Fragment> {
    let header = bytes.first_chunk::<FRAGMENT_HEADER>()?;
    let place = u16::from_be_bytes([header[2], header[3]]);
    let fragment = Fragment {
        identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        offset: place & 0xfff8,
        more: place & 1 != 0,
    };
    (fragment.more || fragment.offset != 0).then_some(fragment)
}
