use proptest::prelude::*;

use crate::decode::{Layer, decode};

use super::*;

const RAW: u32 = 101;

/// One fragment of a datagram from 10.0.0.1 to 10.0.0.2.
fn ipv4(protocol: u8, identification: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let place = (offset / 8) | if more { 0x2000 } else { 0 };
    [
        &[0x46, 0][..],                             // version, length 24; service
        &(24 + payload.len() as u16).to_be_bytes(), // total length
        &identification.to_be_bytes(),              // identification
        &place.to_be_bytes(),                       // flags, offset
        &[64, protocol, 0, 0],                      // TTL, protocol, checksum
        &[10, 0, 0, 1, 10, 0, 0, 2],                // addresses
        &[1, 1, 1, 0],                              // options
        payload,
    ]
    .concat()
}

/// One fragment of a datagram from ::1 to ::2, behind hop-by-hop options.
fn ipv6(protocol: u8, identification: u32, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    [
        &[0x60, 0, 0, 0][..],                              // version
        &(16 + payload.len() as u16).to_be_bytes(),        // payload length
        &[0, 64],                                          // hop-by-hop options next, hop limit
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], // source
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], // destination
        &[44, 0, 1, 4, 0, 0, 0, 0],                        // options: fragment header next, PadN
        &[protocol, 0],                                    // payload's protocol, reserved
        &(offset | u16::from(more)).to_be_bytes(),         // offset, more
        &identification.to_be_bytes(),                     // identification
        payload,
    ]
    .concat()
}

fn fragment(version: u8, identification: u16, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    if version == 4 {
        ipv4(17, identification, offset as u16, more, payload)
    } else {
        ipv6(17, u32::from(identification), offset as u16, more, payload)
    }
}

/// UDP from 1111 to 53 with a payload that counts up.
fn udp(length: usize) -> Vec<u8> {
    let mut bytes = vec![4, 87, 0, 53];
    bytes.extend((length as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((0..length - 8).map(|at| (at * 7) as u8));
    bytes
}

fn push<'a>(reassembler: &'a mut Reassembler, seconds: u64, packet: &[u8]) -> Outcome<'a> {
    let decoded = decode(RAW, packet, packet.len() as u32);
    reassembler.push(Timestamp(seconds * 1_000_000_000), packet, &decoded)
}

#[track_caller]
fn complete(outcome: Outcome<'_>) -> Vec<u8> {
    let Outcome::Complete { packet, .. } = outcome else { panic!("{outcome:?}") };
    packet.to_vec()
}

#[track_caller]
fn refusal(outcome: Outcome<'_>) -> Reason {
    let Outcome::Refused { reason, .. } = outcome else { panic!("{outcome:?}") };
    reason
}

#[test]
fn ports_are_known_from_the_first_fragment_on() {
    for version in [4, 6] {
        let datagram = udp(40);
        let mut reassembler = Reassembler::default();
        let outcome = push(&mut reassembler, 1, &fragment(version, 5, 32, false, &datagram[32..]));
        assert_eq!(outcome, Outcome::Held { id: DatagramId(0), ports: None });
        let outcome = push(&mut reassembler, 1, &fragment(version, 5, 0, true, &datagram[..16]));
        assert_eq!(outcome, Outcome::Held { id: DatagramId(0), ports: Some((1111, 53)) });
        assert_eq!(reassembler.open_datagrams(), 1);

        let outcome = push(&mut reassembler, 2, &fragment(version, 5, 16, true, &datagram[16..32]));
        assert!(matches!(outcome, Outcome::Complete { id: DatagramId(0), ports: Some((1111, 53)), .. }));
        let packet = complete(outcome);
        let decoded = decode(RAW, &packet, packet.len() as u32);
        assert_eq!((decoded.layer, decoded.fragment), (Layer::Ports, None));
        assert_eq!((decoded.source_port, decoded.destination_port), (1111, 53));
        assert_eq!(decoded.payload(&packet), &datagram[8..]);
        // The fragment header goes, the other headers stay.
        assert_eq!(packet.len(), if version == 4 { 24 + 40 } else { 48 + 40 });
        if version == 4 {
            let (header, _) = etherparse::Ipv4Header::from_slice(&packet).unwrap();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
        }
        assert_eq!((reassembler.open_datagrams(), reassembler.held_bytes()), (0, 0));
        assert_eq!(reassembler.expired().count(), 0);
    }
}

