//! The queue of event messages, in the shape of SQS: at least once, with a visibility timeout.

use std::time::Duration;

use async_trait::async_trait;

use crate::StoreError;

/// A message that was received and is hidden from other receivers for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What acknowledges this delivery.
    pub receipt: String,
    /// The body as sent.
    pub body: String,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
}

/// A queue of messages.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Appends a message.
    async fn send(&self, body: String) -> Result<(), StoreError>;

    /// Up to `most` messages; waits up to `wait` for the first one. What is not acknowledged within the visibility
    /// timeout is delivered again.
    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Message>, StoreError>;

    /// Acknowledges a delivery: the message is gone.
    async fn delete(&self, receipt: &str) -> Result<(), StoreError>;

    /// Hides a message for `timeout` from now: longer while work goes on, zero to give it back.
    async fn change_visibility(&self, receipt: &str, timeout: Duration) -> Result<(), StoreError>;
}
