//! Application protocols: what each looks like on the wire, and which fields its messages give.
//!
//! A protocol is one file and one word in the list below. The file holds its doc comment with the RFC, its field
//! table ([`model::fields!`](skycap_model::fields)), its [`Protocol`], its parser and its tests; it knows nothing of session
//! tables, stores or threads. Order in the list is the order of probing, and the order of the field tables.

pub mod digest;
mod fields;
pub mod magic;
mod parser;
mod registry;
#[cfg(test)]
mod testing;
mod traits;

use std::sync::LazyLock;

use skycap_model::{Catalogue, Field, core_fields};

pub use fields::{Fields, Limits, Mark, Spot, Value};
pub use parser::{
    Claim, Direction, Facts, Hint, Input, Options, Parser, Probe, Protocol, Session, Shared, Target, Transport, Verdict,
};
pub use registry::{Candidates, Registry};
pub use traits::{Traits, traits};

/// Declares the modules, their field tables and the list of protocols.
macro_rules! protocols {
    (shared: $($(#[$shared_doc:meta])* $shared:ident)*; list: $($(#[$doc:meta])* $module:ident)*;) => {
        $($(#[$shared_doc])* pub mod $shared;)*
        $($(#[$doc])* pub mod $module;)*

        /// All field tables: the core's, the shared pieces', the protocols'.
        const TABLES: &[(&str, &[Field])] = &[
            ("core", core_fields::FIELDS),
            $((stringify!($shared), $shared::FIELDS),)*
            $((stringify!($module), $module::FIELDS),)*
        ];

        /// The protocols, in probing order.
        pub static PROTOCOLS: &[&Protocol] = &[$(&$module::PROTOCOL),*];
    };
}

protocols! {
    shared:
        cert
    ;
    list:
        dns
        llmnr
        mdns
        http
        tls
        ssh
        arp
    ;
}

/// Number of the first field of a module's table.
const fn base(module: &str) -> u16 {
    let mut number = 0;
    let mut table = 0;
    while table < TABLES.len() {
        if same(TABLES[table].0, module) {
            return number;
        }
        number += TABLES[table].1.len() as u16;
        table += 1;
    }
    u16::MAX
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The catalogue of all fields: core, shared pieces and protocols.
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::new(&TABLES.iter().map(|&(_, table)| table).collect::<Vec<_>>()));
    &CATALOGUE
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tables_agree() {
        let mut paths = HashSet::new();
        for field in catalogue().fields().iter().filter(|field| !field.path.is_empty()) {
            assert!(paths.insert(field.path), "two fields are written to {}", field.path);
        }
        for (module, table) in TABLES {
            let first = &catalogue().fields()[usize::from(base(module))];
            assert!(table.is_empty() || first.path == table[0].path, "numbers of {module} are off");
        }
    }
}