#[test]
fn a_transport_header_over_two_fragments() {
    let datagram = [&[0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0][..], b"tiny"].concat();
    let mut reassembler = Reassembler::default();
    let outcome = push(&mut reassembler, 1, &ipv4(6, 5, 0, true, &datagram[..8]));
    assert_eq!(outcome, Outcome::Held { id: DatagramId(0), ports: Some((40_000, 443)) });
    let packet = complete(push(&mut reassembler, 1, &ipv4(6, 5, 8, false, &datagram[8..])));
    let decoded = decode(RAW, &packet, packet.len() as u32);
    assert_eq!((decoded.layer, decoded.tcp_flags, decoded.payload(&packet)), (Layer::Ports, 2, &b"tiny"[..]));
}

#[test]
fn protocols_without_ports_have_zeros() {
    let mut reassembler = Reassembler::default();
    let outcome = push(&mut reassembler, 1, &ipv4(1, 5, 0, true, &[8, 0, 0, 0, 0, 7, 0, 1]));
    assert_eq!(outcome, Outcome::Held { id: DatagramId(0), ports: Some((0, 0)) });
    // The same identification with another protocol is another datagram.
    let outcome = push(&mut reassembler, 1, &ipv4(17, 5, 8, false, &[1]));
    assert_eq!(outcome, Outcome::Held { id: DatagramId(1), ports: None });
}

#[test]
fn the_first_copy_wins_for_ipv4() {
    let datagram = udp(32);
    let mut reassembler = Reassembler::default();
    push(&mut reassembler, 1, &ipv4(17, 5, 8, true, &datagram[8..24]));
    push(&mut reassembler, 1, &ipv4(17, 5, 16, true, &[0xff; 8]));
    push(&mut reassembler, 1, &ipv4(17, 5, 16, false, &[&[0xff; 8][..], &datagram[24..]].concat()));
    let packet = complete(push(&mut reassembler, 1, &ipv4(17, 5, 0, true, &[&datagram[..8], &[0xff; 8]].concat())));
    assert_eq!(packet[24..], datagram);
}

#[test]
fn an_overlap_refuses_an_ipv6_datagram() {
    let datagram = udp(32);
    let mut reassembler = Reassembler::default();
    push(&mut reassembler, 1, &fragment(6, 5, 0, true, &datagram[..16]));
    let again = push(&mut reassembler, 1, &fragment(6, 5, 0, true, &datagram[..16]));
    assert!(matches!(again, Outcome::Held { .. }), "exact duplicates do no harm");
    assert_eq!(refusal(push(&mut reassembler, 1, &fragment(6, 5, 8, true, &datagram[8..24]))), Reason::Overlap);
    let outcome = push(&mut reassembler, 1, &fragment(6, 5, 16, false, &datagram[16..]));
    let ports = Some((1111, 53));
    assert_eq!(outcome, Outcome::Refused { id: Some(DatagramId(0)), ports, reason: Reason::Overlap });
    assert_eq!(reassembler.held_bytes(), 0);
    reassembler.finish();
    assert_eq!(reassembler.expired().collect::<Vec<_>>(), [DatagramId(0)]);
    assert_eq!((reassembler.counters().duplicates, reassembler.counters().overlap), (1, 2));
}

#[test]
fn truncated_fragments_tell_their_ports() {
    let first = ipv4(17, 5, 0, true, &udp(64));
    let decoded = decode(RAW, &first[..40], first.len() as u32);
    let mut reassembler = Reassembler::default();
    let outcome = reassembler.push(Timestamp(1), &first[..40], &decoded);
    let ports = Some((1111, 53));
    assert_eq!(outcome, Outcome::Refused { id: Some(DatagramId(0)), ports, reason: Reason::Truncated });
    let outcome = push(&mut reassembler, 1, &ipv4(17, 5, 64, false, &[1; 8]));
    assert_eq!(outcome, Outcome::Refused { id: Some(DatagramId(0)), ports, reason: Reason::Truncated });
}

#[test]
fn nonsense_is_refused_alone() {
    let datagram = udp(32);
    let mut reassembler = Reassembler::default();
    push(&mut reassembler, 1, &ipv4(17, 5, 0, true, &datagram[..16]));
    for (packet, reason) in [
        (ipv4(17, 5, 16, true, &[1; 7]), Reason::Malformed),
        (ipv4(17, 5, 16, true, &[]), Reason::Malformed),
        (ipv4(17, 5, 65_528, false, &[1; 8]), Reason::TooLong),
        (ipv4(17, 5, 8, false, &[1; 4]), Reason::Inconsistent),
    ] {
        assert_eq!(refusal(push(&mut reassembler, 1, &packet)), reason);
    }
    let whole = ipv4(17, 5, 0, false, &datagram);
    let outcome = push(&mut reassembler, 1, &whole);
    assert_eq!(outcome, Outcome::Refused { id: None, ports: None, reason: Reason::NotAFragment });
    assert_eq!(complete(push(&mut reassembler, 1, &ipv4(17, 5, 16, false, &datagram[16..])))[24..], datagram);
}

