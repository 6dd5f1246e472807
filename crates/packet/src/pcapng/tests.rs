use super::*;

/// A block with its type, lengths and padding.
fn block(big_endian: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = word(body.len() as u32 + 12);
    [word(kind).as_slice(), &length, &body, &length].concat()
}

fn words(big_endian: bool, values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }).collect()
}

fn halves(big_endian: bool, values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }).collect()
}

fn section(big_endian: bool) -> Vec<u8> {
    let body = [
        words(big_endian, &[BYTE_ORDER_MAGIC]),
        halves(big_endian, &[1, 0]),
        vec![0xff; 8],               // section length not given
        halves(big_endian, &[1, 3]), // a comment
        b"abc\0".to_vec(),
        halves(big_endian, &[0, 0]),
    ];
    block(big_endian, SECTION_HEADER, &body.concat())
}

fn interface(big_endian: bool, link_type: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = [halves(big_endian, &[link_type, 0]), words(big_endian, &[100])].concat();
    for (code, value) in options {
        body.extend(halves(big_endian, &[*code, value.len() as u16]));
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(big_endian, INTERFACE_DESCRIPTION, &body)
}

fn packet(big_endian: bool, interface: u32, ticks: u64, data: &[u8]) -> Vec<u8> {
    let length = data.len() as u32;
    let mut body = words(big_endian, &[interface, (ticks >> 32) as u32, ticks as u32, length, length + 7]);
    body.extend(data);
    block(big_endian, ENHANCED_PACKET, &body)
}

type Read = (u64, u32, Vec<u8>);

fn read(file: &[u8]) -> (PcapngReader, Vec<Read>, Result<(), CaptureError>) {
    let (mut reader, mut start, mut end, mut out) = (PcapngReader::new(), 0, 0, Vec::new());
    loop {
        match reader.next(&file[start..end]) {
            Step::Packet { consumed, packet, interface } => {
                out.push((packet.time.0, interface, packet.data.to_vec()));
                start += consumed;
            }
            Step::Skip { consumed } => {
                assert!(consumed > 0);
                start += consumed;
            }
            Step::NeedMore { at_least } => {
                assert!(at_least > end - start && at_least <= MAX_NEEDED_BYTES);
                if end == file.len() {
                    assert_eq!(reader.offset(), start as u64);
                    let result = reader.finish(end - start);
                    return (reader, out, result);
                }
                end += 1;
            }
            Step::Error(error) => return (reader, out, Err(error)),
        }
    }
}

/// Two sections, three interfaces, one of each block.
fn example(big_endian: bool) -> Vec<u8> {
    let offset: i64 = 100;
    let offset = if big_endian { offset.to_be_bytes() } else { offset.to_le_bytes() };
    let old = [halves(big_endian, &[1, 3]), words(big_endian, &[0, 5, 2, 2]), b"ob".to_vec()];
    [
        section(big_endian),
        interface(big_endian, 1, &[(2, b"eth0"), (9, &[9]), (0, b"")]),
        interface(big_endian, 101, &[(9, &[0x80 | 10]), (14, &offset)]),
        packet(big_endian, 0, 1_000_000_007, b"hello"),
        packet(big_endian, 1, 1024 + 512, b""),
        block(big_endian, SIMPLE_PACKET, &[words(big_endian, &[3]), b"sim".to_vec()].concat()),
        block(big_endian, OBSOLETE_PACKET, &old.concat()),
        packet(big_endian, 9, 0, b"no such interface"),
        block(big_endian, NAME_RESOLUTION, &[0; 40]),
        block(big_endian, DECRYPTION_SECRETS, &[1; 400]),
        block(big_endian, 0xbad, b"custom"),
        section(!big_endian),
        interface(!big_endian, 113, &[]),
        packet(!big_endian, 0, 5, b"second"),
    ]
    .concat()
}

#[test]
fn sections_interfaces_and_blocks() {
    for big_endian in [false, true] {
        let (reader, packets, end) = read(&example(big_endian));
        end.unwrap();
        let expected = [
            (1_000_000_007, 0, b"hello".to_vec()),
            (101_500_000_000, 1, Vec::new()),
            (101_500_000_000, 0, b"sim".to_vec()),
            (100_004_882_812, 1, b"ob".to_vec()),
            (5_000, 2, b"second".to_vec()),
        ];
        assert_eq!(packets, expected);
        let link_types: Vec<_> = reader.interfaces().iter().map(|interface| interface.link_type).collect();
        assert_eq!(link_types, [1, 101, 113]);
        let expected = CaptureCounters {
            packets: 5,
            refused_packets: 1,
            comments: 2,
            names: 2,
            secrets: 1,
            statistics: 0,
            other_blocks: 1,
            sections: 2,
        };
        assert_eq!(reader.counters(), expected);
    }
}

#[test]
fn cut_anywhere_gives_a_prefix() {
    let file = example(false);
    let whole = read(&file).1;
    let mut clean_ends = 0;
    for end in 0..file.len() {
        let (_, packets, result) = read(&file[..end]);
        assert_eq!(packets, whole[..packets.len()]);
        clean_ends += usize::from(result.is_ok());
    }
    assert_eq!(clean_ends, 13);
}

#[test]
fn any_changed_byte_is_survived() {
    let file = example(false);
    for at in 0..file.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= flip;
            let _ = read(&changed);
        }
    }
}

#[test]
fn errors_name_their_place() {
    let mut file = [section(false), interface(false, 1, &[])].concat();
    let offset = file.len();
    file.extend(packet(false, 0, 1, b"abcd"));
    file[offset + 4] = 0xff;
    let error = read(&file).2.unwrap_err();
    assert_eq!(
        error,
        CaptureError { offset: offset as u64, reason: CaptureProblem::ImpossibleLength { length: 0xff } }
    );
    file[offset + 4] = 36;
    *file.last_mut().unwrap() = 1;
    let error = read(&file).2.unwrap_err();
    assert!(error.to_string().contains(&format!("offset {offset} says 36 bytes")), "{error}");
    assert!(matches!(read(&packet(false, 0, 1, b"")).2.unwrap_err().reason, CaptureProblem::UnknownFormat { .. }));
}
