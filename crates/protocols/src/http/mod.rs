//! HTTP/1.0 and 1.1 (RFC 9112).

use skycap_model::{Category, Field, Kind};

use crate::{Claim, Direction, Hint, Input, Parser, Probe, Protocol, Session, Transport, Verdict};

skycap_model::fields! {
    base = crate::base("http");
    HOST = Field::lower("host.http", "http.host").set().counted().host().tokens().group("http").aliases(&["http.host"]).named("Hostname", "Host header, or the name asked for in TLS");
    URI = Field::term("http.uri", "http.uri").set().counted().tokens().group("http").named("URI", "Host and path asked for");
    XFF_IP = Field::ip("ip.xff", "http.xffIp").set().counted().group("http").named("XFF IP", "Addresses in X-Forwarded-For");
    USER_AGENT = Field::term("http.user-agent", "http.useragent").set().counted().tokens().group("http").named("Useragent", "User-Agent header");
    REQUEST_HEADER = Field::lower("http.hasheader.src", "http.requestHeader").set().counted().group("http").named("Has Src Header", "Names of request headers");
    RESPONSE_HEADER = Field::lower("http.hasheader.dst", "http.responseHeader").set().counted().group("http").named("Has Dst Header", "Names of response headers");
    REQUEST_HEADER_FIELD = Field::lower("http.header.request.field", "http.requestHeaderField").list().optional().group("http").named("Request Header Fields", "Name of each request header value");
    REQUEST_HEADER_VALUE = Field::lower("http.hasheader.src.value", "http.requestHeaderValue").list().counted().optional().group("http").named("Request Header Values", "Values of request headers");
    RESPONSE_HEADER_FIELD = Field::lower("http.header.response.field", "http.responseHeaderField").list().optional().group("http").named("Response Header Fields", "Name of each response header value");
    RESPONSE_HEADER_VALUE = Field::lower("http.hasheader.dst.value", "http.responseHeaderValue").list().counted().optional().group("http").named("Response Header Values", "Values of response headers");
    HAS_HEADER = Field::any("http.hasheader", Kind::LowerTerm, &["http.hasheader.src", "http.hasheader.dst"]).group("http").named("Has Src or Dst Header", "Names of headers of either side");
    HAS_HEADER_VALUE = Field::any("http.hasheader.value", Kind::LowerTerm, &["http.hasheader.src.value", "http.hasheader.dst.value"]).group("http").named("Has Value in Src or Dst Header", "Values of headers of either side");
    MD5 = Field::lower("http.md5", "http.md5").set().counted().group("http").named("Body MD5", "MD5 of bodies as transferred");
    SHA256 = Field::lower("http.sha256", "http.sha256").set().counted().optional().group("http").named("Body SHA256", "SHA-256 of bodies as transferred");
    VERSION = Field::any("http.version", Kind::Term, &["http.version.src", "http.version.dst"]).group("http").named("Version", "HTTP version of either side");
    CLIENT_VERSION = Field::term("http.version.src", "http.clientVersion").set().counted().group("http").named("Src Version", "HTTP version of requests");
    SERVER_VERSION = Field::term("http.version.dst", "http.serverVersion").set().counted().group("http").named("Dst Version", "HTTP version of responses");
    PATH = Field::term("http.uri.path", "http.path").set().counted().group("http").named("URI Path", "Path asked for");
    KEY = Field::term("http.uri.key", "http.key").set().counted().group("http").named("QS Keys", "Keys of query strings");
    VALUE = Field::term("http.uri.value", "http.value").set().counted().optional().group("http").named("QS Values", "Values of query strings");
    COOKIE_KEY = Field::term("http.cookie.key", "http.cookieKey").set().counted().group("http").named("Cookie Keys", "Names of cookies sent");
    COOKIE_VALUE = Field::term("http.cookie.value", "http.cookieValue").set().counted().optional().group("http").named("Cookie Values", "Values of cookies sent");
    METHOD = Field::term("http.method", "http.method").set().counted().group("http").named("Request Method", "Request methods");
    BODY_MAGIC = Field::term("http.bodymagic", "http.bodyMagic").set().counted().group("http").named("Body Magic", "Content types of bodies by their first bytes");
    USER = Field::term("http.user", "http.user").set().counted().category(Category::User).group("http").named("User", "User names of the Authorization header");
    AUTH_TYPE = Field::lower("http.authtype", "http.authType").set().counted().group("http").named("Auth Type", "Schemes of the Authorization header");
    STATUS = Field::integer("http.statuscode", "http.statuscode").set().counted().group("http").named("Status Code", "Status codes of responses");
    REQUEST_BODY = Field::term("http.reqbody", "http.requestBody").set().optional().group("http").named("Request Body", "First bytes of request bodies that are text");
}

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    about: "Hypertext transfer protocol 1.0 and 1.1, RFC 9112",
    fields: FIELDS,
    probes: &[Probe::Port(Transport::Tcp, 80, claim)],
    open: || Box::new(Placeholder),
};

struct Placeholder;

fn claim(_: &Hint<'_>) -> Claim {
    Claim::No
}

impl Parser for Placeholder {
    fn parse(&mut self, _: &mut Session<'_>, _: Direction, _: Input<'_>) -> Verdict {
        Verdict::Done
    }
}
