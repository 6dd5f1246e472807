//! ARP (RFC 826): who has which address.

use std::net::Ipv4Addr;

use crate::{Direction, Input, Parser, Probe, Protocol, Session, Verdict};

skycap_model::fields! {
    base = crate::base("arp");
    MAC = skycap_model::Field::lower("arp.mac", "arp.mac").set().counted().category(skycap_model::Category::Mac).group("arp").named("MAC", "Ethernet address that a reply tells");
    OPCODE = skycap_model::Field::integer("arp.opcode", "arp.opcode").set().counted().group("arp").named("Opcode", "1 for a request, 2 for a reply");
    ADDRESS = skycap_model::Field::ip("arp.ip", "arp.ip").set().counted().group("arp").named("IP", "Address that is asked for or told");
}

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "arp",
    about: "Address resolution on a link, RFC 826",
    fields: FIELDS,
    probes: &[Probe::EtherType(0x0806)],
    open: || Box::new(Arp),
};

/// Opcode of a request; all others tell the sender's address.
const REQUEST: u16 = 1;

struct Arp;

impl Parser for Arp {
    fn parse(&mut self, session: &mut Session<'_>, _: Direction, input: Input<'_>) -> Verdict {
        let Input::Datagram(message) = input else { return Verdict::Done };
        // hardware type 1, protocol 0x0800, lengths 6 and 4, opcode; then MAC and address of sender and target
        let Some((head, rest)) = message.split_first_chunk::<8>() else { return Verdict::all(0) };
        let [0, 1, 8, 0, 6, 4, high, low] = *head else { return Verdict::all(message.len()) };
        let Some((sender_mac, rest)) = rest.split_first_chunk::<6>() else { return Verdict::all(0) };
        let Some((sender, rest)) = rest.split_first_chunk::<4>() else { return Verdict::all(0) };
        let opcode = u16::from_be_bytes([high, low]);
        session.fields.integer(OPCODE, i64::from(opcode));
        if opcode == REQUEST {
            if let Some(target) = rest.get(6..).and_then(<[u8]>::first_chunk::<4>) {
                session.fields.ip(ADDRESS, Ipv4Addr::from(*target).into());
            }
        } else {
            let [a, b, c, d, e, f] = sender_mac;
            let text = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            session.fields.text(MAC, text.as_bytes());
            session.fields.ip(ADDRESS, Ipv4Addr::from(*sender).into());
        }
        Verdict::all(message.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, dump};

    #[test]
    fn request_and_reply() {
        let request = [
            &[0, 1, 8, 0, 6, 4, 0, 1][..],     // Ethernet, IPv4, lengths, request
            &[2, 0, 0, 0, 0, 1, 192, 0, 2, 1], // sender
            &[0, 0, 0, 0, 0, 0, 192, 0, 2, 9], // target, not known yet
        ]
        .concat();
        let reply = [
            &[0, 1, 8, 0, 6, 4, 0, 2][..],     // Ethernet, IPv4, lengths, reply
            &[2, 0, 0, 0, 0, 9, 192, 0, 2, 9], // sender
            &[2, 0, 0, 0, 0, 1, 192, 0, 2, 1], // target
        ]
        .concat();
        let mut bench = Bench::udp(0, 0);
        for message in [&request, &reply] {
            for end in 0..=message.len() {
                Arp.parse(&mut bench.session(), Direction::FromSource, Input::Datagram(&message[..end]));
            }
        }
        let text = dump(&bench.fields);
        assert!(text.contains("arp.opcode=1") && text.contains("arp.opcode=2"), "{text}");
        assert!(text.contains("arp.mac=02:00:00:00:00:09") && text.contains("arp.ip=192.0.2.9"), "{text}");
        assert!(!text.contains("192.0.2.1 ") && !text.contains("02:00:00:00:00:01"), "{text}");
    }
}
