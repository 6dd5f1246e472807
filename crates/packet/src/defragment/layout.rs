//! Where a fragment's packet is cut into headers and payload.

use etherparse::Ipv4HeaderSlice;

use crate::decode::{
    Decoded, MAXIMUM_EXTENSION_HEADERS,
    network::{FRAGMENT_HEADER, extension, fragment_header, is_extension},
};

use super::FRAGMENT_OVERHEAD;

const IPV6_HEADER: usize = 40;

/// A fragment's headers and payload, as slices of its packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<'a> {
    /// What comes before the payload, without IPv6's fragment header.
    pub(super) header: &'a [u8],
    /// Offset in `header` of the byte that announces the fragment header; 0 for IPv4.
    pub(super) next_header_at: usize,
    /// The protocol of the payload, as this fragment says.
    pub(super) protocol: u8,
    /// The fragment's captured piece of the datagram.
    pub(super) payload: &'a [u8],
    /// True where the piece was longer on the wire.
    pub(super) truncated: bool,
}

impl<'a> Layout<'a> {
    /// Finds it; none where headers are cut.
    pub(super) fn of(packet: &'a [u8], decoded: &Decoded) -> Option<Self> {
        let network = packet.get(decoded.network_offset as usize..)?;
        match decoded.ip_version {
            4 => Self::ipv4(network),
            6 => Self::ipv6(network),
            _ => None,
        }
    }

    /// What holding this counts.
    pub(super) const fn cost(&self) -> usize {
        self.header.len() + self.payload.len() + FRAGMENT_OVERHEAD
    }

    fn ipv4(network: &'a [u8]) -> Option<Self> {
        let header = Ipv4HeaderSlice::from_slice(network).ok()?;
        let total_length = usize::from(header.total_len());
        let end = if total_length == 0 { network.len() } else { total_length };
        Some(Self {
            header: header.slice(),
            next_header_at: 0,
            protocol: header.protocol().0,
            payload: network.get(header.slice().len()..end.min(network.len()))?,
            truncated: end > network.len(),
        })
    }

    fn ipv6(network: &'a [u8]) -> Option<Self> {
        let fixed = network.first_chunk::<IPV6_HEADER>()?;
        let payload_length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let end = if payload_length == 0 { network.len() } else { IPV6_HEADER + payload_length };
        let captured = network.get(..end.min(network.len()))?;
        let (mut next, mut next_header_at, mut at) = (fixed[6], 6, IPV6_HEADER);
        for _ in 0..MAXIMUM_EXTENSION_HEADERS {
            if !is_extension(next) {
                return None;
            }
            let rest = captured.get(at..)?;
            let (following, length) = extension(rest, next)?;
            if next == 44 && fragment_header(rest).is_some() {
                return Some(Self {
                    header: captured.get(..at)?,
                    next_header_at,
                    protocol: following,
                    payload: captured.get(at + FRAGMENT_HEADER..)?,
                    truncated: end > network.len(),
                });
            }
            (next, next_header_at, at) = (following, at, at + length);
        }
        None
    }
}
