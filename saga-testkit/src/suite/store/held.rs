//! Replies that wait for a worker who knows their definition.

use saga_core::definition::DefinitionRef;
use saga_core::id::SagaId;
use saga_core::port::{HeldId, HeldReply, IdSource, RandomIds, Store};

use super::Harness;
use super::harness::Client;
use crate::suite::Skipped;
use crate::suite::samples::{definition, envelope, start};

/// A held reply is kept once, byte for byte, however often it is read, and goes when it is dropped.
pub async fn held_replies_stay_until_they_are_dropped<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let started = start(&client.definition);
    client.store_one(&started).await;
    let replies = [held(started.id, "first"), held(started.id, "second")];
    for _ in 0..2 {
        client.store.hold(&replies).await.expect("holding, and holding again");
    }
    let known = [client.definition.clone()];
    for _ in 0..2 {
        assert_eq!(sorted(&client.store, &known, 10).await, sorted_replies(&replies), "what was held");
    }
    assert_eq!(sorted(&client.store, &known, 1).await.len(), 1, "no more than was asked for");

    client.store.drop_held(&[replies[0].id, HeldId(RandomIds.uuid())]).await.expect("dropping");
    assert_eq!(sorted(&client.store, &known, 10).await, [replies[1].clone()], "what was not dropped");
    Ok(())
}

/// A held reply is read by those who know its saga's definition, and by nobody else.
pub async fn held_replies_are_read_by_those_who_know_their_definition<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let other = definition("cancel-order", 2);
    client.register(&other).await;
    let starts = [start(&client.definition), start(&other)];
    client.store_all(&starts).await;
    let replies = starts.map(|started| held(started.id, "reply"));
    client.store.hold(&replies).await.expect("holding");

    assert_eq!(sorted(&client.store, &[], 10).await, [], "who knows no definition reads nothing");
    assert_eq!(sorted(&client.store, &[other], 10).await, [replies[1].clone()], "who knows one");
    Ok(())
}

fn held(saga: SagaId, text: &str) -> HeldReply {
    HeldReply { id: HeldId(RandomIds.uuid()), saga, envelope: envelope(text) }
}

async fn sorted(store: &impl Store, known: &[DefinitionRef], limit: usize) -> Vec<HeldReply> {
    sorted_replies(&store.held(known, limit).await.expect("held replies"))
}

fn sorted_replies(replies: &[HeldReply]) -> Vec<HeldReply> {
    let mut replies = replies.to_vec();
    replies.sort_by_key(|reply| reply.id);
    replies
}
