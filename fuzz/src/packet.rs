//! Header decoding and capture files.

use skycap_model::MAX_PACKET_BYTES;
use skycap_packet::{
    Packet,
    capture::{CaptureCounters, CaptureError, CaptureReader, MAX_NEEDED_BYTES, Step},
    decode::{Layer, MAXIMUM_SCTP_CHUNKS, decode, sctp_data_chunks},
    link,
};

use crate::input::Input;

/// Link types to choose from; the last one is nobody's.
pub(crate) const LINKS: &[u32] = &[
    link::ETHERNET,
    link::NULL,
    link::RAW,
    link::RAW_12,
    link::RAW_14,
    link::LOOP,
    link::LINUX_SLL,
    link::LINUX_SLL2,
    link::IPV4,
    link::IPV6,
    147,
];

/// Header decoding. Input: link type, original length (2 bytes; 0 as captured), the packet.
pub fn packet(data: &[u8]) {
    let mut input = Input(data);
    let link_type = input.choose(LINKS);
    let original = input.short();
    let bytes = input.0;
    let original = if original == 0 { bytes.len() as u32 } else { u32::from(original) };
    let decoded = decode(link_type, bytes, original);
    let within = |offset: u32| assert!(offset as usize <= bytes.len(), "offset outside of the packet: {decoded:?}");
    within(decoded.network_offset);
    within(decoded.transport_offset);
    within(decoded.payload_offset);
    within(decoded.payload_offset + decoded.payload_length);
    for mac in [decoded.destination_mac, decoded.source_mac] {
        assert!(mac == u16::MAX || usize::from(mac) + 6 <= bytes.len(), "MAC outside of the packet: {decoded:?}");
    }
    assert!(decoded.payload_wire_length >= decoded.payload_length, "{decoded:?}");
    assert!(matches!(decoded.ip_version, 0 | 4 | 6), "{decoded:?}");
    assert_eq!(decoded.source_ip().is_some(), decoded.ip_version != 0);
    if decoded.layer == Layer::Ports {
        assert!(matches!(decoded.ip_protocol, 6 | 17 | 132) || decoded.ip_version != 0, "{decoded:?}");
    }
    let payload = decoded.payload(bytes);
    assert_eq!(payload.len(), decoded.payload_length as usize);
    let mut chunks = 0;
    let mut carried = 0;
    for chunk in sctp_data_chunks(payload) {
        chunks += 1;
        carried += chunk.bytes.len();
    }
    assert!(chunks <= MAXIMUM_SCTP_CHUNKS && carried <= payload.len());
}

/// Capture files, read whole and in pieces: both ways must see the same. Input: size of pieces, the file.
pub fn capture(data: &[u8]) {
    let mut input = Input(data);
    let piece = usize::from(input.byte()) + 1;
    let whole = read(input.0, input.0.len().max(1));
    let pieces = read(input.0, piece);
    assert_eq!(whole, pieces, "read in pieces of {piece} bytes it is another file");
    skycap_packet::fuzz::capture(input.0);
}

#[derive(Debug, PartialEq)]
struct Read {
    /// Time, original length, length, interface, a sum over the bytes.
    packets: Vec<(u64, u32, usize, u32, u64)>,
    end: Result<(), CaptureError>,
    counters: CaptureCounters,
}

fn read(file: &[u8], piece: usize) -> Read {
    let mut reader = CaptureReader::new();
    let (mut start, mut end) = (0, piece.min(file.len()));
    let mut packets = Vec::new();
    let result = loop {
        let window = &file[start..end];
        assert_eq!(reader.offset(), start as u64, "the offset is off");
        let consumed = match reader.next(window) {
            Step::Packet { consumed, packet: Packet { time, original_length, data }, interface } => {
                assert!(data.len() <= MAX_PACKET_BYTES);
                assert!((interface as usize) < reader.interfaces().len(), "packet of no interface");
                let sum = data.iter().fold(0_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
                packets.push((time.0, original_length, data.len(), interface, sum));
                consumed
            }
            Step::Skip { consumed } => consumed,
            Step::NeedMore { at_least } => {
                assert!(at_least > window.len() && at_least <= MAX_NEEDED_BYTES, "asks for {at_least}");
                if end == file.len() {
                    break reader.finish(window.len());
                }
                end = (end + piece).min(file.len());
                continue;
            }
            Step::Error(error) => {
                assert_eq!(reader.next(window), Step::Error(error), "asked again, it answers otherwise");
                break Err(error);
            }
        };
        assert!(consumed > 0 && consumed <= window.len(), "consumed {consumed} of {}", window.len());
        start += consumed;
        end = end.max((start + piece).min(file.len()));
    };
    Read { packets, end: result, counters: reader.counters() }
}
