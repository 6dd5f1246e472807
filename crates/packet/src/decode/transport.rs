//! Transport headers: ports, TCP's numbers, ICMP's type, SCTP's chunks.

use super::{Decoded, Layer, Span};

/// Most chunks of one SCTP packet that are looked at.
pub const MAXIMUM_SCTP_CHUNKS: usize = 64;

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const SCTP_HEADER: usize = 12;

/// What follows the IP headers.
#[inline]
pub(super) fn decode(packet: &[u8], protocol: u8, offset: usize, span: Span, decoded: &mut Decoded) {
    decoded.transport_offset = span.clamped(offset);
    if decoded.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return bare(protocol, offset, span, decoded);
    }
    let rest = span.captured(packet, offset);
    let complete = match protocol {
        6 => tcp(rest, offset, span, decoded),
        17 => udp(rest, offset, span, decoded),
        132 => sctp(rest, offset, span, decoded),
        1 | 58 => icmp(protocol, rest, offset, span, decoded),
        _ => {
            bare(protocol, offset, span, decoded);
            true
        }
    };
    if !complete {
        incomplete(protocol, rest, offset, span, decoded);
    }
}

/// A header that is cut or makes no sense.
#[cold]
fn incomplete(protocol: u8, rest: &[u8], offset: usize, span: Span, decoded: &mut Decoded) {
    decoded.layer = Layer::CorruptIp;
    span.all(offset, decoded);
    // The rest of a first fragment's header may stand in the next; the ports are what joins them to a session.
    if decoded.fragment.is_some() {
        decoded.layer = Layer::Ip;
        if let (true, Some(ports)) = (matches!(protocol, 6 | 17 | 132), rest.first_chunk::<4>()) {
            put_ports(*ports, decoded);
        }
    }
}

/// IP's payload without ports: a protocol that has none, or a fragment that is not the first.
#[inline]
fn bare(protocol: u8, offset: usize, span: Span, decoded: &mut Decoded) {
    decoded.layer = if is_known_protocol(protocol) { Layer::Ip } else { Layer::UnknownIp };
    span.all(offset, decoded);
}

#[inline]
fn put_ports([a, b, c, d]: [u8; 4], decoded: &mut Decoded) {
    decoded.source_port = u16::from_be_bytes([a, b]);
    decoded.destination_port = u16::from_be_bytes([c, d]);
}

/// TCP (RFC 9293, 3.1); options cut by a snap length do no harm.
#[inline]
fn tcp(rest: &[u8], offset: usize, span: Span, decoded: &mut Decoded) -> bool {
    let Some(header) = rest.first_chunk::<TCP_HEADER>() else { return false };
    let header_length = usize::from(header[12] >> 4) * 4;
    if header_length < TCP_HEADER || offset + header_length > span.wire_end {
        return false;
    }
    put_ports([header[0], header[1], header[2], header[3]], decoded);
    decoded.tcp_sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    decoded.tcp_acknowledgement = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    // RFC 9768: the accurate ECN flag, once the nonce sum.
    decoded.tcp_ae = header[12] & 1 != 0;
    decoded.tcp_flags = header[13];
    decoded.tcp_window = u16::from_be_bytes([header[14], header[15]]);
    decoded.layer = Layer::Ports;
    span.all(offset + header_length, decoded);
    true
}

/// UDP (RFC 768).
#[inline]
fn udp(rest: &[u8], offset: usize, span: Span, decoded: &mut Decoded) -> bool {
    let Some(header) = rest.first_chunk::<UDP_HEADER>() else { return false };
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let span = match length {
        // RFC 2675, 4: longer than the field can say.
        0 => span,
        1..UDP_HEADER => return false,
        _ => span.limited(offset + length),
    };
    put_ports([header[0], header[1], header[2], header[3]], decoded);
    decoded.layer = Layer::Ports;
    span.all(offset + UDP_HEADER, decoded);
    true
}

