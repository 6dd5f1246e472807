//! What was made: a report for each flow, and totals.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

/// Most distinct values that one list of [`Names`] keeps; further ones only set [`Names::cut`].
pub const MAX_NAMES: usize = 256;

/// Counts one direction of a flow, packets in the capture only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Packets written.
    pub packets: u64,
    /// Their bytes on the wire: whole frames without the check sequence, before the snap length cuts.
    pub bytes: u64,
    /// Their transport payload, repeated bytes counted again: behind the TCP, UDP, ICMP (8 bytes) or SCTP common header;
    /// behind the Ethernet header where there is no IP.
    pub payload_bytes: u64,
    /// Bytes that the application sent, each counted once, those of packets that were lost included.
    pub stream_bytes: u64,
}

/// Counts the disturbances that a flow suffered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disturbed {
    /// Packets that aren't in the capture.
    pub lost: u64,
    /// Segments written after their successor.
    pub reordered: u64,
    /// Segments written a second time.
    pub retransmitted: u64,
    /// Segments written that repeat bytes in another cut.
    pub overlapped: u64,
}

/// Lists what a dissector should find in a flow's payload; values in order of appearance, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Names {
    /// Names asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_host: Vec<String>,
    /// Types asked for: `A`, `MX`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_type: Vec<String>,
    /// Response codes: `NOERROR`, `NXDOMAIN`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_status: Vec<String>,
    /// Host headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_host: Vec<String>,
    /// Request targets with query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_uri: Vec<String>,
    /// Request methods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_method: Vec<String>,
    /// Response status codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_status: Vec<String>,
    /// User agents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_user_agent: Vec<String>,
    /// Server names of client hellos.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_sni: Vec<String>,
    /// Versions agreed on: `TLSv1.2`, `TLSv1.3`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_version: Vec<String>,
    /// Common names of the certificates sent in the clear, leaf first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_subject: Vec<String>,
    /// Version texts of both ends, client first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_version: Vec<String>,
    /// Types of host keys sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_host_key: Vec<String>,
    /// Number of requests (DNS queries, HTTP requests, TLS or SSH exchanges).
    pub requests: u64,
    /// A list was full and lacks values.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl Names {
    /// Adds a value to the chosen list unless it is there or the list is full.
    pub(crate) fn note(&mut self, list: impl FnOnce(&mut Self) -> &mut Vec<String>, value: &str) {
        let list = list(self);
        if list.iter().any(|known| known == value) {
            return;
        }
        if list.len() < MAX_NAMES {
            list.push(value.to_owned());
        } else {
            self.cut = true;
        }
    }
}

/// Tells how a flow ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closing {
    /// No connection, so nothing to close.
    #[default]
    None,
    /// TCP: FIN of both ends.
    Fin,
    /// TCP: a reset after data.
    Reset,
    /// TCP: not closed.
    Open,
    /// TCP: the SYN was answered by a reset.
    Refused,
    /// TCP: the SYN was never answered.
    Silent,
}

/// Describes one generated flow; its JSON is one line of the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowReport {
    /// Number of the flow, from 0, in order of their beginning.
    pub flow: u64,
    /// What it is: `dns`, `http`, `tls`, `ssh`, `ntp`, `syslog`, `udp`, `tcp`, `scan`, `icmp`, `sctp`, `arp`, `lldp`.
    pub protocol: &'static str,
    /// IP protocol number; 0 without IP.
    pub ip_protocol: u8,
    /// Ethertype of the payload, behind a VLAN tag where there is one.
    pub ethertype: u16,
    /// Outer VLAN tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Ethernet address of the first sender.
    pub source_mac: String,
    /// Ethernet address of the other end.
    pub destination_mac: String,
    /// Address of the first sender; None without IP.
    pub source: Option<IpAddr>,
    /// Its port; for ICMP the identifier; 0 where there is none.
    pub source_port: u16,
    /// Address of the other end; None without IP.
    pub destination: Option<IpAddr>,
    /// Its port; 0 where there is none.
    pub destination_port: u16,
    /// Time of the first packet written, nanoseconds since the epoch; 0 if every one was lost.
    pub start_ns: u64,
    /// Time of the last packet written.
    pub end_ns: u64,
    /// What the first sender sent.
    pub client: Side,
    /// What the other end sent.
    pub server: Side,
    /// What a dissector should find.
    pub names: Names,
    /// Disturbances applied.
    pub disturbed: Disturbed,
    /// Packets that are IP fragments.
    pub fragments: u64,
    /// How it ended.
    pub closing: Closing,
    /// False if the size limit cut the flow.
    pub complete: bool,
}

/// Sums over a whole capture; the last line of the sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Flows reported, those without a written packet included.
    pub flows: u64,
    /// Packets written.
    pub packets: u64,
    /// Bytes on the wire of the packets written.
    pub bytes: u64,
    /// Bytes captured, after the snap length.
    pub captured_bytes: u64,
    /// Bytes of the libpcap file: file header, record headers and captured bytes.
    pub file_bytes: u64,
    /// Transport payload bytes.
    pub payload_bytes: u64,
    /// Time of the first packet.
    pub start_ns: u64,
    /// Time of the last packet.
    pub end_ns: u64,
    /// Flows cut by the size limit.
    pub cut_flows: u64,
    /// Most flows that were held open by the generator at once.
    pub most_open: u64,
    /// Disturbances applied.
    pub disturbed: Disturbed,
    /// Flows, packets and bytes on the wire by protocol.
    pub protocols: BTreeMap<&'static str, ProtocolTotals>,
}

/// Sums over the flows of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProtocolTotals {
    /// Flows reported.
    pub flows: u64,
    /// Packets written.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Totals {
    /// Adds a finished flow; packets, bytes and times of the capture are counted as they are written.
    pub(crate) fn add(&mut self, report: &FlowReport) {
        self.flows += 1;
        self.cut_flows += u64::from(!report.complete);
        self.payload_bytes += report.client.payload_bytes + report.server.payload_bytes;
        self.disturbed.lost += report.disturbed.lost;
        self.disturbed.reordered += report.disturbed.reordered;
        self.disturbed.retransmitted += report.disturbed.retransmitted;
        self.disturbed.overlapped += report.disturbed.overlapped;
        let protocol = self.protocols.entry(report.protocol).or_default();
        protocol.flows += 1;
        protocol.packets += report.client.packets + report.server.packets;
        protocol.bytes += report.client.bytes + report.server.bytes;
    }
}
