//! X.509 certificates (RFC 5280): fields of the `cert` list, with a cache by content.

use skycap_model::Field;

skycap_model::fields! {
    base = crate::base("cert");
    CERT = Field::objects("cert").group("cert").named("Certificates", "Certificates of the session");
}

/// Certificates seen by a worker, by content.
#[derive(Default)]
pub struct Cache {}