#[test]
fn old_datagrams_expire_in_order() {
    let mut reassembler = Reassembler::default();
    for (seconds, identification) in [(100, 1), (130, 2), (120, 3)] {
        push(&mut reassembler, seconds, &ipv4(17, identification, 8, true, &[1; 8]));
    }
    reassembler.advance(Timestamp(159_999_999_999));
    assert_eq!(reassembler.expired().count(), 0);
    push(&mut reassembler, 160, &ipv4(17, 4, 8, true, &[1; 8]));
    assert_eq!(reassembler.expired().collect::<Vec<_>>(), [DatagramId(0)]);
    // The clock stood still at 130 for the third.
    reassembler.advance(Timestamp(190_000_000_000));
    assert_eq!(reassembler.expired().collect::<Vec<_>>(), [DatagramId(1), DatagramId(2)]);
    reassembler.finish();
    assert_eq!(reassembler.expired().collect::<Vec<_>>(), [DatagramId(3)]);
    assert_eq!((reassembler.counters().expired, reassembler.held_bytes()), (4, 0));
}

#[test]
fn bounds_hold() {
    let limits = Limits { datagrams: 3, fragments: 4, bytes: 1_000, ..Limits::default() };
    let mut reassembler = Reassembler::new(limits);
    for identification in 0..5 {
        push(&mut reassembler, 1, &ipv4(17, identification, 8, true, &[1; 8]));
    }
    assert_eq!(reassembler.open_datagrams(), 3);
    assert_eq!(reassembler.expired().collect::<Vec<_>>(), [DatagramId(0), DatagramId(1)]);
    assert_eq!(reassembler.counters().evicted_for_count, 2);

    push(&mut reassembler, 1, &ipv4(17, 4, 16, true, &[1; 800]));
    assert!(reassembler.held_bytes() <= 1_000);
    assert!(reassembler.counters().evicted_for_bytes > 0);

    let mut reassembler = Reassembler::new(limits);
    for place in 1..5 {
        push(&mut reassembler, 1, &ipv4(17, 9, place * 8, true, &[1; 8]));
    }
    assert_eq!(refusal(push(&mut reassembler, 1, &ipv4(17, 9, 0, true, &[1; 8]))), Reason::TooManyFragments);
    assert_eq!(reassembler.held_bytes(), 0);

    // Nobody fetches what expires: the list stays bounded too.
    for identification in 10..30 {
        push(&mut reassembler, 1, &ipv4(17, identification, 8, true, &[1; 8]));
    }
    assert_eq!(reassembler.expired().count(), 3);
    assert!(reassembler.counters().unfetched > 0);
}

#[test]
fn the_largest_datagram() {
    let datagram = udp(65_535 - 24);
    let mut reassembler = Reassembler::default();
    let mut whole = None;
    for (at, piece) in datagram.chunks(1_480).enumerate() {
        let more = (at + 1) * 1_480 < datagram.len();
        if let Outcome::Complete { packet, .. } =
            push(&mut reassembler, 1, &ipv4(17, 5, (at * 1_480) as u16, more, piece))
        {
            whole = Some(packet.to_vec());
        }
    }
    assert_eq!(whole.unwrap()[24..], datagram);
}

/// The naive model: bytes of an IPv4 datagram, each as it came first.
#[derive(Default)]
struct Model {
    bytes: Vec<Option<u8>>,
    length: Option<usize>,
}

impl Model {
    fn push(&mut self, offset: usize, more: bool, payload: &[u8]) -> Option<Vec<u8>> {
        let end = offset + payload.len();
        let fits = match self.length {
            Some(length) if more => end <= length,
            Some(length) => end == length,
            None => more || end >= self.bytes.len(),
        };
        if !fits {
            return None;
        }
        self.bytes.resize(self.bytes.len().max(end), None);
        for (at, byte) in payload.iter().enumerate() {
            self.bytes[offset + at].get_or_insert(*byte);
        }
        if !more {
            self.length = Some(end);
        }
        let bytes: Option<Vec<u8>> = self.bytes.iter().copied().collect();
        let bytes = bytes.filter(|bytes| self.length == Some(bytes.len()))?;
        *self = Self::default();
        Some(bytes)
    }
}

