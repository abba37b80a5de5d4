//! Names and ids: of sagas, steps, messages and destinations. Plain values; message ids are derived, never drawn.

mod destination;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use destination::Destination;

/// Identifies one saga for its whole life: a UUIDv7, fresh at every start.
///
/// Never derived from a business key: the fences of an earlier saga would answer for the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SagaId(Uuid);

impl SagaId {
    /// Takes a UUID as a saga's id. Use one that was never used before.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        SagaId(uuid)
    }

    /// The id as a UUID.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }

    /// The id of the saga that the step `step` of this one runs: derived, so that asking twice names one child.
    ///
    /// It begins with the same instant, so that lists, which go by id, have it near its parent.
    pub fn child(&self, step: &StepName) -> SagaId {
        let mut bytes = Uuid::new_v5(&self.0, format!("child:{step}").as_bytes()).into_bytes();
        bytes[..INSTANT_BYTES].copy_from_slice(&self.0.as_bytes()[..INSTANT_BYTES]);
        let id = uuid::Builder::from_bytes(bytes).with_version(uuid::Version::SortRand);
        SagaId(id.into_uuid())
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SagaId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(SagaId)
    }
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Do the step's work.
    Do,
    /// Take the step's work back, whatever became of it.
    Undo,
    /// Make a "no" final: if the work was not done by now, it never will be.
    Close,
}

impl Direction {
    /// Every direction, in the order of their declaration.
    pub const ALL: [Direction; 3] = [Direction::Do, Direction::Undo, Direction::Close];

    /// The direction's name on the wire and in tables: `do`, `undo` or `close`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Do => "do",
            Direction::Undo => "undo",
            Direction::Close => "close",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Direction {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Direction::ALL
            .into_iter()
            .find(|direction| direction.as_str() == text)
            .ok_or_else(|| NameError { name: text.into(), why: "is not one of do, undo, close" })
    }
}

/// Identifies a message: the UUIDv5 of (saga, step, direction), so a resend is the same message.
///
/// The attempt is a header and no part of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(Uuid);

impl MessageId {
    /// The id of the command that asks for `direction` of `step`.
    pub fn command(saga: SagaId, step: &StepName, direction: Direction) -> Self {
        planted!(RandomMessageIds: return MessageId(Uuid::from_u64_pair(0, crate::planted::number())));
        MessageId(Uuid::new_v5(&saga.0, format!("{direction}:{step}").as_bytes()))
    }

    /// The id of the answer to that command.
    pub fn reply(saga: SagaId, step: &StepName, direction: Direction) -> Self {
        MessageId(Uuid::new_v5(&saga.0, format!("reply:{direction}:{step}").as_bytes()))
    }

    /// The id of the message that releases what `step` runs.
    pub fn release(saga: SagaId, step: &StepName) -> Self {
        MessageId(Uuid::new_v5(&saga.0, format!("release:{step}").as_bytes()))
    }

    /// The id of the notice that sagas have ended of which this is the first.
    pub fn end_notice(first: SagaId) -> Self {
        MessageId(Uuid::new_v5(&first.0, b"end-notice"))
    }

    /// Takes a UUID, as read from the wire or a table, as a message's id.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        MessageId(uuid)
    }

    /// The id as a UUID.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name was empty, too long, or held a character that some broker or table cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name {name:?} {why}")]
pub struct NameError {
    name: String,
    why: &'static str,
}

/// Checks what every name must keep: 1 to [`NAME_LENGTH_MAX`] ASCII letters, digits, `.`, `_`, `-`, `#`, `:` or `/`.
fn check_name(name: &str, extra: &str) -> Result<(), NameError> {
    let error = |why| Err(NameError { name: name.chars().take(NAME_LENGTH_MAX).collect(), why });
    if name.is_empty() {
        return error("is empty");
    }
    if name.len() > NAME_LENGTH_MAX {
        return error("is longer than 120 bytes");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c) || extra.contains(c);
    if !name.chars().all(allowed) {
        return error("may hold only ASCII letters, digits, and some of . _ - # : /");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $extra:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `name` if it is a proper one: 1 to 120 ASCII letters, digits, or some of `. _ - # : /`.
            ///
            /// # Errors
            ///
            /// [`NameError`] says which rule the name breaks.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                check_name(name.as_ref(), $extra)?;
                Ok($name(name.as_ref().into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                $name::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                $name::new(name)
            }
        }
    };
}

