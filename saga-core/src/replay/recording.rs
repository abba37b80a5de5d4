//! A recording: a saga with its journal, as a file.

use serde::{Deserialize, Serialize};

use super::Difference;
use super::fold::Fold;
use crate::definition::{DefinitionRef, Plan};
use crate::id::{CommandType, Destination, Direction, SagaId, StepName, Version};
use crate::machine::{Event, Instance, StateError, Status, Stored};
use crate::message::{Payload, TraceParent};
use crate::policy::Timestamp;
use crate::port::{JournalEntry, SagaDetails};

/// A saga with its journal, to be kept as a file and replayed. Its JSON only ever grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The definition that the saga began with.
    pub definition: DefinitionRef,
    /// The saga.
    pub saga: SagaId,
    /// The trace that it belonged to.
    pub trace: TraceParent,
    /// Its transitions, oldest first. The first says what the saga began with.
    pub journal: Vec<Line>,
    /// Where they led.
    pub end: End,
}

/// One transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What happened.
    pub event: Event,
    /// The time that the decision was made with.
    pub now: Timestamp,
    /// What was decided.
    pub decision: String,
    /// Whether the saga was parked as it stood, and the machine not asked: its state could not be read, or not stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untouched: bool,
    /// What was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
}

/// A message that a transition sent. Timers are left out, since retry options may change at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The step.
    pub step: StepName,
    /// What it asks for; nothing if it only tells others something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Where it goes.
    pub to: Vec<Destination>,
    /// What the body is.
    #[serde(rename = "type")]
    pub body_type: CommandType,
    /// The body.
    pub body: Payload,
}

/// Where a journal leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Where the saga stands.
    pub status: Status,
    /// Its state as it is stored.
    pub state: Payload,
    /// The user's data.
    pub data: Payload,
    /// Why it is parked, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
}

/// A saga could not be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The saga cannot be read.
    #[error(transparent)]
    Saga(#[from] StateError),
    /// A line of its journal cannot be read.
    #[error("line {line} of the journal cannot be read: {source}")]
    Line {
        /// Which one; the first is 1.
        line: Version,
        /// Why not.
        source: serde_json::Error,
    },
    /// The journal does not have one line for each version.
    #[error("the saga has version {version}, and its journal has the lines {lines:?}")]
    Gap {
        /// The saga's version.
        version: Version,
        /// The journal's.
        lines: Vec<Version>,
    },
    /// The definition makes something else of the journal.
    #[error("the journal is not what its definition makes of it: {0}")]
    Differs(#[source] Box<Difference>),
    /// Without what is hidden, the definition makes something else of the journal.
    #[error("what is hidden decides, so keep the fields that the definition looks at: {0}")]
    Hidden(#[source] Box<Difference>),
}

impl Recording {
    /// Records a saga with everything that was said in it. For a file that others see, see
    /// [`redacted`](Recording::redacted).
    ///
    /// `plan` is of the definition that the saga began with.
    ///
    /// # Errors
    ///
    /// [`RecordingError`] if the saga cannot be read, or `plan` makes something else of its journal.
    pub fn of(plan: &Plan, saga: &SagaDetails) -> Result<Self, RecordingError> {
        Recording::of_journal(plan, &saga.stored, saga.journal.iter().map(|line| &line.entry))
    }

    /// The same of a saga and its journal as they are stored.
    ///
    /// # Errors
    ///
    /// Those of [`of`](Recording::of).
    pub fn of_journal<'j>(
        plan: &Plan,
        stored: &Stored,
        journal: impl Iterator<Item = &'j JournalEntry> + Clone,
    ) -> Result<Self, RecordingError> {
        let lines = journal.clone().map(|entry| entry.version);
        if !lines.clone().eq(1..=stored.version) {
            return Err(RecordingError::Gap { version: stored.version, lines: lines.collect() });
        }
        let end = Instance::decode(stored.clone())?;
        let mut recording = Recording {
            definition: stored.definition.clone(),
            saga: stored.id,
            trace: end.trace.clone(),
            journal: journal.map(Line::read).collect::<Result<_, _>>()?,
            end: End::of(&end),
        };
        recording.fill(plan).map_err(RecordingError::Differs)?;
        Ok(recording)
    }

    /// Every message that was sent.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.journal.iter().flat_map(|line| &line.messages)
    }

    /// Replays the recording by `plan`, which may be of a changed definition.
    ///
    /// # Errors
    ///
    /// The first [`Difference`] of what is decided and sent, or of where that leads.
    pub fn replay(&self, plan: &Plan) -> Result<(), Box<Difference>> {
        let mut fold = Fold::of(self, plan);
        self.journal.iter().try_for_each(|line| fold.again(line))?;
        fold.end(&self.end)
    }

    /// Notes what was sent, and which lines are not the machine's.
    fn fill(&mut self, plan: &Plan) -> Result<(), Box<Difference>> {
        let mut journal = self.journal.clone();
        let mut fold = Fold::of(self, plan);
        for line in &mut journal {
            fold.fill(line)?;
        }
        fold.end(&self.end)?;
        self.journal = journal;
        Ok(())
    }
}

impl Line {
    fn read(entry: &JournalEntry) -> Result<Self, RecordingError> {
        let event = serde_json::from_slice(&entry.event)
            .map_err(|source| RecordingError::Line { line: entry.version, source })?;
        let (now, decision) = (entry.now, entry.decision.clone());
        Ok(Line { event, now, decision, untouched: false, messages: Vec::new() })
    }
}

impl End {
    pub(super) fn of(instance: &Instance) -> Self {
        End {
            status: instance.state.status(),
            // The state is JSON, and so text.
            state: Payload::from_bytes(instance.encode_state()).unwrap_or_default(),
            data: instance.data.clone(),
            parked: instance.state.parked().map(str::to_owned),
        }
    }
}
