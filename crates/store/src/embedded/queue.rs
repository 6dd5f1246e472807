//! A queue in memory, in the shape of SQS.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{ErrorKind, Message, Queue, StoreError};

/// Most messages that the queue holds, received ones included; [`Queue::send`] waits for room.
pub const MAX_MESSAGES: usize = 10_000;

/// A queue that lives as long as the process. Its content can be made again from the objects, so losing it costs
/// nothing but that work.
#[derive(Debug)]
pub struct MemoryQueue {
    visibility: Duration,
    room: Semaphore,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Entry>,
    /// What was received, by the number of the message.
    hidden: BTreeMap<u64, Hidden>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    body: String,
    deliveries: u32,
}

#[derive(Debug)]
struct Hidden {
    entry: Entry,
    until: Instant,
}

impl State {
    /// Gives back what was not acknowledged in time; the time of the next such.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let due: Vec<u64> =
            self.hidden.iter().filter(|(_, hidden)| hidden.until <= now).map(|(&number, _)| number).collect();
        for number in due.into_iter().rev() {
            if let Some(hidden) = self.hidden.remove(&number) {
                self.ready.push_front(hidden.entry);
            }
        }
        self.hidden.values().map(|hidden| hidden.until).min()
    }
}

impl MemoryQueue {
    /// An empty queue. What is not acknowledged within `visibility` is delivered again.
    #[must_use]
    pub fn new(visibility: Duration) -> Self {
        let room = Semaphore::new(MAX_MESSAGES);
        Self { visibility, room, state: Mutex::default(), changed: Notify::new() }
    }

    /// Messages that wait for a receiver, and messages that one has.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        let mut state = self.lock();
        state.expire(Instant::now());
        (state.ready.len(), state.hidden.len())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, body: String) -> Result<(), StoreError> {
        let permit = self.room.acquire().await;
        // given back when the message is deleted
        permit.map_err(|error| StoreError::caused(ErrorKind::Invalid, "the queue is closed", error))?.forget();
        {
            let mut state = self.lock();
            let number = state.next;
            state.next += 1;
            state.ready.push_back(Entry { number, body, deliveries: 0 });
        }
        self.changed.notify_one();
        Ok(())
    }

    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Message>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            let notified = self.changed.notified();
            let wake = {
                let mut state = self.lock();
                let now = Instant::now();
                let next = state.expire(now);
                let taken = most.min(state.ready.len());
                let entries: Vec<Entry> = state.ready.drain(..taken).collect();
                if !entries.is_empty() {
                    let mut messages = Vec::with_capacity(entries.len());
                    for mut entry in entries {
                        entry.deliveries = entry.deliveries.saturating_add(1);
                        let receipt = format!("{}.{}", entry.number, entry.deliveries);
                        messages.push(Message { receipt, body: entry.body.clone(), deliveries: entry.deliveries });
                        state.hidden.insert(entry.number, Hidden { entry, until: now + self.visibility });
                    }
                    if !state.ready.is_empty() {
                        // a wake-up that one receiver took must reach the next one
                        self.changed.notify_one();
                    }
                    return Ok(messages);
                }
                if now >= deadline || most == 0 {
                    return Ok(Vec::new());
                }
                next.map_or(deadline, |next| next.min(deadline))
            };
            let _ = timeout_at(wake, notified).await;
        }
    }

    async fn delete(&self, receipt: &str) -> Result<(), StoreError> {
        let (number, deliveries) = parse(receipt)?;
        let mut state = self.lock();
        let held = state.hidden.get(&number).is_some_and(|hidden| hidden.entry.deliveries == deliveries);
        if held {
            state.hidden.remove(&number);
            self.room.add_permits(1);
        } else if let Some(place) = state.ready.iter().position(|entry| entry.number == number) {
            // late, but nobody else has it yet
            state.ready.remove(place);
            self.room.add_permits(1);
        }
        Ok(())
    }

    async fn change_visibility(&self, receipt: &str, timeout: Duration) -> Result<(), StoreError> {
        let (number, deliveries) = parse(receipt)?;
        let mut state = self.lock();
        let Some(hidden) = state.hidden.get_mut(&number).filter(|hidden| hidden.entry.deliveries == deliveries) else {
            let message = format!("message {receipt} is not held by this receiver any more");
            return Err(StoreError::new(ErrorKind::NotFound, message));
        };
        hidden.until = Instant::now() + timeout;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }
}

fn parse(receipt: &str) -> Result<(u64, u32), StoreError> {
    let parts = receipt.split_once('.');
    let numbers = parts.and_then(|(number, deliveries)| Some((number.parse().ok()?, deliveries.parse().ok()?)));
    numbers.ok_or_else(|| StoreError::new(ErrorKind::Invalid, format!("{receipt:?} is no receipt of this queue")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn full_queue_waits() {
        let queue = MemoryQueue::new(Duration::from_secs(30));
        for number in 0..MAX_MESSAGES {
            queue.send(number.to_string()).await.unwrap();
        }
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, queue.send("more".to_owned())).await.is_err());
        let first = queue.receive(1, Duration::ZERO).await.unwrap();
        assert_eq!(queue.lengths(), (MAX_MESSAGES - 1, 1));
        queue.delete(&first[0].receipt).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), queue.send("more".to_owned())).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn late_delete() {
        let queue = MemoryQueue::new(Duration::from_millis(1));
        queue.send("a".to_owned()).await.unwrap();
        let first = queue.receive(1, Duration::ZERO).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(queue.lengths(), (1, 0));
        queue.delete(&first[0].receipt).await.unwrap();
        assert_eq!(queue.lengths(), (0, 0));
        assert!(queue.delete("x").await.is_err());
        assert!(queue.change_visibility(&first[0].receipt, Duration::ZERO).await.is_err());
    }
}
