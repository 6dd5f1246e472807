//! Takes messages from a queue and indexes what they speak of.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skycap_store::{Message, Queue};

use crate::{Indexer, Outcome, parse_event};

/// How long a receive waits for the first message.
const WAIT: Duration = Duration::from_secs(1);
/// How long a message is hidden while it is worked on; renewed at half of it.
const VISIBILITY: Duration = Duration::from_secs(30);
/// How long a message that was given back stays hidden.
const GIVE_BACK: Duration = Duration::from_millis(500);

/// What a worker did.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Objects indexed now.
    pub indexed: AtomicU64,
    /// Objects that were indexed before.
    pub known: AtomicU64,
    /// Objects refused, gone, or messages that are no event.
    pub refused: AtomicU64,
    /// Deliveries given back.
    pub given_back: AtomicU64,
    /// Packets in sessions.
    pub packets: AtomicU64,
    /// Sessions.
    pub sessions: AtomicU64,
    /// Objects in which damage was found.
    pub damaged: AtomicU64,
}

/// Takes messages one after the other; several may run side by side.
pub struct Worker {
    queue: Arc<dyn Queue>,
    indexer: Indexer,
    counters: Arc<WorkerCounters>,
}

impl Worker {
    /// A worker on a queue.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, indexer: Indexer, counters: Arc<WorkerCounters>) -> Self {
        Self { queue, indexer, counters }
    }

    /// Works until it is dropped.
    pub async fn run(&self) {
        loop {
            match self.queue.receive(1, WAIT).await {
                Ok(messages) => {
                    for message in messages {
                        self.handle(message).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "receiving failed");
                    tokio::time::sleep(WAIT).await;
                }
            }
        }
    }

    async fn handle(&self, message: Message) {
        let renewing = async {
            loop {
                tokio::time::sleep(VISIBILITY / 2).await;
                if let Err(error) = self.queue.change_visibility(&message.receipt, VISIBILITY).await {
                    tracing::warn!(%error, "a message may be delivered twice");
                }
            }
        };
        let done = tokio::select! {
            done = self.message(&message) => done,
            () = renewing => false,
        };
        let answer = if done {
            self.queue.delete(&message.receipt).await
        } else {
            self.counters.given_back.fetch_add(1, Ordering::Relaxed);
            self.queue.change_visibility(&message.receipt, GIVE_BACK).await
        };
        if let Err(error) = answer {
            tracing::warn!(%error, "acknowledging failed; the message will come again");
        }
    }

    /// True where the message is done with.
    async fn message(&self, message: &Message) -> bool {
        let created = match parse_event(&message.body) {
            Ok(created) => created,
            Err(error) => {
                tracing::error!(%error, "message refused");
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        };
        let mut done = true;
        for object in created {
            match self.indexer.index(&object).await {
                Ok(outcome) => self.count(&object.key, outcome),
                Err(error) => {
                    tracing::warn!(key = object.key, %error, deliveries = message.deliveries, "given back");
                    done = false;
                }
            }
        }
        done
    }

    fn count(&self, key: &str, outcome: Outcome) {
        let counters = &self.counters;
        match outcome {
            Outcome::Indexed(indexed) => {
                counters.indexed.fetch_add(1, Ordering::Relaxed);
                counters.packets.fetch_add(indexed.packets, Ordering::Relaxed);
                counters.sessions.fetch_add(indexed.sessions, Ordering::Relaxed);
                for damage in &indexed.damage {
                    tracing::warn!(key, damage, "object is damaged");
                }
                counters.damaged.fetch_add(u64::from(!indexed.damage.is_empty()), Ordering::Relaxed);
                tracing::debug!(key, packets = indexed.packets, sessions = indexed.sessions, "object indexed");
            }
            Outcome::Known => {
                counters.known.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Refused(reason) => {
                tracing::warn!(key, reason, "object refused");
                counters.refused.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Gone => {
                tracing::warn!(key, "object is gone");
                counters.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
