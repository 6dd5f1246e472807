//! What the engine itself knows of a session, as values of document fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skycap_model::{FieldId, Timestamp, core_fields as core};
use skycap_packet::decode::Layer;
use skycap_protocols::{Fields, catalogue};

use super::{Writer, position_text};
use crate::{
    community_id, json,
    key::{ICMP, ICMP6, SCTP, TCP, UDP},
    session::Tracked,
    tcp::Flag,
};

impl Writer {
    /// Writes the engine's value of a field that has one. False where there is none.
    pub(super) fn one(&mut self, id: FieldId, session: &Tracked) -> bool {
        let out = &mut self.out;
        let tcp = is_tcp(session).then_some(&session.tcp);
        let number = match id {
            core::FIRST_PACKET => Timestamp(session.first_time).milliseconds(),
            core::LAST_PACKET => Timestamp(session.last_time).milliseconds(),
            core::LENGTH => {
                Timestamp(session.last_time).milliseconds().saturating_sub(Timestamp(session.first_time).milliseconds())
            }
            core::IP_PROTOCOL => u64::from(session.key.protocol()),
            core::ETHERTYPE if session.ethertype != 0 && self.has_ethertypes => u64::from(session.ethertype),
            core::SOURCE_IP | core::DESTINATION_IP => {
                let Some(address) = address(session, usize::from(id == core::DESTINATION_IP)) else { return false };
                json::ip(out, address);
                return true;
            }
            core::SOURCE_PORT if session.is_ip() => u64::from(session.key.port(session.end(0))),
            core::DESTINATION_PORT if session.is_ip() => u64::from(session.key.port(session.end(1))),
            core::SOURCE_BYTES => session.bytes[0],
            core::DESTINATION_BYTES => session.bytes[1],
            core::SOURCE_PACKETS => u64::from(session.packets[0]),
            core::DESTINATION_PACKETS => u64::from(session.packets[1]),
            core::CLIENT_BYTES => session.data_bytes[0],
            core::SERVER_BYTES => session.data_bytes[1],
            core::NETWORK_PACKETS => u64::from(session.all_packets()),
            core::NETWORK_BYTES => session.bytes[0] + session.bytes[1],
            core::TOTAL_DATA_BYTES => session.data_bytes[0] + session.data_bytes[1],
            core::COMMUNITY_ID => return write_community_id(out, session),
            core::SOURCE_PAYLOAD | core::DESTINATION_PAYLOAD => {
                let side = usize::from(id == core::DESTINATION_PAYLOAD);
                let length = usize::from(session.payload_length[side]);
                if length > 0 {
                    json::hex_string(out, &session.payload[side][..length.min(8)]);
                }
                return length > 0;
            }
            core::SEGMENTS => u64::from(session.segment),
            core::ROOT_ID => {
                if session.segment > 1 {
                    self.id.clear();
                    position_text(session.root_position, &mut self.id);
                    out.push(b'"');
                    json::string_part(out, self.identity.id_prefix.as_bytes());
                    json::string_part(out, self.id.as_bytes());
                    out.push(b'"');
                }
                return session.segment > 1;
            }
            core::NODE => {
                json::string(out, self.identity.node.as_bytes());
                return true;
            }
            _ => {
                let Some(tcp) = tcp else { return false };
                let handshake = tcp.has_syn || tcp.has_syn_ack;
                match id {
                    core::INITIAL_RTT => match tcp.round_trip {
                        Some(milliseconds) => milliseconds / 2,
                        None => return false,
                    },
                    core::TCP_SEQUENCE_SOURCE if tcp.has_syn => u64::from(tcp.syn),
                    // 0 where the SYN was seen first: so do the tools that read these documents
                    core::TCP_SEQUENCE_DESTINATION if tcp.has_syn_ack => {
                        if tcp.has_syn && !tcp.syn_ack_first {
                            0
                        } else {
                            u64::from(tcp.syn_ack)
                        }
                    }
                    core::SYN_VALIDATED | core::SYN_ACK_VALIDATED if handshake => {
                        let truth = if id == core::SYN_VALIDATED { tcp.syn_validated } else { tcp.syn_ack_validated };
                        out.extend_from_slice(if truth { b"true" } else { b"false" });
                        return true;
                    }
                    core::SOURCE_ISN_COUNT if tcp.has_syn => u64::from(tcp.isn_count),
                    _ => match flag(id) {
                        Some(flag) => u64::from(tcp.flags[flag as usize]),
                        None => return false,
                    },
                }
            }
        };
        json::unsigned(out, number);
        true
    }

