//! HTTP/1.1 and 1.0 (RFC 9112): requests and responses of many shapes on one connection.

use std::collections::VecDeque;

use crate::content::{Bulk, Content, Pool, WORDS};
use crate::flow::World;
use crate::random::Random;
use crate::report::Names;
use crate::tcp::{Conversation, Message};

const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
    "curl/8.14.1",
    "python-requests/2.32.4",
    "Go-http-client/1.1",
];

const TYPES: [(&str, &str, Pool); 8] = [
    ("text/html; charset=utf-8", "html", Pool::Text),
    ("application/json", "json", Pool::Text),
    ("text/css", "css", Pool::Text),
    ("application/javascript", "js", Pool::Text),
    ("image/png", "png", Pool::Random),
    ("image/jpeg", "jpg", Pool::Random),
    ("application/octet-stream", "bin", Pool::Random),
    ("text/plain", "txt", Pool::Text),
];

/// One connection.
pub(crate) struct Connection {
    host: String,
    agent: &'static str,
    cookie: Option<String>,
    old: bool,
    left: u64,
    /// Response body bytes of each request, on average; half as much to twice as much.
    body: u64,
    /// Nanoseconds between a response and the next request.
    pause: u64,
    queue: VecDeque<Message>,
}

impl Connection {
    pub(crate) fn new(host: &str, requests: u64, body: u64, pause: u64, random: &mut Random) -> Self {
        let old = requests == 1 && random.percent(25);
        let cookie = random.percent(50).then(|| format!("session={}; theme={}", random.hex(32), random.pick(&WORDS)));
        Self {
            host: host.to_owned(),
            agent: AGENTS[random.below(AGENTS.len() as u64) as usize],
            cookie,
            old,
            left: requests,
            body,
            pause,
            queue: VecDeque::new(),
        }
    }

    fn request(&mut self, random: &mut Random, names: &mut Names) {
        let (mime, suffix, pool) = *random.pick(&TYPES);
        let mut uri = format!("/{}/{}", random.pick(&WORDS), random.pick(&WORDS));
        if random.percent(70) {
            uri.push_str(&format!("-{}.{suffix}", random.below(10_000)));
        }
        if random.percent(35) {
            uri.push_str(&format!("?{}={}&page={}", random.pick(&WORDS), random.hex(8), random.below(50)));
        }
        let method = match random.below(100) {
            0..80 => "GET",
            80..94 => "POST",
            94..97 => "HEAD",
            97..99 => "PUT",
            _ => "DELETE",
        };
        let status: (u16, &str) = match random.below(100) {
            0..82 => (200, "OK"),
            82..86 => (404, "Not Found"),
            86..90 => (304, "Not Modified"),
            90..93 => (302, "Found"),
            93..95 => (206, "Partial Content"),
            95..97 => (403, "Forbidden"),
            97..98 => (503, "Service Unavailable"),
            98..99 => (500, "Internal Server Error"),
            _ => (204, "No Content"),
        };
        let version = if self.old { "1.0" } else { "1.1" };
        let mut head = format!(
            "{method} {uri} HTTP/{version}\r\nHost: {}\r\nUser-Agent: {}\r\nAccept: */*\r\n",
            self.host, self.agent
        );
        if random.percent(60) {
            head.push_str("Accept-Language: en-US,en;q=0.7\r\nAccept-Encoding: identity\r\n");
        }
        if let Some(cookie) = &self.cookie {
            head.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        if random.percent(30) {
            head.push_str(&format!("Referer: http://{}/{}\r\n", self.host, random.pick(&WORDS)));
        }
        let form = match method {
            "POST" | "PUT" if random.percent(50) => {
                let form = format!(
                    "{}={}&user={}&token={}",
                    random.pick(&WORDS),
                    random.below(1_000),
                    random.pick(&WORDS),
                    random.hex(24)
                );
                head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
                form
            }
            "POST" | "PUT" => {
                let (a, b) = (random.pick(&WORDS), random.pick(&WORDS));
                head.push_str("Content-Type: application/json\r\n");
                format!("{{\"{a}\":{},\"{b}\":\"{}\"}}", random.below(10_000), random.hex(40))
            }
            _ => String::new(),
        };
        if !form.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", form.len()));
        }
        let last = self.left == 0;
        head.push_str(if last && !self.old { "Connection: close\r\n\r\n" } else { "\r\n" });
        head.push_str(&form);

        names.note(|names| &mut names.http_host, &self.host);
        names.note(|names| &mut names.http_uri, &uri);
        names.note(|names| &mut names.http_method, method);
        names.note(|names| &mut names.http_status, &status.0.to_string());
        names.note(|names| &mut names.http_user_agent, self.agent);
        names.requests += 1;
        self.queue.push_back(Message::client(random.exponential(self.pause), Content::bytes(head.into_bytes())));

        let body = random.between(self.body / 2, self.body * 3 / 2).max(1);
        let content = self.response(method, status, (mime, pool), body, random);
        self.queue.push_back(Message::server(random.heavy(200_000, 50_000_000), content));
    }

    fn response(
        &self,
        method: &str,
        status: (u16, &str),
        (mime, pool): (&str, Pool),
        body: u64,
        random: &mut Random,
    ) -> Content {
        let version = if self.old { "1.0" } else { "1.1" };
        let mut head = format!(
            "HTTP/{version} {} {}\r\nServer: {}\r\nDate: Mon, 05 Jan 2026 08:00:00 GMT\r\n",
            status.0,
            status.1,
            random.pick(&["nginx/1.28.0", "Apache/2.4.64", "envoy"])
        );
        if random.percent(25) {
            head.push_str(&format!("Set-Cookie: id={}; Path=/; HttpOnly\r\n", random.hex(16)));
        }
        // RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5: these have no body
        if matches!(status.0, 204 | 304) {
            head.push_str("\r\n");
            return Content::bytes(head.into_bytes());
        }
        if status.0 == 302 {
            head.push_str(&format!("Location: /{}\r\nContent-Length: 0\r\n\r\n", random.pick(&WORDS)));
            return Content::bytes(head.into_bytes());
        }
        // errors are short pages
        let body = if status.0 >= 400 { random.between(120, 900) } else { body };
        head.push_str(&format!("Content-Type: {mime}\r\n"));
        if status.0 == 206 {
            head.push_str(&format!("Content-Range: bytes 0-{}/{}\r\n", body - 1, body * 2));
        }
        if method == "HEAD" {
            head.push_str(&format!("Content-Length: {body}\r\n\r\n"));
            return Content::bytes(head.into_bytes());
        }
        if !self.old && random.percent(30) {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            let chunk = if body < 20_000 { 1_024 } else { 16_384 };
            let bulk = Bulk::chunked(body, chunk, pool, random);
            return Content { head: head.into_bytes(), bulk, tail: b"0\r\n\r\n" };
        }
        // an old server may say no length and end by closing
        if !self.old || random.percent(50) {
            head.push_str(&format!("Content-Length: {body}\r\n"));
        }
        head.push_str("\r\n");
        Content { head: head.into_bytes(), bulk: Bulk::plain(body, pool, random), tail: b"" }
    }
}

impl Conversation for Connection {
    fn next(&mut self, _: &World, random: &mut Random, names: &mut Names) -> Option<Message> {
        if self.queue.is_empty() {
            self.left = self.left.checked_sub(1)?;
            self.request(random, names);
        }
        self.queue.pop_front()
    }

    fn estimate(&self) -> u64 {
        // nine of a hundred responses have no body of that size and three none for HEAD
        self.left * (self.body * 84 / 100 + 560)
    }
}
