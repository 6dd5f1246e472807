//! One session in memory: a head of two cache lines that every packet touches, then what fewer packets touch.

use skycap_model::core_fields as core;
use skycap_packet::decode::{Decoded, Layer};
use skycap_protocols::Fields;

use crate::{
    conversation::{Conversation, fields},
    json,
    key::{Key, mac},
    positions::Positions,
    settings::Class,
    tcp::Tcp,
};

/// Packets of each direction whose MAC addresses, TTL, DSCP and VLAN ids are looked at.
pub(crate) const LOOKED_AT: u32 = 10;

/// An open session.
#[repr(C, align(64))]
pub(crate) struct Tracked {
    pub(crate) key: Key,
    /// The mark of the last packet: what gaps are measured from.
    pub(crate) last_clock: u64,
    /// Low half of the hash.
    pub(crate) tag: u32,
    pub(crate) class: Class,
    /// The source is the second end of the key.
    pub(crate) source_is_second: bool,
    pub(crate) layer: Layer,
    pub(crate) live: bool,
    /// Nobody wants payload any more.
    pub(crate) is_deaf: bool,

    /// Latest packet time, nanoseconds.
    pub(crate) last_time: u64,
    pub(crate) packets: [u32; 2],
    pub(crate) bytes: [u64; 2],
    pub(crate) data_bytes: [u64; 2],
    pub(crate) conversation: Option<Box<Conversation>>,
    pub(crate) fields: Option<Box<Fields>>,

    pub(crate) tcp: Tcp,
    pub(crate) positions: Positions,
    /// First 8 payload bytes of each direction, and how many there are.
    pub(crate) payload: [[u8; 8]; 2],
    pub(crate) payload_length: [u8; 2],

    pub(crate) look: Look,

    /// Time of the conversation's first packet, nanoseconds.
    pub(crate) first_time: u64,
    /// Time of this segment's first packet.
    pub(crate) segment_time: u64,
    /// Position of the first packet of the first segment: its id is the `rootId` of all.
    pub(crate) root_position: u64,
    pub(crate) segment: u32,
    pub(crate) ethertype: u16,
    /// First ICMP type and code.
    pub(crate) icmp: [u8; 2],

    /// Neighbours in the queue of the class, and when to look at it.
    pub(crate) next: u32,
    pub(crate) previous: u32,
    pub(crate) due: u64,
}

/// What the first packets of each direction looked like. Values that differ from the first go to the fields.
#[derive(Default)]
pub(crate) struct Look {
    pub(crate) source_mac: [u8; 6],
    pub(crate) destination_mac: [u8; 6],
    pub(crate) has_macs: bool,
    pub(crate) vlan_count: u8,
    pub(crate) vlan_is_ad: [bool; 2],
    pub(crate) vlans: [u16; 2],
    pub(crate) ttls: [[u8; LOOKED_AT as usize]; 2],
    pub(crate) ttl_count: [u8; 2],
}

impl Look {
    /// Adds a TTL of a direction, if it is new.
    pub(crate) fn ttl(&mut self, direction: usize, ttl: u8) {
        let count = usize::from(self.ttl_count[direction]);
        let list = &mut self.ttls[direction];
        if list[..count.min(list.len())].contains(&ttl) {
            return;
        }
        if let Some(place) = list.get_mut(count) {
            *place = ttl;
            self.ttl_count[direction] += 1;
        }
    }
}

impl Tracked {
    /// Packets of both directions.
    #[inline]
    pub(crate) fn all_packets(&self) -> u32 {
        self.packets[0] + self.packets[1]
    }

    /// End of the key (0 or 1) that is the source or the destination.
    pub(crate) fn end(&self, direction: usize) -> usize {
        direction ^ usize::from(self.source_is_second)
    }

    /// True for sessions with addresses.
    pub(crate) fn is_ip(&self) -> bool {
        self.key.ip_version() != 0
    }

