//! X.509 certificates (RFC 5280): fields of the `cert` list, with a cache by content.
//!
//! Whoever meets a certificate calls [`write()`]; each appears once in a session.

mod cache;
mod der;
mod oid;
mod x509;

use skycap_model::Field;

pub use cache::Cache;

use crate::Session;

skycap_model::fields! {
    base = crate::base("cert");
    CERT = Field::objects("cert").group("cert").named("Certificates", "Certificates sent in the session");
    ALT = Field::lower("cert.alt", "cert.alt").set().counted().inside("cert").group("cert").named("Alt Name", "Alternative host names and addresses of the subject");
    SERIAL = Field::lower("cert.serial", "cert.serial").inside("cert").group("cert").named("Serial Number", "Serial number in hexadecimal");
    ISSUER_CN = Field::lower("cert.issuer.cn", "cert.issuerCN").set().inside("cert").group("cert").named("Issuer CN", "Common name of the issuer");
    SUBJECT_CN = Field::lower("cert.subject.cn", "cert.subjectCN").set().inside("cert").group("cert").named("Subject CN", "Common name of the subject");
    ISSUER_ON = Field::term("cert.issuer.on", "cert.issuerON").set().inside("cert").group("cert").named("Issuer ON", "Organization of the issuer");
    SUBJECT_ON = Field::term("cert.subject.on", "cert.subjectON").set().inside("cert").group("cert").named("Subject ON", "Organization of the subject");
    ISSUER_OU = Field::term("cert.issuer.ou", "cert.issuerOU").set().inside("cert").group("cert").named("Issuer Org Unit", "Unit of the issuer's organization");
    SUBJECT_OU = Field::term("cert.subject.ou", "cert.subjectOU").set().inside("cert").group("cert").named("Subject Org Unit", "Unit of the subject's organization");
    HASH = Field::lower("cert.hash", "cert.hash").inside("cert").group("cert").named("Hash", "SHA-1 of the whole certificate, bytes separated by colons");
    NOT_BEFORE = Field::date("cert.notbefore", "cert.notBefore").inside("cert").group("cert").named("Not Before", "First moment of validity");
    NOT_AFTER = Field::date("cert.notafter", "cert.notAfter").inside("cert").group("cert").named("Not After", "Last moment of validity");
    VALID_DAYS = Field::integer("cert.validfor", "cert.validDays").inside("cert").group("cert").named("Days Valid For", "Whole days from first to last moment of validity");
    VALID_SECONDS = Field::integer("cert.validforSeconds", "cert.validSeconds").inside("cert").group("cert").named("Seconds Valid For", "Seconds from first to last moment of validity");
    REMAINING_DAYS = Field::integer("cert.remainingDays", "cert.remainingDays").inside("cert").group("cert").named("Days remaining", "Whole days of validity left when the session began");
    REMAINING_SECONDS = Field::integer("cert.remainingSeconds", "cert.remainingSeconds").inside("cert").group("cert").named("Seconds remaining", "Seconds of validity left when the session began");
    CURVE = Field::term("cert.curve", "cert.curve").inside("cert").group("cert").named("Curve", "Curve of the subject's public key");
    PUBLIC_ALGORITHM = Field::term("cert.publicAlgorithm", "cert.publicAlgorithm").inside("cert").group("cert").named("Public Algorithm", "Algorithm of the subject's public key");
}

/// Different certificates of a session that are written.
const MAX_PER_SESSION: usize = 128;

const SECONDS_PER_DAY: i64 = 86_400;

/// Certificates that a session has already, by hash.
#[derive(Default)]
pub struct Seen(Vec<[u8; 20]>);

/// Writes a certificate (DER) as an object of the session's `cert` list, unless it is there already or is none.
///
/// Bounded by 128 certificates a session; what depends on the certificate alone comes from the worker's [`Cache`].
pub fn write(session: &mut Session<'_>, seen: &mut Seen, der: &[u8]) {
    let Some(certificate) = session.shared.certificates.lookup(der) else { return };
    if seen.0.len() >= MAX_PER_SESSION || seen.0.contains(&certificate.hash) {
        return;
    }
    seen.0.push(certificate.hash);
    session.fields.begin(CERT);
    session.fields.append(&certificate.fields);
    if let Some(not_after) = certificate.not_after {
        let remaining = not_after - session.facts.session_start.seconds() as i64;
        session.fields.integer(REMAINING_SECONDS, remaining);
        session.fields.integer(REMAINING_DAYS, remaining / SECONDS_PER_DAY);
    }
    session.fields.end();
    let tag = if certificate.self_signed {
        "cert:self-signed"
    } else if certificate.authority {
        "cert:certificate-authority"
    } else {
        return;
    };
    session.tag(tag);
}

#[cfg(test)]
mod tests;

/// A certificate for the tests of those who meet one.
#[cfg(test)]
pub(crate) use tests::certificate as test_certificate;