    /// Writes the engine's values of a set, and says how many.
    pub(super) fn many(&mut self, id: FieldId, session: &Tracked, fields: &Fields) -> u64 {
        let out = &mut self.out;
        let look = &session.look;
        let mut count = 0;
        let mut number = |out: &mut Vec<u8>, number: u64| {
            if count > 0 {
                out.push(b',');
            }
            json::unsigned(out, number);
            count += 1;
        };
        match id {
            core::FILE_ID => number(out, self.identity.file_id),
            core::SOURCE_TTL | core::DESTINATION_TTL => {
                let side = usize::from(id == core::DESTINATION_TTL);
                for &ttl in look.ttls[side].iter().take(usize::from(look.ttl_count[side])) {
                    number(out, u64::from(ttl));
                }
            }
            core::VLAN | core::VLAN_DOT1Q | core::VLAN_DOT1AD => {
                let tags = look.vlans.iter().zip(look.vlan_is_ad).take(usize::from(look.vlan_count));
                for (place, (&vlan, is_ad)) in tags.enumerate() {
                    let fits = match id {
                        core::VLAN => true,
                        core::VLAN_DOT1Q => !is_ad,
                        _ => is_ad,
                    };
                    let repeated =
                        place == 1 && look.vlans[0] == vlan && (id == core::VLAN || look.vlan_is_ad[0] == is_ad);
                    if fits && !repeated {
                        number(out, u64::from(vlan));
                    }
                }
            }
            core::ICMP_TYPE if is_icmp(session) => number(out, u64::from(session.icmp[0])),
            core::ICMP_CODE if is_icmp(session) => number(out, u64::from(session.icmp[1])),
            core::SOURCE_MAC if look.has_macs => {
                json::mac(out, look.source_mac);
                count = 1;
            }
            core::DESTINATION_MAC if look.has_macs => {
                json::mac(out, look.destination_mac);
                count = 1;
            }
            core::PROTOCOL => {
                if let Some(name) = base_name(session) {
                    json::string(out, name.as_bytes());
                    count = 1;
                }
            }
            core::TRUNCATED => {
                for &field in fields.truncated() {
                    if count > 0 {
                        out.push(b',');
                    }
                    json::string(out, catalogue().field(field).path.as_bytes());
                    count += 1;
                }
            }
            _ => {}
        }
        count
    }
}

/// Tells quickly that the engine has no value of a field, so that its path need not be written and taken back.
pub(super) fn lacks(id: FieldId, session: &Tracked, fields: &Fields) -> bool {
    match id {
        core::VLAN | core::VLAN_DOT1Q | core::VLAN_DOT1AD => session.look.vlan_count == 0,
        core::SOURCE_MAC | core::DESTINATION_MAC => !session.look.has_macs,
        core::ICMP_TYPE | core::ICMP_CODE => !is_icmp(session),
        core::ROOT_ID => session.segment == 1,
        core::TRUNCATED => fields.truncated().is_empty(),
        _ => false,
    }
}

/// True for what only TCP sessions have.
pub(super) fn is_tcp_only(id: FieldId) -> bool {
    flag(id).is_some()
        || matches!(
            id,
            core::INITIAL_RTT
                | core::TCP_SEQUENCE_SOURCE
                | core::TCP_SEQUENCE_DESTINATION
                | core::SYN_VALIDATED
                | core::SYN_ACK_VALIDATED
                | core::SOURCE_ISN_COUNT
        )
}

/// Address of the source (0) or destination (1).
pub(crate) fn address(session: &Tracked, direction: usize) -> Option<IpAddr> {
    let bytes = session.key.address(session.end(direction));
    match session.key.ip_version() {
        4 => Some(Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into()),
        6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

pub(super) fn is_tcp(session: &Tracked) -> bool {
    session.layer == Layer::Ports && session.key.protocol() == TCP
}

fn is_icmp(session: &Tracked) -> bool {
    session.layer == Layer::Ip && matches!(session.key.protocol(), ICMP | ICMP6)
}

/// Name of what the engine itself knows.
fn base_name(session: &Tracked) -> Option<&'static str> {
    match (session.layer, session.key.protocol()) {
        (Layer::Ports, TCP) => Some("tcp"),
        (Layer::Ports, UDP) => Some("udp"),
        (Layer::Ports, SCTP) => Some("sctp"),
        (Layer::Ip, ICMP | ICMP6) => Some("icmp"),
        (Layer::Ether, _) if session.ethertype == 0x0806 => Some("arp"),
        _ => None,
    }
}

fn write_community_id(out: &mut Vec<u8>, session: &Tracked) -> bool {
    let icmp = is_icmp(session);
    if !icmp && session.layer != Layer::Ports {
        return false;
    }
    let skip = if session.key.ip_version() == 4 { 12 } else { 0 };
    let source = session.key.address(session.end(0));
    let destination = session.key.address(session.end(1));
    let (source_port, destination_port) = if icmp {
        (u16::from(session.icmp[0]), u16::from(session.icmp[1]))
    } else {
        (session.key.port(session.end(0)), session.key.port(session.end(1)))
    };
    out.push(b'"');
    let ends = community_id::Ends {
        source: &source[skip..],
        destination: &destination[skip..],
        source_port,
        destination_port,
        protocol: session.key.protocol(),
    };
    community_id::write(out, &ends);
    out.push(b'"');
    true
}

fn flag(id: FieldId) -> Option<Flag> {
    Some(match id {
        core::FLAGS_SYN => Flag::Syn,
        core::FLAGS_SYN_ACK => Flag::SynAck,
        core::FLAGS_ACK => Flag::Ack,
        core::FLAGS_PSH => Flag::Psh,
        core::FLAGS_FIN => Flag::Fin,
        core::FLAGS_RST => Flag::Rst,
        core::FLAGS_URG => Flag::Urg,
        core::FLAGS_ECE => Flag::Ece,
        core::FLAGS_CWR => Flag::Cwr,
        core::FLAGS_AE => Flag::Ae,
        core::FLAGS_SOURCE_ZERO => Flag::SourceZero,
        core::FLAGS_DESTINATION_ZERO => Flag::DestinationZero,
        _ => return None,
    })
}