    /// Takes an ICMP message's type and code.
    pub(crate) fn icmp(&mut self, decoded: &Decoded) {
        if self.icmp[0] != decoded.icmp_type {
            fields(&mut self.fields).integer(core::ICMP_TYPE, i64::from(decoded.icmp_type));
        }
        if self.icmp[1] != decoded.icmp_code {
            fields(&mut self.fields).integer(core::ICMP_CODE, i64::from(decoded.icmp_code));
        }
    }

    /// Adds to the first 8 payload bytes of a direction.
    #[inline]
    pub(crate) fn first_payload(&mut self, direction: usize, data: &[u8]) {
        let have = usize::from(self.payload_length[direction]);
        if have < 8 {
            let more = data.len().min(8 - have);
            self.payload[direction][have..have + more].copy_from_slice(&data[..more]);
            self.payload_length[direction] += more as u8;
        }
    }
}

/// Takes MAC addresses, VLAN ids, TTL and DSCP of one of the first packets. The session's own members hold what the
/// first packet had; what differs goes to the fields, which most sessions then do without.
pub(crate) fn look(session: &mut Tracked, direction: usize, decoded: &Decoded, packet: &[u8]) {
    if decoded.ip_version != 0 {
        session.look.ttl(direction, decoded.ttl);
        if decoded.dscp != 0 {
            let field = if direction == 0 { core::SOURCE_DSCP } else { core::DESTINATION_DSCP };
            fields(&mut session.fields).integer(field, i64::from(decoded.dscp));
        }
    }
    let is_first = session.all_packets() == 0 && session.segment == 1;
    if let (Some(sender), Some(receiver)) = (mac(packet, decoded.source_mac), mac(packet, decoded.destination_mac)) {
        let [source, destination] = if direction == 0 { [sender, receiver] } else { [receiver, sender] };
        if is_first {
            session.look.has_macs = true;
            session.look.source_mac = source;
            session.look.destination_mac = destination;
        } else {
            let known = session.look.has_macs;
            if !known || session.look.source_mac != source {
                fields(&mut session.fields).text(core::SOURCE_MAC, &json::mac_text(source));
            }
            if !known || session.look.destination_mac != destination {
                fields(&mut session.fields).text(core::DESTINATION_MAC, &json::mac_text(destination));
            }
        }
    }
    if decoded.vlan_count > 0 {
        let tags = decoded.vlan_count.min(2);
        if is_first {
            session.look.vlan_count = tags;
            session.look.vlans = decoded.vlans;
            session.look.vlan_is_ad = decoded.vlan_is_ad;
        } else if (session.look.vlan_count, session.look.vlans, session.look.vlan_is_ad)
            != (tags, decoded.vlans, decoded.vlan_is_ad)
        {
            let fields = fields(&mut session.fields);
            for (&vlan, is_ad) in decoded.vlans.iter().zip(decoded.vlan_is_ad).take(usize::from(tags)) {
                fields.integer(core::VLAN, i64::from(vlan));
                fields.integer(if is_ad { core::VLAN_DOT1AD } else { core::VLAN_DOT1Q }, i64::from(vlan));
            }
        }
    }
}

/// The timeout class of a packet's session.
pub(crate) fn class_of(decoded: &Decoded) -> Class {
    match (decoded.layer, decoded.ip_protocol) {
        (Layer::Ports, crate::key::TCP) => Class::Tcp,
        (Layer::Ports, crate::key::UDP) => Class::Udp,
        (Layer::Ports, crate::key::SCTP) => Class::Sctp,
        (Layer::Ip, crate::key::ICMP | crate::key::ICMP6) => Class::Icmp,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_without_payload_is_small() {
        assert!(size_of::<Tracked>() <= 384, "{} bytes", size_of::<Tracked>());
        assert!(size_of::<Conversation>() <= 384, "{} bytes", size_of::<Conversation>());
    }
}
