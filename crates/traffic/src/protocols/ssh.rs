//! SSH (RFC 4253): versions, key exchange and host key in the clear, then bytes that look encrypted.

use std::collections::VecDeque;

use crate::content::{Bulk, Content, Pool};
use crate::flow::World;
use crate::random::Random;
use crate::report::Names;
use crate::tcp::{Conversation, Message};

const CLIENTS: [&str; 4] =
    ["SSH-2.0-OpenSSH_9.9", "SSH-2.0-OpenSSH_8.9p1 Ubuntu-3ubuntu0.10", "SSH-2.0-PuTTY_Release_0.81", "SSH-2.0-Go"];
const SERVERS: [&str; 4] = [
    "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.12",
    "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u5",
    "SSH-2.0-OpenSSH_8.7",
    "SSH-2.0-dropbear_2024.85",
];

const KEY_EXCHANGES: &str =
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,diffie-hellman-group14-sha256";
const CIPHERS: &str =
    "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes256-ctr";
const MACS: &str = "umac-64-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256";

/// One connection.
pub(crate) struct Connection {
    started: bool,
    left: u64,
    /// Bytes of each exchange.
    size: u64,
    upload: bool,
    pause: u64,
    queue: VecDeque<Message>,
}

impl Connection {
    pub(crate) fn new(exchanges: u64, size: u64, pause: u64, random: &mut Random) -> Self {
        Self {
            started: false,
            left: exchanges,
            size: size.max(36),
            upload: random.percent(40),
            pause,
            queue: VecDeque::new(),
        }
    }

    fn begin(&mut self, random: &mut Random, names: &mut Names) {
        let (client, server) = (*random.pick(&CLIENTS), *random.pick(&SERVERS));
        let rsa = random.percent(30);
        names.note(|names| &mut names.ssh_version, client);
        names.note(|names| &mut names.ssh_version, server);
        names.note(|names| &mut names.ssh_host_key, if rsa { "ssh-rsa" } else { "ssh-ed25519" });
        let line = |text: &str| Content::bytes(format!("{text}\r\n").into_bytes());
        self.queue.push_back(Message::client(1_000_000, line(client)));
        self.queue.push_back(Message::server(3_000_000, line(server)));
        let host_keys = if rsa { "rsa-sha2-512,rsa-sha2-256" } else { "ssh-ed25519" };
        self.queue.push_back(Message::client(
            300_000,
            Content::bytes(key_exchange_init(
                &format!("{KEY_EXCHANGES},ext-info-c,kex-strict-c-v00@openssh.com"),
                "ssh-ed25519,rsa-sha2-512,rsa-sha2-256",
                random,
            )),
        ));
        self.queue.push_back(Message::server(
            300_000,
            Content::bytes(key_exchange_init(
                &format!("{KEY_EXCHANGES},kex-strict-s-v00@openssh.com"),
                host_keys,
                random,
            )),
        ));
        // SSH_MSG_KEX_ECDH_INIT (RFC 8731)
        let mut init = vec![30];
        string(&mut init, &random.bytes(32));
        self.queue.push_back(Message::client(500_000, Content::bytes(packet(&init, random))));
        let mut key = Vec::new();
        let mut signature = Vec::new();
        if rsa {
            string(&mut key, b"ssh-rsa");
            string(&mut key, &[1, 0, 1]);
            let mut modulus = random.bytes(257);
            (modulus[0], modulus[1]) = (0, modulus[1] | 0x80);
            string(&mut key, &modulus);
            string(&mut signature, b"rsa-sha2-512");
            string(&mut signature, &random.bytes(256));
        } else {
            string(&mut key, b"ssh-ed25519");
            string(&mut key, &random.bytes(32));
            string(&mut signature, b"ssh-ed25519");
            string(&mut signature, &random.bytes(64));
        }
        let mut reply = vec![31];
        string(&mut reply, &key);
        string(&mut reply, &random.bytes(32));
        string(&mut reply, &signature);
        let mut bytes = packet(&reply, random);
        bytes.extend(packet(&[21], random)); // SSH_MSG_NEWKEYS
        self.queue.push_back(Message::server(2_000_000, Content::bytes(bytes)));
        self.queue.push_back(Message::client(1_000_000, Content::bytes(packet(&[21], random))));
        // service request, authentication, channel
        for (from_client, bytes) in
            [(true, 44), (false, 44), (true, 68), (false, 52), (true, 500), (false, 28), (true, 112), (false, 500)]
        {
            let content = Content::bulk(Bulk::plain(bytes, Pool::Random, random));
            let delay = random.between(100_000, 5_000_000);
            self.queue.push_back(if from_client {
                Message::client(delay, content)
            } else {
                Message::server(delay, content)
            });
        }
    }

    fn exchange(&mut self, random: &mut Random, names: &mut Names) {
        names.requests += 1;
        // blocks of 16 bytes and a tag
        let size = random.between(self.size / 2, self.size * 3 / 2).div_ceil(16) * 16 + 4;
        let (large, small) = (
            Content::bulk(Bulk::plain(size, Pool::Random, random)),
            Content::bulk(Bulk::plain(52, Pool::Random, random)),
        );
        let (asked, answered) = if self.upload { (large, small) } else { (small, large) };
        self.queue.push_back(Message::client(random.exponential(self.pause), asked));
        self.queue.push_back(Message::server(random.between(100_000, 3_000_000), answered));
    }
}

impl Conversation for Connection {
    fn next(&mut self, _: &World, random: &mut Random, names: &mut Names) -> Option<Message> {
        if self.queue.is_empty() {
            if self.started {
                self.left = self.left.checked_sub(1)?;
                self.exchange(random, names);
            } else {
                self.started = true;
                self.begin(random, names);
            }
        }
        self.queue.pop_front()
    }

    fn estimate(&self) -> u64 {
        5_800 + self.left * (self.size + 60)
    }
}

fn key_exchange_init(exchanges: &str, host_keys: &str, random: &mut Random) -> Vec<u8> {
    let mut payload = vec![20];
    payload.extend(random.bytes(16)); // cookie
    for list in
        [exchanges, host_keys, CIPHERS, CIPHERS, MACS, MACS, "none,zlib@openssh.com", "none,zlib@openssh.com", "", ""]
    {
        string(&mut payload, list.as_bytes());
    }
    payload.extend_from_slice(&[0; 5]); // no guess follows, reserved
    packet(&payload, random)
}

/// The binary packet of section 6: length, padding length, payload, padding to a multiple of eight.
fn packet(payload: &[u8], random: &mut Random) -> Vec<u8> {
    let mut padding = 8 - (payload.len() + 5) % 8;
    if padding < 4 {
        padding += 8;
    }
    let mut bytes = ((payload.len() + padding + 1) as u32).to_be_bytes().to_vec();
    bytes.push(padding as u8);
    bytes.extend_from_slice(payload);
    bytes.extend(random.bytes(padding));
    bytes
}

fn string(output: &mut Vec<u8>, bytes: &[u8]) {
    output.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    output.extend_from_slice(bytes);
}
