//! http.

use skycap_model::Field;

use crate::{Claim, Direction, Hint, Input, Parser, Probe, Protocol, Session, Transport, Verdict};

skycap_model::fields! {
    base = crate::base("http");
    PLACEHOLDER = Field::term("http.x","http.x").group("dns").named("DNS", "DNS queries of the session");
}

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    about: "Domain names, RFC 1035",
    fields: FIELDS,
    probes: &[Probe::Port(Transport::Tcp, 80, claim)],
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
