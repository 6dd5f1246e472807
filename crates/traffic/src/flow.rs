//! One flow: its packets in order of time, and the report of them.

use std::collections::VecDeque;

use crate::content::{Direction, Pools};
use crate::names::Places;
use crate::options::Disturbance;
use crate::pcap::RECORD_HEADER_BYTES;
use crate::random::Random;
use crate::report::FlowReport;
use crate::tcp::Tcp;
use crate::wire::{MTU, Path, SCTP, UDP};
use crate::x509::Certificates;

/// What all flows share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pools: Pools,
    pub(crate) places: Places,
    pub(crate) certificates: Certificates,
}

impl World {
    pub(crate) fn new(random: &mut Random) -> Self {
        let pools = Pools::new(random);
        let places = Places::new(random);
        let certificates = Certificates::new(&places, random);
        Self { pools, places, certificates }
    }
}

/// A whole frame that waits for its time.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) time: u64,
    pub(crate) direction: Direction,
    pub(crate) payload: u64,
    pub(crate) frame: Vec<u8>,
}

/// Says of the frame just made who sent it, and its transport payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) direction: Direction,
    pub(crate) payload: u64,
}

/// A message that isn't part of a stream.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) direction: Direction,
    /// Nanoseconds since the one before.
    pub(crate) delay: u64,
    pub(crate) data: Vec<u8>,
}

/// Datagrams of one kind, one after the other.
#[derive(Debug)]
pub(crate) struct Datagrams {
    pub(crate) queue: VecDeque<Datagram>,
    pub(crate) carrier: Carrier,
    pub(crate) at: u64,
}

/// What a datagram is put in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    Udp,
    /// ICMP or ICMPv6; data is the message with an empty checksum.
    Icmp(u8),
    /// Data is the whole packet.
    Sctp,
    /// Ethernet payload, to this address instead of the other end's.
    Ethernet(u16, Option<[u8; 6]>),
}

pub(crate) enum Body {
    Tcp(Box<Tcp>),
    Datagrams(Datagrams),
}

/// A flow that is being generated.
pub(crate) struct Flow {
    pub(crate) path: Path,
    pub(crate) body: Body,
    pub(crate) report: Box<FlowReport>,
    held: Vec<Held>,
    /// Bytes of file that were estimated for it, to correct the plan at its end.
    pub(crate) estimate: u64,
    /// Which of the plan's heavy classes it belongs to.
    pub(crate) heavy: Option<usize>,
}

impl Flow {
    pub(crate) fn new(path: Path, body: Body, report: FlowReport) -> Self {
        let estimate = match &body {
            Body::Tcp(tcp) => tcp.estimate(),
            Body::Datagrams(datagrams) => {
                datagrams.queue.iter().map(|datagram| datagram.data.len() as u64 + 50 + RECORD_HEADER_BYTES).sum()
            }
        };
        Self { path, body, report: Box::new(report), held: Vec::new(), estimate, heavy: None }
    }

    /// When its next packet is due; None once it has ended.
    pub(crate) fn next_time(&self) -> Option<u64> {
        let own = match &self.body {
            Body::Tcp(tcp) => tcp.next_time(),
            Body::Datagrams(datagrams) => datagrams.queue.front().map(|datagram| datagrams.at + datagram.delay),
        };
        let held = self.held.iter().map(|held| held.time).min();
        match (own, held) {
            (Some(own), Some(held)) => Some(own.min(held)),
            (own, held) => own.or(held),
        }
    }

    /// Makes the packet that is due at `now`, as [`Flow::next_time`] said, in `frame`; false if none is captured.
    pub(crate) fn emit(
        &mut self,
        now: u64,
        frame: &mut Vec<u8>,
        world: &World,
        random: &mut Random,
        disturbance: &Disturbance,
    ) -> Option<Sent> {
        frame.clear();
        let due = self.held.iter().position(|held| held.time <= now);
        let sent = if let Some(index) = due {
            // in the order in which they were put there
            let held = self.held.remove(index);
            frame.extend_from_slice(&held.frame);
            Sent { direction: held.direction, payload: held.payload }
        } else {
            match &mut self.body {
                Body::Tcp(tcp) => {
                    let tools = (&mut *self.report, &mut self.held);
                    tcp.emit(now, frame, &mut self.path, world, random, disturbance, tools)
                }
                Body::Datagrams(datagrams) => {
                    datagrams.emit(now, frame, &mut self.path, random, (&mut self.report, &mut self.held))?
                }
            }
        };
        if frame.is_empty() {
            return None; // held for later
        }
        if random.chance(disturbance.loss) {
            self.report.disturbed.lost += 1;
            return None;
        }
        Some(sent)
    }

    /// Counts a frame as written.
    pub(crate) fn count(&mut self, time: u64, frame: &[u8], sent: Sent) {
        let report = &mut *self.report;
        if report.client.packets + report.server.packets == 0 {
            report.start_ns = time;
        }
        report.end_ns = time;
        let side = match sent.direction {
            Direction::Client => &mut report.client,
            Direction::Server => &mut report.server,
        };
        side.packets += 1;
        side.bytes += frame.len() as u64;
        side.payload_bytes += sent.payload;
    }
}

impl Datagrams {
    fn emit(
        &mut self,
        now: u64,
        frame: &mut Vec<u8>,
        path: &mut Path,
        random: &mut Random,
        (report, held): (&mut FlowReport, &mut Vec<Held>),
    ) -> Option<Sent> {
        let datagram = self.queue.pop_front()?;
        self.at = now;
        let Datagram { direction, mut data, .. } = datagram;
        let (protocol, header, data) = match self.carrier {
            Carrier::Ethernet(ethertype, to) => {
                path.ethernet(frame, direction, ethertype, to);
                frame.extend_from_slice(&data);
                let payload = data.len() as u64;
                stream(report, direction, payload);
                return Some(Sent { direction, payload });
            }
            Carrier::Udp => (UDP, 8, path.udp_datagram(direction, &data)),
            Carrier::Icmp(protocol) => {
                path.icmp_checksum(direction, &mut data);
                (protocol, 8, data)
            }
            Carrier::Sctp => (SCTP, 12, data),
        };
        stream(report, direction, (data.len() - header) as u64);
        let room = MTU - if path.is_ipv6() { 40 } else { 20 };
        if data.len() <= room {
            path.ip(frame, direction, protocol, data.len(), None);
            frame.extend_from_slice(&data);
            return Some(Sent { direction, payload: (data.len() - header) as u64 });
        }
        // RFC 791 and RFC 8200 section 4.5: all but the last fragment hold a multiple of eight bytes
        let identification = random.next() as u32;
        let piece = (room - 8) & !7;
        let mut first = None;
        for (index, part) in data.chunks(piece).enumerate() {
            let offset = index * piece;
            let more = offset + part.len() < data.len();
            let mut fragment = Vec::with_capacity(MTU + 18);
            path.ip(&mut fragment, direction, protocol, part.len(), Some((identification, offset, more)));
            fragment.extend_from_slice(part);
            report.fragments += 1;
            let payload = (part.len() - if index == 0 { header } else { 0 }) as u64;
            if index == 0 {
                frame.extend_from_slice(&fragment);
                first = Some(Sent { direction, payload });
            } else {
                held.push(Held { time: now + index as u64 * 12_000, direction, payload, frame: fragment });
            }
        }
        first
    }
}

fn stream(report: &mut FlowReport, direction: Direction, bytes: u64) {
    match direction {
        Direction::Client => report.client.stream_bytes += bytes,
        Direction::Server => report.server.stream_bytes += bytes,
    }
}