name!(
    /// A step's stable name inside its definition; never an index, so that reordering steps confuses nobody.
    StepName,
    "#:/"
);
name!(
    /// The name of a participant: one service with one fence database.
    ParticipantName,
    ""
);
name!(
    /// What a command is called on the wire, such as `inventory.reserve.v1`.
    CommandType,
    ":/"
);
name!(
    /// The name of a saga type, such as `place-order`.
    SagaName,
    ""
);

/// What the business calls this saga (an order number, say); unique per saga type, and kept for ever.
///
/// At most 200 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BusinessKey(Arc<str>);

impl BusinessKey {
    /// Takes `key` if it is 1 to 200 characters, none of them a control character.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule the key breaks.
    pub fn new(key: impl AsRef<str>) -> Result<Self, NameError> {
        let key = key.as_ref();
        let error = |why| Err(NameError { name: key.chars().take(KEY_LENGTH_MAX).collect(), why });
        if key.is_empty() {
            return error("is empty");
        }
        if key.chars().count() > KEY_LENGTH_MAX {
            return error("is longer than 200 characters");
        }
        if key.chars().any(char::is_control) {
            return error("holds a control character");
        }
        Ok(BusinessKey(key.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BusinessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many transitions a saga has made. Compare-and-set on it keeps two workers from moving one saga.
pub type Version = u64;

/// A UUIDv7 begins with the milliseconds since 1970.
const INSTANT_BYTES: usize = 6;

/// Kafka allows 249 bytes for a topic and AMQP 255 for a queue; with room for a suffix such as `.dead`.
const NAME_LENGTH_MAX: usize = 120;

/// Enough for any order number or URL-shaped key, short enough for an index.
const KEY_LENGTH_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resend_has_the_same_message_id_and_each_direction_its_own() {
        let saga = SagaId::from_uuid(Uuid::from_u128(7));
        let step = StepName::new("reserve-stock").unwrap();
        let id = |direction| MessageId::command(saga, &step, direction);
        assert_eq!(id(Direction::Do), id(Direction::Do));
        assert_ne!(id(Direction::Do), id(Direction::Undo));
        assert_ne!(id(Direction::Do), MessageId::reply(saga, &step, Direction::Do));
        assert_ne!(
            id(Direction::Do),
            MessageId::command(SagaId::from_uuid(Uuid::from_u128(8)), &step, Direction::Do)
        );
    }

    #[test]
    fn a_child_has_one_id_beside_that_of_its_parent() {
        let parent = SagaId::from_uuid(Uuid::from_u128(0x0190_1234_5678_7000_8000_0000_0000_0001));
        let step = StepName::new("ship#lamp").unwrap();
        let child = parent.child(&step);
        assert_eq!(child, parent.child(&step));
        assert_ne!(child, parent.child(&StepName::new("ship#pen").unwrap()));
        assert_eq!(child.as_uuid().get_version_num(), 7);
        assert_eq!(child.as_uuid().as_bytes()[..6], parent.as_uuid().as_bytes()[..6]);
    }

    #[test]
    fn names_that_a_broker_cannot_carry_are_refused() {
        for bad in ["", "a b", "naïve", "x\0y", &"x".repeat(121)] {
            assert!(Destination::new(bad).is_err(), "{bad:?}");
            assert!(StepName::new(bad).is_err(), "{bad:?}");
        }
        assert!(StepName::new("ship#item-3").is_ok());
        assert!(Destination::new("ship#item-3").is_err());
        assert!(BusinessKey::new("order\u{0}7").is_err());
        assert!(BusinessKey::new("Ordre n° 7").is_ok());
    }

    #[test]
    fn a_name_read_back_is_checked_again() {
        assert!(serde_json::from_str::<StepName>("\"a b\"").is_err());
        assert_eq!(serde_json::from_str::<StepName>("\"a\"").unwrap().as_str(), "a");
    }
}