proptest! {
    #[test]
    fn any_order_and_duplication_gives_the_datagram(
        version in prop_oneof![Just(4_u8), Just(6)],
        length in 16..400_usize,
        piece in 1..6_usize,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..150),
    ) {
        let datagram = udp(length);
        let pieces: Vec<&[u8]> = datagram.chunks(piece * 8).collect();
        prop_assume!(pieces.len() > 1 && pieces.len() <= MAXIMUM_FRAGMENTS);
        // Any pieces in any order, then all of them in case some didn't come.
        let sequence = order.iter().map(|index| index.index(pieces.len())).chain(0..pieces.len());
        let mut reassembler = Reassembler::default();
        let mut completed = 0;
        for at in sequence {
            let packet = fragment(version, 1, at * piece * 8, at + 1 < pieces.len(), pieces[at]);
            match push(&mut reassembler, 1, &packet) {
                Outcome::Complete { packet, ports, .. } => {
                    completed += 1;
                    prop_assert_eq!(ports, Some((1111, 53)));
                    let decoded = decode(RAW, packet, packet.len() as u32);
                    prop_assert_eq!(decoded.payload(packet), &datagram[8..]);
                }
                Outcome::Held { ports, .. } => prop_assert!(at != 0 || ports.is_some()),
                Outcome::Refused { reason, .. } => prop_assert!(false, "{:?}", reason),
            }
        }
        prop_assert!(completed > 0);
    }

    #[test]
    fn overlapping_ipv4_fragments_follow_the_model(
        fragments in prop::collection::vec((0..6_usize, 1..4_usize, any::<bool>(), any::<u8>()), 1..60),
    ) {
        let (mut model, mut reassembler) = (Model::default(), Reassembler::default());
        for (place, length, more, byte) in fragments {
            let (offset, payload) = (place * 8, vec![byte; length * 8]);
            if offset == 0 && !more {
                continue; // no fragment
            }
            let expected = model.push(offset, more, &payload);
            let got = match push(&mut reassembler, 1, &ipv4(200, 1, offset as u16, more, &payload)) {
                Outcome::Complete { packet, .. } => Some(packet[24..].to_vec()),
                _ => None,
            };
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn any_fragments_keep_the_bounds_and_the_balance(
        packets in prop::collection::vec(
            (any::<bool>(), 0..4_u16, 0..10_u16, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40), 0..100_u64, 0..8_usize),
            0..80,
        ),
    ) {
        let limits = Limits { datagrams: 3, fragments: 5, bytes: 600, ..Limits::default() };
        let (mut first, mut second) = (Reassembler::new(limits), Reassembler::new(limits));
        let mut opened = std::collections::BTreeSet::new();
        for (is_ipv6, identification, place, more, payload, seconds, cut) in packets {
            let packet = fragment(if is_ipv6 { 6 } else { 4 }, identification, usize::from(place) * 8, more, &payload);
            let captured = &packet[..packet.len() - cut.min(packet.len())];
            let decoded = decode(RAW, captured, packet.len() as u32);
            let clock = Timestamp(seconds * 1_000_000_000);
            let outcome = first.push(clock, captured, &decoded);
            prop_assert_eq!(outcome, second.push(clock, captured, &decoded));
            match outcome {
                Outcome::Held { id, .. } | Outcome::Refused { id: Some(id), .. } => { opened.insert(id); }
                Outcome::Complete { id, packet, .. } => {
                    opened.remove(&id);
                    prop_assert!(decode(RAW, packet, packet.len() as u32).layer != Layer::CorruptEther);
                }
                Outcome::Refused { .. } => {}
            }
            let expired: Vec<DatagramId> = first.expired().collect();
            for id in &expired {
                prop_assert!(opened.remove(id), "{:?}", id);
            }
            prop_assert_eq!(expired, second.expired().collect::<Vec<_>>());
            prop_assert!(first.open_datagrams() <= 3 && first.held_bytes() <= 600);
            prop_assert_eq!(first.open_datagrams(), opened.len());
        }
        first.finish();
        prop_assert_eq!(first.expired().collect::<Vec<_>>(), opened.into_iter().collect::<Vec<_>>());
        prop_assert_eq!((first.open_datagrams(), first.held_bytes()), (0, 0));
        let counters = first.counters();
        let refused = counters.malformed + counters.too_long + counters.inconsistent + counters.truncated
            + counters.overlap + counters.too_many_fragments;
        prop_assert_eq!(counters.fragments, counters.held + counters.complete + refused);
    }
}
