//! Link-local multicast name resolution (RFC 4795): the message of DNS on a port of its own.

use skycap_model::Field;

use crate::{Claim, Hint, Probe, Protocol, Transport, dns};

/// It writes the fields of [`dns`].
pub const FIELDS: &[Field] = &[];

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "llmnr",
    about: "Link-local multicast name resolution, RFC 4795",
    fields: FIELDS,
    probes: &[Probe::Port(Transport::Udp, 5355, claim)],
    open: || Box::new(dns::Dns::default()),
};

fn claim(hint: &Hint<'_>) -> Claim {
    if hint.has_port(53) { Claim::No } else { dns::claim_datagram(hint) }
}
