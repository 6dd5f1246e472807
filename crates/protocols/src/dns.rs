//! DNS (RFC 1035).

use skycap_model::Field;

use crate::{Claim, Direction, Hint, Input, Parser, Probe, Protocol, Session, Transport, Verdict};

skycap_model::fields! {
    base = crate::base("dns");
    DNS = Field::objects("dns").group("dns").named("DNS", "DNS queries of the session");
    QUERY_HOST = Field::lower("dns.query.host", "dns.queryHost").inside("dns").host().group("dns").named("Query Host", "Name asked for");
}

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "dns",
    about: "Domain names, RFC 1035",
    fields: FIELDS,
    probes: &[Probe::Port(Transport::Udp, 53, claim)],
    open: || Box::new(Dns),
};

struct Dns;

fn claim(_: &Hint<'_>) -> Claim {
    Claim::No
}

impl Parser for Dns {
    fn parse(&mut self, _: &mut Session<'_>, _: Direction, _: Input<'_>) -> Verdict {
        Verdict::Done
    }
}
