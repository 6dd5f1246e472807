//! Which protocols may a payload belong to: tables made of the probes, so that a session asks a few candidates.

use crate::{Claim, Hint, PROTOCOLS, Probe, Protocol, Transport};

/// Most protocols that the list may have.
const MOST: usize = 256;
const WORDS: usize = MOST / 64;

/// A set of protocols, walked in list order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidates([u64; WORDS]);

impl Candidates {
    fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn union(self, other: Self) -> Self {
        let mut both = self;
        for (word, more) in both.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        both
    }

    /// True where there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// Numbers of the protocols, in list order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.0.into_iter().enumerate().flat_map(|(place, mut word)| {
            std::iter::from_fn(move || {
                if word == 0 {
                    return None;
                }
                let bit = word.trailing_zeros();
                word &= word - 1;
                Some((place * 64) as u16 + bit as u16)
            })
        })
    }
}

/// The probe tables, made once.
pub struct Registry {
    /// Per transport and port: index into `port_sets`.
    ports: [Vec<u8>; 3],
    port_sets: Vec<Candidates>,
    first_bytes: [Vec<Candidates>; 4],
    any: [Candidates; 4],
    ip_protocols: Vec<(u8, u16)>,
    ether_types: Vec<(u16, u16)>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// Payload bytes of a direction after which an unsure probe is asked no more.
    pub const PROBE_BYTES: usize = 256;

    /// Makes the tables of all protocols.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Self {
            ports: std::array::from_fn(|_| vec![0; 65_536]),
            port_sets: vec![Candidates::default()],
            first_bytes: std::array::from_fn(|_| vec![Candidates::default(); 256]),
            any: Default::default(),
            ip_protocols: Vec::new(),
            ether_types: Vec::new(),
        };
        for (number, protocol) in PROTOCOLS.iter().enumerate() {
            for probe in protocol.probes {
                registry.add(number, probe);
            }
        }
        registry
    }

    fn add(&mut self, number: usize, probe: &Probe) {
        match *probe {
            Probe::Port(transport, port, _) => {
                let Some(table) = self.ports.get_mut(transport as usize) else { return };
                let Some(slot) = table.get_mut(usize::from(port)) else { return };
                if *slot == 0 {
                    *slot = self.port_sets.len() as u8;
                    self.port_sets.push(Candidates::default());
                }
                self.port_sets[usize::from(*slot)].insert(number);
            }
            Probe::FirstByte(transport, bytes, _) => {
                for &byte in bytes {
                    self.first_bytes[transport as usize][usize::from(byte)].insert(number);
                }
            }
            Probe::Any(transport, _) => self.any[transport as usize].insert(number),
            Probe::IpProtocol(protocol) => self.ip_protocols.push((protocol, number as u16)),
            Probe::EtherType(ether_type) => self.ether_types.push((ether_type, number as u16)),
        }
    }

    fn port_set(&self, transport: Transport, port: u16) -> Candidates {
        let slot = self.ports.get(transport as usize).and_then(|table| table.get(usize::from(port)));
        self.port_sets[usize::from(slot.copied().unwrap_or(0))]
    }

    /// True where some protocol of the transport lives at this port.
    #[must_use]
    pub fn knows_port(&self, transport: Transport, port: u16) -> bool {
        !self.port_set(transport, port).is_empty()
    }

    /// Protocols worth asking about a payload.
    #[must_use]
    pub fn candidates(&self, hint: &Hint<'_>) -> Candidates {
        let mut found = self.any[hint.transport as usize];
        if let Some(&byte) = hint.payload.first() {
            found = found.union(self.first_bytes[hint.transport as usize][usize::from(byte)]);
        }
        if hint.transport != Transport::Frame {
            found = found.union(self.port_set(hint.transport, hint.source_port));
            found = found.union(self.port_set(hint.transport, hint.destination_port));
        }
        found
    }

    /// Asks a protocol's probes, in order; the first that fits and does not say no decides.
    #[must_use]
    pub fn ask(&self, number: u16, hint: &Hint<'_>) -> Claim {
        let Some(protocol) = PROTOCOLS.get(usize::from(number)) else { return Claim::No };
        let first = hint.payload.first();
        for probe in protocol.probes {
            let check = match *probe {
                Probe::Port(transport, port, check) if transport == hint.transport && hint.has_port(port) => check,
                Probe::FirstByte(transport, bytes, check)
                    if transport == hint.transport && first.is_some_and(|byte| bytes.contains(byte)) =>
                {
                    check
                }
                Probe::Any(transport, check) if transport == hint.transport => check,
                _ => continue,
            };
            let claim = check(hint);
            if claim != Claim::No {
                return claim;
            }
        }
        Claim::No
    }

    /// The protocol of sessions of an IP protocol that has no ports.
    #[must_use]
    pub fn by_ip_protocol(&self, protocol: u8) -> Option<u16> {
        self.ip_protocols.iter().find(|&&(known, _)| known == protocol).map(|&(_, number)| number)
    }

    /// The protocol of sessions of an ethertype.
    #[must_use]
    pub fn by_ether_type(&self, ether_type: u16) -> Option<u16> {
        self.ether_types.iter().find(|&&(known, _)| known == ether_type).map(|&(_, number)| number)
    }

    /// Number of a protocol by name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<u16> {
        PROTOCOLS.iter().position(|protocol| protocol.name == name).map(|place| place as u16)
    }

    /// The protocol of a number.
    #[must_use]
    pub fn protocol(&self, number: u16) -> Option<&'static Protocol> {
        PROTOCOLS.get(usize::from(number)).copied()
    }
}
