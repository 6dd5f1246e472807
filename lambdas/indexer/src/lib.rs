//! The indexer Lambda: an SQS batch of S3 events in, the messages to deliver again out.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use skycap_indexer::{Indexer, Outcome, parse_event};

/// Indexes what a batch of messages speaks of. Messages whose objects could not be indexed this time are given back by
/// name (the event source mapping needs `ReportBatchItemFailures`); all others are done with.
pub async fn handle(indexer: &Indexer, event: SqsEvent) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        let id = message.message_id.unwrap_or_default();
        if !is_done(indexer, &id, &message.body.unwrap_or_default()).await {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            response.batch_item_failures.push(failure);
        }
    }
    response
}

async fn is_done(indexer: &Indexer, id: &str, body: &str) -> bool {
    let created = match parse_event(body) {
        Ok(created) => created,
        Err(error) => {
            tracing::error!(message = id, %error, "message refused");
            return true;
        }
    };
    let mut done = true;
    for object in created {
        match indexer.index(&object).await {
            Ok(Outcome::Refused(reason)) => tracing::error!(message = id, key = object.key, reason, "object refused"),
            Ok(outcome) => tracing::info!(message = id, key = object.key, ?outcome, "object done"),
            Err(error) => {
                tracing::warn!(message = id, key = object.key, %error, "given back");
                done = false;
            }
        }
    }
    done
}
