//! Things to store: definitions, commits, rows and envelopes that differ where they should.

use std::time::Duration;

use bytes::Bytes;
use saga_core::definition::{DefinitionRef, Fingerprint};
use saga_core::fence::FenceKey;
use saga_core::id::{
    BusinessKey, Destination, Direction, MessageId, ParticipantName, SagaId, SagaName, StepName, Version,
};
use saga_core::message::{Envelope, Headers};
use saga_core::policy::Timestamp;
use saga_core::port::{
    Change, Commit, IdSource, JournalEntry, OutboxRow, RandomIds, Start, Status, TimerChange,
};
use uuid::Uuid;

/// Version 1 of a definition, with a fingerprint of that number.
pub(super) fn definition(name: &str, fingerprint: u128) -> DefinitionRef {
    DefinitionRef {
        name: SagaName::new(name).expect("the suite's names are proper ones"),
        version: 1,
        fingerprint: Fingerprint::from_uuid(Uuid::from_u128(fingerprint)),
    }
}

pub(super) fn step(name: &str) -> StepName {
    StepName::new(name).expect("the suite's names are proper ones")
}

pub(super) fn key(name: &str) -> BusinessKey {
    BusinessKey::new(name).expect("the suite's keys are proper ones")
}

/// The start of a saga as the step `step` of another one.
pub(super) fn child(definition: &DefinitionRef, parent: SagaId, step: &str) -> Commit {
    let parent = Some((parent, self::step(step)));
    let start = Start { definition: definition.clone(), key: None, input: Uuid::nil(), parent };
    Commit { change: Change::Start(start), ..next(RandomIds.saga(), 0) }
}

/// The start of a new saga, with nothing to send and no timer.
pub(super) fn start(definition: &DefinitionRef) -> Commit {
    let start = Start { definition: definition.clone(), key: None, input: Uuid::nil(), parent: None };
    Commit { change: Change::Start(start), ..next(RandomIds.saga(), 0) }
}

/// The start of a new saga under a business key, whose input has the digest `input`.
pub(super) fn keyed(definition: &DefinitionRef, name: &str, input: u128) -> Commit {
    let start_only = start(definition);
    let key = Some(key(name));
    let keyed = Start { definition: definition.clone(), key, input: Uuid::from_u128(input), parent: None };
    Commit { change: Change::Start(keyed), ..start_only }
}

/// A running saga's move from the version `expected` to the next, with nothing to send and no timer.
pub(super) fn next(id: SagaId, expected: Version) -> Commit {
    let version = expected + 1;
    Commit {
        id,
        change: Change::Move { expected },
        status: Status::Running,
        state: format!("state {version}").into(),
        data: format!("data {version}").into(),
        parked: None,
        journal: vec![entry(version)],
        outbox: Vec::new(),
        timers: Vec::new(),
    }
}

/// A journal entry with bytes that are no text.
pub(super) fn entry(version: Version) -> JournalEntry {
    JournalEntry {
        version,
        event: Bytes::from(vec![0, 255, version as u8]),
        now: Timestamp::from_micros(1_700_000_000_000_000 + version as i64),
        decision: format!("transition {version} → ☃"),
    }
}

/// A timer of the first attempt to do a step.
pub(super) fn arm(name: &str, after: Duration) -> TimerChange {
    TimerChange::Arm { step: step(name), direction: Direction::Do, attempt: 1, after }
}

/// An unclaimed row, due at once, that says `text`.
pub(super) fn row(text: &str) -> OutboxRow {
    OutboxRow { id: RandomIds.row(), envelope: envelope(text), claimed: false }
}

/// A message with everything that is hard to store.
pub(super) fn envelope(text: &str) -> Envelope {
    let body = [text.as_bytes(), &[0, 255]].concat();
    Envelope {
        id: MessageId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())),
        destination: Destination::new("suite.inventory").expect("the suite's names are proper ones"),
        key: RandomIds.saga(),
        headers: Headers::from_iter([("text", text), ("empty", ""), ("odd", "naïve ☃ \"x\"\n\\ , =")]),
        body: body.into(),
    }
}

/// The key of a step of a saga that no fence has seen.
pub(super) fn fence_key(name: &str) -> FenceKey {
    FenceKey { participant: inventory(), saga: RandomIds.saga(), step: step(name) }
}

/// Whose rows [`fence_key`] names.
pub(super) fn inventory() -> ParticipantName {
    participant("inventory")
}

pub(super) fn participant(name: &str) -> ParticipantName {
    ParticipantName::new(name).expect("the suite's names are proper ones")
}

/// Longer than any scenario takes.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// A lease or delay whose end a scenario waits for.
pub(super) const SHORT: Duration = Duration::from_millis(50);
