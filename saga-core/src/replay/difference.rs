//! What a changed definition makes otherwise, in words for its author.

use std::fmt;

use super::recording::{End, Line, Message};
use crate::definition::DefinitionRef;
use crate::id::SagaId;
use crate::machine::Ignored;

/// The first line of a recording that a definition makes otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The definition that the saga began with.
    pub definition: DefinitionRef,
    /// The definition that it was replayed by.
    pub by: DefinitionRef,
    /// The saga.
    pub saga: SagaId,
    /// Which line; the first is 1.
    pub line: usize,
    /// The line as it was recorded.
    pub recorded: Line,
    /// What comes out now.
    pub outcome: Outcome,
}

/// What comes out of a line instead of what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first line does not begin a saga.
    NotBegun,
    /// Another decision.
    Decided(String),
    /// The same decision, and these messages.
    Sent(Vec<Message>),
    /// Nothing: the event would be ignored.
    Ignored(Ignored),
    /// An error: the event would be one that nobody should have sent.
    Impossible(String),
    /// The same decisions and messages, and another end.
    Ended(Box<End>),
    /// The state at the end cannot be read.
    Unreadable(String),
}

impl std::error::Error for Difference {}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { definition, by, saga, line, recorded, outcome } = self;
        writeln!(f, "saga {saga} of {definition}, replayed by {by}, goes another way at line {line}")?;
        writeln!(f, "  event: {}", serde_json::to_string(&recorded.event).unwrap_or_default())?;
        writeln!(f, "  was:   {}", recorded.decision)?;
        match outcome {
            Outcome::NotBegun => writeln!(f, "  is:    not the beginning of a saga"),
            Outcome::Decided(decision) => writeln!(f, "  is:    {decision}"),
            Outcome::Sent(messages) => sent(f, &recorded.messages, messages),
            Outcome::Ignored(why) => writeln!(f, "  is:    ignored, {}", why.as_str()),
            Outcome::Impossible(why) => writeln!(f, "  is:    impossible, {why}"),
            Outcome::Ended(end) => writeln!(f, "  is:    the same, and then {}", told(end)),
            Outcome::Unreadable(why) => writeln!(f, "  is:    the same, and then {why}"),
        }?;
        f.write_str(outcome.consequence())
    }
}

impl Outcome {
    /// What that means for sagas that are under way.
    fn consequence(&self) -> &'static str {
        match self {
            Outcome::NotBegun => "The recording lacks its beginning.",
            Outcome::Decided(decision) if decision.starts_with("parked") => PARKED,
            Outcome::Decided(_) => DECIDED,
            Outcome::Sent(_) => SENT,
            Outcome::Ignored(_) => IGNORED,
            Outcome::Impossible(_) => IMPOSSIBLE,
            Outcome::Ended(_) => ENDED,
            Outcome::Unreadable(_) => UNREADABLE,
        }
    }
}

/// The messages that only one side has.
fn sent(f: &mut fmt::Formatter<'_>, was: &[Message], is: &[Message]) -> fmt::Result {
    let only = |of: &[Message], other: &[Message]| -> Vec<String> {
        of.iter().filter(|message| !other.contains(message)).map(ToString::to_string).collect()
    };
    only(was, is).iter().try_for_each(|message| writeln!(f, "  - {message}"))?;
    only(is, was).iter().try_for_each(|message| writeln!(f, "  + {message}"))
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { step, direction, to, body_type, body } = self;
        let what = direction.map_or("tell", |direction| direction.as_str());
        let to: Vec<&str> = to.iter().map(|to| to.as_str()).collect();
        write!(f, "{what} {step}: {body_type} to {}, {}", to.join(" and "), body.as_text())
    }
}

fn told(end: &End) -> String {
    format!(
        "{}, with the data {} and the state {}",
        end.status.as_str(),
        end.data.as_text(),
        end.state.as_text()
    )
}

const DECIDED: &str = "Sagas that are under way and come here would go the new way. If only those that begin from now \
    on should, give the definition a new version, and register both until the former have ended.";

const PARKED: &str =
    "Sagas that are under way and come here would be parked, each until an operator releases it.";

const SENT: &str = "Sagas that are under way would send the new messages from here on, also where they send again what \
    they have sent before: a participant may have done what the former said, and its fence answers for that.";

const IGNORED: &str = "Sagas that are under way and come here would wait on, as if this had not happened.";

const IMPOSSIBLE: &str = "Sagas that are under way and come here would wait on, and this would be set aside as \
    something that nobody should have sent.";

const ENDED: &str =
    "Sagas that are under way would come to another state or other data by the same decisions.";

const UNREADABLE: &str = "Sagas that are under way would be parked when they are next loaded.";
