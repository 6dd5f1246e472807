//! X.509 certificates.

use skycap_protocols::{Facts, Fields, Options, Session, Shared, cert};

use crate::protocols::{check_fields, dump};

/// A certificate, read afresh and from the cache: both give the same fields. Input: its DER.
pub fn certificate(data: &[u8]) {
    let facts = Facts::default();
    let options = Options { all_fields: true, ..Options::default() };
    let mut shared = Shared::default();
    let [fresh, cached] = std::array::from_fn(|_| {
        let mut fields = Fields::default();
        let mut session = Session { facts: &facts, options: &options, fields: &mut fields, shared: &mut shared };
        let mut seen = cert::Seen::default();
        cert::write(&mut session, &mut seen, data);
        let once = dump(&fields);
        let mut session = Session { facts: &facts, options: &options, fields: &mut fields, shared: &mut shared };
        cert::write(&mut session, &mut seen, data);
        assert_eq!(dump(&fields), once, "a certificate is written twice");
        check_fields(&fields);
        once
    });
    assert_eq!(fresh, cached, "the cache changes the fields");
}
