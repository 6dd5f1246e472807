//! What every queue does.

use std::time::Duration;

use crate::Queue;

/// An empty queue whose visibility timeout is `visibility` (a second or less keeps the suite short; SQS takes whole
/// seconds).
pub async fn queue(queue: &dyn Queue, visibility: Duration) {
    let long = visibility + Duration::from_secs(10);
    assert!(queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "the suite wants an empty queue");

    // what is sent arrives once, and is hidden from others meanwhile
    queue.send("one".to_owned()).await.unwrap();
    let first = queue.receive(10, long).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].body.as_str(), first[0].deliveries), ("one", 1));
    assert!(queue.receive(10, Duration::ZERO).await.unwrap().is_empty());

    // not acknowledged: delivered again, and only the new receipt counts
    let second = queue.receive(10, long).await.unwrap();
    assert_eq!(second.len(), 1);
    assert_eq!((second[0].body.as_str(), second[0].deliveries), ("one", 2));
    queue.delete(&second[0].receipt).await.unwrap();
    tokio::time::sleep(visibility + visibility / 2).await;
    assert!(queue.receive(10, Duration::ZERO).await.unwrap().is_empty());

    // given back at once
    queue.send("two".to_owned()).await.unwrap();
    let held = queue.receive(1, long).await.unwrap();
    queue.change_visibility(&held[0].receipt, Duration::ZERO).await.unwrap();
    let again = queue.receive(1, visibility / 2).await.unwrap();
    assert_eq!((again[0].body.as_str(), again[0].deliveries), ("two", 2));

    // held for longer
    queue.change_visibility(&again[0].receipt, visibility * 4).await.unwrap();
    assert!(queue.receive(1, visibility * 2).await.unwrap().is_empty());
    queue.delete(&again[0].receipt).await.unwrap();

    // most of what is there, each once
    for number in 0..5 {
        queue.send(number.to_string()).await.unwrap();
    }
    let mut bodies = Vec::new();
    while bodies.len() < 5 {
        let messages = queue.receive(3, long).await.unwrap();
        assert!((1..=3).contains(&messages.len()));
        for message in messages {
            queue.delete(&message.receipt).await.unwrap();
            bodies.push(message.body);
        }
    }
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
}
