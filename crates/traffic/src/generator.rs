//! Runs the flows of a plan side by side and gives out their packets in order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, Write};

use skycap_model::Timestamp;

use crate::flow::{Flow, World};
use crate::options::{Mix, Options, OptionsError};
use crate::pcap::{FILE_HEADER_BYTES, Packet, PcapWriter, RECORD_HEADER_BYTES};
use crate::plan::{Class, Maker, Plan, Probe};
use crate::random::Random;
use crate::report::{FlowReport, Totals};

const OUTPUT_BUFFER_BYTES: usize = 256 * 1024;

/// Generates packets one after the other; memory is that of the flows open at once, whatever the size of the capture.
pub struct Generator {
    options: Options,
    plan: Plan,
    world: World,
    random: Random,
    flows: Vec<Option<Flow>>,
    free: Vec<u32>,
    due: BinaryHeap<Reverse<(u64, u32)>>,
    open: usize,
    made: u64,
    now: u64,
    arrival: u64,
    /// File bytes of ended flows and estimated ones of open flows, in all and by heavy class.
    committed: u64,
    committed_heavy: Vec<u64>,
    frame: Vec<u8>,
    reports: VecDeque<FlowReport>,
    totals: Totals,
    ended: bool,
}

impl Generator {
    /// Prepares hosts, certificates and payload pools.
    ///
    /// # Errors
    /// Options that can't be.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        let options = options.resolved()?;
        let plan = Plan::of(options.mix);
        let mut random = Random::new(options.seed);
        let world = World::new(&mut random);
        let start = options.start.0;
        Ok(Self {
            plan,
            world,
            random,
            flows: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            open: 0,
            made: 0,
            now: start,
            arrival: start,
            committed: FILE_HEADER_BYTES,
            committed_heavy: vec![0; plan.heavy.len()],
            frame: Vec::with_capacity(2_048),
            reports: VecDeque::new(),
            totals: Totals { file_bytes: FILE_HEADER_BYTES, ..Totals::default() },
            ended: false,
            options,
        })
    }

    /// The options with the preset's size filled in.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Makes the next packet; None at the end.
    ///
    /// Take the reports of flows that have ended ([`Generator::take_report`]) between calls: they are kept until then.
    pub fn next_packet(&mut self) -> Option<Packet<'_>> {
        let time = self.step()?;
        let captured = self.frame.len().min(self.options.snap_length as usize);
        Some(Packet { time: Timestamp(time), original_length: self.frame.len() as u32, data: &self.frame[..captured] })
    }

    /// Gives out the report of a flow that has ended.
    pub fn take_report(&mut self) -> Option<FlowReport> {
        let report = self.reports.pop_front()?;
        self.totals.add(&report);
        Some(report)
    }

    /// Sums over the packets and reports given out so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Gives every packet and every report to the callbacks.
    ///
    /// # Errors
    /// The first one of a callback.
    pub fn run<E>(
        mut self,
        mut packet: impl FnMut(&Packet<'_>) -> Result<(), E>,
        mut report: impl FnMut(&FlowReport) -> Result<(), E>,
    ) -> Result<Totals, E> {
        loop {
            let next = self.next_packet();
            let last = next.is_none();
            if let Some(next) = next {
                packet(&next)?;
            }
            while let Some(flow) = self.take_report() {
                report(&flow)?;
            }
            if last {
                return Ok(self.totals);
            }
        }
    }

    /// Writes a libpcap file, and the sidecar if there is an output for it: a JSON line `{"flow":0,…}` for each flow as it ends, then
    /// one `{"totals":{…}}`. Both are buffered here.
    ///
    /// # Errors
    /// Those of the outputs.
    pub fn write(self, capture: impl Write, sidecar: Option<&mut dyn Write>) -> io::Result<Totals> {
        let output = io::BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, capture);
        let mut writer = PcapWriter::new(output, self.options.resolution, self.options.snap_length)?;
        let mut lines = sidecar.map(io::BufWriter::new);
        let totals = self.run(
            |packet| writer.write(packet),
            |report| {
                let Some(lines) = &mut lines else { return Ok(()) };
                serde_json::to_writer(&mut *lines, report)?;
                lines.write_all(b"\n")
            },
        )?;
        writer.finish()?;
        if let Some(lines) = &mut lines {
            serde_json::to_writer(&mut *lines, &serde_json::json!({ "totals": &totals }))?;
            lines.write_all(b"\n")?;
            lines.flush()?;
        }
        Ok(totals)
    }

    fn step(&mut self) -> Option<u64> {
        loop {
            if self.ended {
                return None;
            }
            let next = self.due.peek().map(|Reverse(next)| *next);
            if self.open < self.plan.most_open && self.wants_more() && next.is_none_or(|(time, _)| self.arrival <= time)
            {
                self.admit();
                continue;
            }
            let Some((time, slot)) = next else {
                self.end();
                return None;
            };
            self.due.pop();
            self.now = time;
            if let Some(time) = self.emit(time, slot) {
                return Some(time);
            }
        }
    }

    fn emit(&mut self, time: u64, slot: u32) -> Option<u64> {
        let flow = self.flows.get_mut(slot as usize)?.as_mut()?;
        let sent = flow.emit(time, &mut self.frame, &self.world, &mut self.random, &self.options.disturbance);
        if let Some(sent) = sent {
            let captured = self.frame.len().min(self.options.snap_length as usize) as u64;
            let after = self.totals.file_bytes + RECORD_HEADER_BYTES + captured;
            if self.options.bytes.is_some_and(|bytes| after > bytes)
                || self.options.packets.is_some_and(|packets| self.totals.packets >= packets)
            {
                self.end();
                return None;
            }
            flow.count(time, &self.frame, sent);
            let totals = &mut self.totals;
            if totals.packets == 0 {
                totals.start_ns = time;
            }
            totals.end_ns = time;
            totals.packets += 1;
            totals.bytes += self.frame.len() as u64;
            totals.captured_bytes += captured;
            totals.file_bytes = after;
        }
        match flow.next_time() {
            Some(next) => self.due.push(Reverse((next.max(time), slot))),
            None => self.close(slot, true),
        }
        sent.map(|_| time)
    }

    fn wants_more(&self) -> bool {
        self.options.flows.is_none_or(|flows| self.made < flows)
            && self.options.bytes.is_none_or(|bytes| self.committed < bytes)
    }

    /// Begins the next flow, or all flows of a scan.
    fn admit(&mut self) {
        let at = self.arrival.max(self.now);
        let small = self.random.below(1_000) < self.plan.small_per_mille;
        let (class, heavy) = if self.options.mix == Mix::Handshakes && self.made.is_multiple_of(2) {
            (Class::Handshake, None)
        } else if small || self.plan.heavy.is_empty() {
            (self.small_class(), None)
        } else {
            // the class that is furthest behind its share
            let index = (0..self.plan.heavy.len())
                .min_by_key(|index| {
                    u128::from(self.committed_heavy[*index]) * 1_000 / u128::from(self.plan.heavy[*index].1)
                })
                .unwrap_or(0);
            (self.plan.heavy[index].0, Some(index))
        };
        let budget = self.options.bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(self.committed));
        let bits_per_second = self.options.bits_per_second.unwrap_or(self.plan.bits_per_second);
        let mut maker = Maker { world: &self.world, options: &self.options, bits_per_second, random: &mut self.random };
        let probes: Vec<Option<Probe>> =
            if class == Class::Scan { maker.scan().into_iter().map(Some).collect() } else { vec![None] };
        let mut estimate = 0;
        for (index, probe) in probes.into_iter().enumerate() {
            if self.options.flows.is_some_and(|flows| self.made >= flows) {
                break;
            }
            let mut flow = maker.flow(self.made, class, at + index as u64 * 1_500_000, budget, probe);
            self.made += 1;
            flow.heavy = heavy;
            // each packet keeps at most the snap length
            self.committed += flow.estimate;
            if let Some(heavy) = heavy {
                self.committed_heavy[heavy] += flow.estimate;
            }
            estimate += flow.estimate;
            self.open += 1;
            let time = flow.next_time().unwrap_or(at).max(at);
            let slot = match self.free.pop() {
                Some(slot) => {
                    self.flows[slot as usize] = Some(flow);
                    slot
                }
                None => {
                    self.flows.push(Some(flow));
                    (self.flows.len() - 1) as u32
                }
            };
            self.due.push(Reverse((time, slot)));
        }
        self.totals.most_open = self.totals.most_open.max(self.open as u64);
        self.arrival = at.saturating_add(maker.gap(estimate));
    }

    fn small_class(&mut self) -> Class {
        let sum = self.plan.small.iter().map(|(_, weight)| weight).sum();
        let mut roll = self.random.below(sum);
        for (class, weight) in self.plan.small {
            if roll < *weight {
                return *class;
            }
            roll -= weight;
        }
        Class::Dns
    }

    fn close(&mut self, slot: u32, complete: bool) {
        let Some(flow) = self.flows.get_mut(slot as usize).and_then(Option::take) else { return };
        self.free.push(slot);
        self.open -= 1;
        let mut report = *flow.report;
        report.complete = complete;
        let snap_length = u64::from(self.options.snap_length);
        let packets = report.client.packets + report.server.packets;
        let bytes = report.client.bytes + report.server.bytes;
        let actual = bytes.min(packets * snap_length) + packets * RECORD_HEADER_BYTES;
        self.committed = (self.committed + actual).saturating_sub(flow.estimate);
        if let Some(heavy) = flow.heavy {
            let committed = &mut self.committed_heavy[heavy];
            *committed = (*committed + actual).saturating_sub(flow.estimate);
        }
        self.reports.push_back(report);
    }

    /// Ends the capture; flows still open are reported as cut.
    fn end(&mut self) {
        self.ended = true;
        self.due.clear();
        for slot in 0..self.flows.len() as u32 {
            self.close(slot, false);
        }
    }
}
