//! Hosts and addresses of the generated world: reserved names (RFC 2606) and documentation and benchmark addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::content::WORDS;
use crate::random::Random;

const HOSTS: usize = 400;

/// Number of clients that take turns; a client's ports count up, so that no two flows share addresses and ports.
const CLIENTS: u64 = 200;
const FIRST_PORT: u64 = 32_768;
const PORTS: u64 = 28_232;

/// A server by name.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// The domain it belongs to.
    pub(crate) domain: String,
    pub(crate) number: u32,
}

impl Host {
    pub(crate) fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::from(0xc612_0000 | (self.number + 10)) // 198.18.0.0/15
    }

    pub(crate) fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::from(0x2001_0db8_00aa_0000_0000_0000_0000_0000u128 | u128::from(self.number + 0x10))
    }

    pub(crate) fn address(&self, ipv6: bool) -> IpAddr {
        if ipv6 { self.v6().into() } else { self.v4().into() }
    }
}

/// All hosts.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) hosts: Vec<Host>,
}

impl Places {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut hosts: Vec<Host> = Vec::with_capacity(HOSTS);
        while hosts.len() < HOSTS {
            let suffix = random.pick(&["example", "example.com", "example.net", "example.org", "test"]);
            let domain = format!("{}{}.{suffix}", random.pick(&WORDS), random.pick(&WORDS));
            for label in ["www", "api", "cdn", "mail", "static", "login", "img", "app"] {
                let name = format!("{label}.{domain}");
                if hosts.len() < HOSTS && !hosts.iter().any(|host| host.name == name) {
                    hosts.push(Host { name, domain: domain.clone(), number: hosts.len() as u32 });
                }
            }
        }
        Self { hosts }
    }

    /// A host; some are asked for far more often.
    pub(crate) fn host(&self, random: &mut Random) -> &Host {
        let bound = if random.percent(50) { 40 } else { self.hosts.len() as u64 };
        &self.hosts[random.below(bound) as usize]
    }
}

/// Address and port of the client of the given flow, different for each of the first 369 million flows.
pub(crate) fn client(flow: u64, ipv6: bool) -> (IpAddr, u16, u32) {
    let number = flow % CLIENTS;
    let round = flow / CLIENTS;
    let port = (FIRST_PORT + round % PORTS) as u16;
    let subnet = (round / PORTS) % 0xffff;
    let host = number as u32 + 10;
    let address = if ipv6 {
        let low = (u128::from(subnet) << 64) | u128::from(host);
        Ipv6Addr::from(0x2001_0db8_0001_0000_0000_0000_0000_0000u128 | low).into()
    } else {
        Ipv4Addr::from(0x0a00_0000 | ((subnet as u32) << 8) | host).into()
    };
    (address, port, (subnet as u32) << 8 | host)
}

/// A locally administered Ethernet address.
pub(crate) fn mac(kind: u8, number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [0x02, kind, a, b, c, d]
}
