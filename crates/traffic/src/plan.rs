//! What each mix is made of, and how one flow of each class is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::flow::{Body, Carrier, Datagrams, Flow, World};
use crate::names::{client, mac};
use crate::options::{DEFAULT_BYTES, Mix, Options};
use crate::protocols::{Nothing, dns, http, other, ssh, tls};
use crate::random::Random;
use crate::report::{Closing, Disturbed, FlowReport, Names, Side};
use crate::tcp::{Conversation, Tcp};
use crate::wire::{ETHERTYPE_ARP, ETHERTYPE_LLDP, Endpoint, ICMP, ICMPV6, Path, SCTP, TCP, UDP};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Long flows that share the bytes of a `flows` capture.
const LONG_FLOWS: u64 = 48;

/// Packet time in which the sessions of a `handshakes` capture begin, so that no common timeout ends one.
const HANDSHAKES_SPAN: u64 = 20 * SECOND;

/// Kinds of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Dns,
    DnsLarge,
    DnsTcp,
    Http,
    HttpBulk,
    HttpLong,
    HttpOne,
    Tls,
    TlsBulk,
    TlsLong,
    TlsOne,
    Ssh,
    SshBulk,
    SshLong,
    Handshake,
    Scan,
    Echo,
    Arp,
    Ntp,
    Syslog,
    Datagrams,
    Sctp,
    Lldp,
    Fragments,
}

/// A mix in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Share of flows chosen by count from `small`, of a thousand; the others are chosen by bytes from `heavy`.
    pub(crate) small_per_mille: u64,
    pub(crate) small: &'static [(Class, u64)],
    pub(crate) heavy: &'static [(Class, u64)],
    pub(crate) bits_per_second: u64,
    pub(crate) most_open: usize,
}

impl Plan {
    pub(crate) const fn of(mix: Mix) -> Self {
        use Class::*;
        match mix {
            Mix::Sample => Self {
                small_per_mille: 1_000,
                small: &[
                    (Dns, 380),
                    (DnsLarge, 8),
                    (DnsTcp, 10),
                    (Http, 110),
                    (Tls, 130),
                    (Ssh, 25),
                    (Scan, 8),
                    (Echo, 30),
                    (Arp, 20),
                    (Ntp, 25),
                    (Syslog, 20),
                    (Datagrams, 20),
                    (Sctp, 8),
                    (Lldp, 5),
                    (Fragments, 8),
                ],
                heavy: &[],
                bits_per_second: 1_000_000,
                most_open: 512,
            },
            Mix::Mix => Self {
                small_per_mille: 800,
                small: &[
                    (Dns, 9_600),
                    (DnsLarge, 20),
                    (DnsTcp, 60),
                    (Echo, 60),
                    (Ntp, 100),
                    (Syslog, 60),
                    (Arp, 40),
                    (Scan, 5),
                ],
                heavy: &[(Tls, 60), (Http, 30), (Ssh, 10)],
                bits_per_second: 100_000_000,
                most_open: 4_096,
            },
            Mix::Bulk => Self {
                small_per_mille: 0,
                small: &[],
                heavy: &[(TlsBulk, 60), (SshBulk, 40)],
                bits_per_second: 2_000_000_000,
                most_open: 32,
            },
            Mix::HttpBulk => Self {
                small_per_mille: 0,
                small: &[],
                heavy: &[(HttpBulk, 100)],
                bits_per_second: 1_000_000_000,
                most_open: 32,
            },
            Mix::Handshakes => Self {
                small_per_mille: 1_000,
                small: &[(TlsOne, 40), (HttpOne, 40), (Dns, 20)],
                heavy: &[],
                bits_per_second: 10_000_000,
                most_open: 65_536,
            },
            Mix::Flows => Self {
                small_per_mille: 900,
                small: &[(Dns, 90), (Ntp, 5), (Echo, 5)],
                heavy: &[(TlsLong, 50), (HttpLong, 25), (SshLong, 25)],
                bits_per_second: 1_000_000,
                most_open: 256,
            },
        }
    }
}