/// SCTP's common header (RFC 9260, 3.1); the payload starts at the first chunk.
fn sctp(rest: &[u8], offset: usize, span: Span, decoded: &mut Decoded) -> bool {
    let Some(header) = rest.first_chunk::<SCTP_HEADER>() else { return false };
    put_ports([header[0], header[1], header[2], header[3]], decoded);
    decoded.layer = Layer::Ports;
    span.all(offset + SCTP_HEADER, decoded);
    true
}

/// ICMP (RFC 792) and ICMPv6 (RFC 4443); the payload is the whole message, header included.
fn icmp(protocol: u8, rest: &[u8], offset: usize, span: Span, decoded: &mut Decoded) -> bool {
    let Some(header) = rest.first_chunk::<4>() else { return false };
    decoded.icmp_type = header[0];
    decoded.icmp_code = header[1];
    let echo = if protocol == 1 { matches!(header[0], 0 | 8) } else { matches!(header[0], 128 | 129) };
    if let (true, [_, _, _, _, high, low, ..]) = (echo, rest) {
        decoded.tcp_sequence = u32::from(u16::from_be_bytes([*high, *low]));
    }
    decoded.layer = Layer::Ip;
    span.all(offset, decoded);
    true
}

/// Tells whether an IP protocol is one that has a name here; sessions of others are tagged `unknown-ip`.
#[inline]
#[must_use]
pub const fn is_known_protocol(protocol: u8) -> bool {
    matches!(
        protocol,
        1 // ICMP
            | 2 // IGMP
            | 4 // IPv4 in IP
            | 6 // TCP
            | 17 // UDP
            | 41 // IPv6 in IP
            | 47 // GRE
            | 50 // ESP
            | 51 // AH
            | 58 // ICMPv6
            | 59 // no next header
            | 60 // destination options, met only in fragments that aren't first
            | 88 // EIGRP
            | 89 // OSPF
            | 103 // PIM
            | 112 // VRRP
            | 115 // L2TP
            | 132 // SCTP
            | 136 // UDP-Lite
    )
}

/// A piece of user data in an SCTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpData<'a> {
    /// Payload protocol identifier; 0 where the sender didn't say, or in a later piece of an I-DATA message.
    pub protocol_id: u32,
    /// Stream identifier.
    pub stream: u16,
    /// True for the first piece of a message.
    pub begins: bool,
    /// True for the last piece of a message.
    pub ends: bool,
    /// The data, as far as captured.
    pub bytes: &'a [u8],
}

/// Walks the DATA (RFC 9260, 3.3.1) and I-DATA (RFC 8260, 2.1) chunks of an SCTP packet's payload, in order.
///
/// Ends at a chunk whose length is impossible, and after [`MAXIMUM_SCTP_CHUNKS`] chunks of any type. Data cut by the end
/// of the payload is given as far as it goes.
pub fn sctp_data_chunks(payload: &[u8]) -> impl Iterator<Item = SctpData<'_>> {
    let mut rest = payload;
    let chunks = std::iter::from_fn(move || {
        let [kind, flags, high, low, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = rest.get(4..length.min(rest.len()))?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, flags, body))
    });
    chunks.take(MAXIMUM_SCTP_CHUNKS).filter_map(|(kind, flags, body)| {
        let begins = flags & 2 != 0;
        let (protocol_id, stream, bytes) = match kind {
            0 => {
                // Transmission sequence number 4, stream 2, sequence in it 2, payload protocol 4.
                let (header, bytes) = body.split_first_chunk::<12>()?;
                (u32::from_be_bytes([header[8], header[9], header[10], header[11]]), [header[4], header[5]], bytes)
            }
            64 => {
                // Transmission sequence number 4, stream 2, reserved 2, message 4, payload protocol or piece number 4.
                let (header, bytes) = body.split_first_chunk::<16>()?;
                let last = u32::from_be_bytes([header[12], header[13], header[14], header[15]]);
                (if begins { last } else { 0 }, [header[4], header[5]], bytes)
            }
            _ => return None,
        };
        let stream = u16::from_be_bytes(stream);
        Some(SctpData { protocol_id, stream, begins, ends: flags & 1 != 0, bytes })
    })
}