/// Makes flows.
pub(crate) struct Maker<'a> {
    pub(crate) world: &'a World,
    pub(crate) options: &'a Options,
    pub(crate) bits_per_second: u64,
    pub(crate) random: &'a mut Random,
}

/// The target of one port scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) target: u32,
    pub(crate) port: u16,
}

impl Maker<'_> {
    /// Nanoseconds to the arrival after a flow of the estimated size.
    pub(crate) fn gap(&mut self, estimate: u64) -> u64 {
        if self.options.mix == Mix::Handshakes
            && let Some(flows) = self.options.flows
        {
            return HANDSHAKES_SPAN / flows.max(1);
        }
        let mean = u128::from(estimate) * 8 * u128::from(SECOND) / u128::from(self.bits_per_second);
        self.random.exponential(mean.min(u128::from(u64::MAX >> 24)) as u64)
    }

    /// Makes a flow; `budget` is how many bytes are left for it.
    pub(crate) fn flow(&mut self, number: u64, class: Class, at: u64, budget: u64, probe: Option<Probe>) -> Flow {
        let ipv6 =
            !matches!(class, Class::Arp | Class::Lldp) && self.random.percent(u64::from(self.options.ipv6_percent));
        let mut names = Names::default();
        let (host, host_name) = {
            let host = self.world.places.host(self.random);
            (host.number, host.name.clone())
        };
        let host_address = self.world.places.hosts[host as usize].address(ipv6);
        let (protocol, ip_protocol, port) = self.service(class, ipv6, probe);
        let (address, client_port, client_number) = client(number, ipv6);
        let server_address: IpAddr = match class {
            Class::Dns | Class::DnsLarge | Class::DnsTcp => resolver(ipv6, self.random.below(2) as u32),
            Class::Arp => Ipv4Addr::from(0x0a00_0001 | (client_number & 0x00ff_ff00)).into(),
            Class::Scan => {
                probe.map_or(host_address, |probe| self.world.places.hosts[probe.target as usize].address(ipv6))
            }
            _ => host_address,
        };
        let vlan =
            self.random.percent(u64::from(self.options.vlan_percent)).then_some(100 + (client_number % 4) as u16);
        // a station of its own for each flow without addresses, so that no two are one conversation
        let client_mac = match class {
            Class::Arp => mac(2, number as u32),
            Class::Lldp => mac(3, number as u32),
            _ => mac(1, client_number),
        };
        let lldp_group = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
        let server_mac = if class == Class::Lldp { lldp_group } else { mac(0, 1) };
        let (client_port, port) = match ip_protocol {
            TCP | UDP | SCTP => (client_port, port),
            ICMP | ICMPV6 => (client_port, 0),
            _ => (0, 0),
        };
        let hops = *self.random.pick(&[52, 56, 57, 118, 243]);
        let path = Path {
            ends: [
                Endpoint { mac: client_mac, address, port: client_port, hops: 64 },
                Endpoint { mac: server_mac, address: server_address, port, hops },
            ],
            vlan,
            identification: [self.random.next() as u16, self.random.next() as u16],
        };
        let (body, closing) = self.body(class, &path, at, budget, (host, &host_name), &mut names);
        let ethertype = match class {
            Class::Arp => ETHERTYPE_ARP,
            Class::Lldp => ETHERTYPE_LLDP,
            _ => path.ip_ethertype(),
        };
        let with_ip = ip_protocol != 0;
        let report = FlowReport {
            flow: number,
            protocol,
            ip_protocol,
            ethertype,
            vlan,
            source_mac: mac_text(client_mac),
            destination_mac: mac_text(server_mac),
            source: with_ip.then_some(address),
            source_port: client_port,
            destination: with_ip.then_some(server_address),
            destination_port: port,
            start_ns: 0,
            end_ns: 0,
            client: Side::default(),
            server: Side::default(),
            names,
            disturbed: Disturbed::default(),
            fragments: 0,
            closing,
            complete: true,
        };
        Flow::new(path, body, report)
    }

    fn service(&mut self, class: Class, ipv6: bool, probe: Option<Probe>) -> (&'static str, u8, u16) {
        use Class::*;
        match class {
            Dns | DnsLarge => ("dns", UDP, 53),
            DnsTcp => ("dns", TCP, 53),
            Http | HttpBulk | HttpLong | HttpOne => ("http", TCP, *self.random.pick(&[80, 80, 80, 80, 8_080])),
            Tls | TlsBulk | TlsLong | TlsOne => ("tls", TCP, *self.random.pick(&[443, 443, 443, 443, 8_443])),
            Ssh | SshBulk | SshLong => ("ssh", TCP, 22),
            Handshake => ("tcp", TCP, *self.random.pick(&[80, 443, 443, 8_080])),
            Scan => ("scan", TCP, probe.map_or(80, |probe| probe.port)),
            Echo => ("icmp", if ipv6 { ICMPV6 } else { ICMP }, 0),
            Arp => ("arp", 0, 0),
            Lldp => ("lldp", 0, 0),
            Ntp => ("ntp", UDP, 123),
            Syslog => ("syslog", UDP, 514),
            Datagrams | Fragments => ("udp", UDP, *self.random.pick(&[7_777, 9_987, 27_015])),
            Sctp => ("sctp", SCTP, 5_000),
        }
    }

    fn body(
        &mut self,
        class: Class,
        path: &Path,
        at: u64,
        budget: u64,
        (host, name): (u32, &str),
        names: &mut Names,
    ) -> (Body, Closing) {
        use Class::*;
        let random = &mut *self.random;
        let ipv6 = path.is_ipv6();
        // leaves room for headers of packets
        let budget = (budget - budget / 10).max(4_000);
        // a span, the pause between exchanges in it, and the bytes of each: long enough for objects, short enough for timeouts
        let long = self.options.bytes.unwrap_or(DEFAULT_BYTES) / LONG_FLOWS;
        let span =
            u128::from(long) * u128::from(LONG_FLOWS) * 8 * u128::from(SECOND) / u128::from(self.bits_per_second) / 2;
        let span = span.min(u128::from(SECOND) * 1_000_000) as u64;
        let pause = (span / 20).clamp(MILLISECOND, 10 * SECOND);
        let exchanges = (span / pause).max(1);
        let long_size = (long.min(budget) / exchanges).max(600);
        let conversation: Box<dyn Conversation> = match class {
            Tls | TlsOne => {
                let (exchanges, low, high) =
                    if class == Tls { (random.between(1, 4), 800, 100_000) } else { (1, 200, 800) };
                let size = random.heavy(low, high).min(budget / exchanges);
                Box::new(tls::Connection::new(host, name, exchanges, size, 300 * MILLISECOND, random))
            }
            TlsBulk => {
                let exchanges = random.between(1, 4);
                let size = random.heavy(1_000_000, 48_000_000).min(self.largest()).min(budget) / exchanges;
                Box::new(tls::Connection::new(host, name, exchanges, size, 100 * MILLISECOND, self.random))
            }
            TlsLong => Box::new(tls::Connection::new(host, name, exchanges, long_size, pause, random)),
            Http | HttpOne => {
                let (requests, low, high) =
                    if class == Http { (random.between(1, 6), 500, 60_000) } else { (1, 200, 800) };
                let size = random.heavy(low, high).min(budget / requests);
                Box::new(http::Connection::new(name, requests, size, 400 * MILLISECOND, random))
            }
            HttpBulk => {
                let requests = random.between(1, 3);
                let size = random.heavy(1_000_000, 32_000_000).min(self.largest()).min(budget) / requests;
                Box::new(http::Connection::new(name, requests, size, 50 * MILLISECOND, self.random))
            }
            HttpLong => Box::new(http::Connection::new(name, exchanges, long_size, pause, random)),
            Ssh => {
                let exchanges = random.between(5, 40);
                let size = random.heavy(200, 4_000).min(budget / exchanges);
                Box::new(ssh::Connection::new(exchanges, size, 500 * MILLISECOND, random))
            }
            SshBulk => {
                let exchanges = random.between(1, 3);
                let size = random.heavy(1_000_000, 48_000_000).min(self.largest()).min(budget) / exchanges;
                Box::new(ssh::Connection::new(exchanges, size, 100 * MILLISECOND, self.random))
            }
            SshLong => Box::new(ssh::Connection::new(exchanges, long_size, pause, random)),
            DnsTcp => Box::new(dns::Stream { exchanges: random.between(1, 3), response: None }),
            Handshake | Scan => Box::new(Nothing),
            _ => return (self.datagrams(class, path, at, names), Closing::None),
        };
        let random = &mut *self.random;
        let closing = match class {
            _ if self.options.mix == Mix::Handshakes => Closing::Open,
            Scan => *random.pick(&[Closing::Refused, Closing::Refused, Closing::Silent]),
            TlsLong | HttpLong | SshLong => Closing::Fin,
            _ => match random.below(100) {
                0..86 => Closing::Fin,
                86..95 => Closing::Reset,
                _ => Closing::Open,
            },
        };
        let tcp = Tcp::new(conversation, closing, ipv6, at, random);
        (Body::Tcp(Box::new(tcp)), closing)
    }

    /// Most bytes of one bulk transfer: several share even a small capture.
    fn largest(&self) -> u64 {
        (self.options.bytes.unwrap_or(DEFAULT_BYTES) / 16).max(20_000)
    }

    fn datagrams(&mut self, class: Class, path: &Path, at: u64, names: &mut Names) -> Body {
        let random = &mut *self.random;
        let ipv6 = path.is_ipv6();
        let (queue, carrier) = match class {
            Class::Echo => {
                let protocol = if ipv6 { ICMPV6 } else { ICMP };
                (other::echo(ipv6, path.ends[0].port, random), Carrier::Icmp(protocol))
            }
            Class::Arp => (other::arp(path, random), Carrier::Ethernet(ETHERTYPE_ARP, None)),
            Class::Lldp => (other::lldp(path, random), Carrier::Ethernet(ETHERTYPE_LLDP, None)),
            Class::Ntp => (other::ntp(at, random), Carrier::Udp),
            Class::Syslog => (other::syslog(random), Carrier::Udp),
            Class::Datagrams => (other::datagrams(random, 900), Carrier::Udp),
            Class::Fragments => (other::datagrams(random, 4_000), Carrier::Udp),
            Class::Sctp => (other::sctp(path, random), Carrier::Sctp),
            _ => (dns::datagrams(self.world, random, names, class == Class::DnsLarge), Carrier::Udp),
        };
        Body::Datagrams(Datagrams { queue, carrier, at })
    }

    /// The ports of one scan: a few known ones and a range.
    pub(crate) fn scan(&mut self) -> Vec<Probe> {
        let target = self.random.below(self.world.places.hosts.len() as u64) as u32;
        let first = self.random.between(1, 40_000) as u16;
        let count = self.random.between(8, 32) as u16;
        (0..count).map(|index| Probe { target, port: first + index * 7 }).collect()
    }
}

fn resolver(ipv6: bool, number: u32) -> IpAddr {
    if ipv6 {
        Ipv6Addr::from(0x2001_0db8_0053_0000_0000_0000_0000_0053u128 + u128::from(number)).into()
    } else {
        Ipv4Addr::from(0xc613_0035 + number).into()
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
