//! Where messages are sent.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{NameError, ParticipantName, check_name};

/// Where messages are sent: a queue, whose readers share them, or a topic, of which each group of readers gets all.
///
/// Commands and replies go to queues, notifications to topics. As text a topic is `topic:<name>` and a queue its name;
/// so it is stored, and so it is read again.
///
/// # Example: the two kinds
///
/// ```
/// use saga_core::id::Destination;
///
/// # fn main() -> Result<(), saga_core::id::NameError> {
/// let (inventory, placed) = (Destination::new("inventory")?, Destination::topic("orders.placed")?);
/// assert_eq!((inventory.is_topic(), inventory.as_str()), (false, "inventory"));
/// assert_eq!((placed.is_topic(), placed.as_str()), (true, "orders.placed"));
/// assert_eq!(placed.to_string(), "topic:orders.placed");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination(Arc<str>);

impl Destination {
    /// The queue `name`, if that is a proper name: 1 to 120 ASCII letters, digits, or some of `. _ -`.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule the name breaks.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        check_name(name.as_ref(), "")?;
        Ok(Destination(name.as_ref().into()))
    }

    /// The topic `name`, which keeps the same rules.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule the name breaks.
    pub fn topic(name: impl AsRef<str>) -> Result<Self, NameError> {
        let name = name.as_ref();
        check_name(name, "")?;
        Ok(Destination(format!("{TOPIC}{name}").into()))
    }

    /// Where the commands of `participant` are sent: the queue of its name.
    pub fn of(participant: &ParticipantName) -> Destination {
        Destination(participant.0.clone())
    }

    /// The name alone, which does not tell of which kind it is.
    pub fn as_str(&self) -> &str {
        self.0.strip_prefix(TOPIC).unwrap_or(&self.0)
    }

    /// Whether each group of readers gets all messages.
    pub fn is_topic(&self) -> bool {
        self.0.starts_with(TOPIC)
    }

    /// Where the messages go that this destination's readers cannot read: the queue `<name>.dead`.
    pub fn dead_letters(&self) -> Destination {
        Destination(format!("{}.dead", self.as_str()).into())
    }

    /// The same with `<namespace>.` before its name.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name gets too long.
    pub fn within(&self, namespace: &Destination) -> Result<Destination, NameError> {
        let name = format!("{}.{}", namespace.as_str(), self.as_str());
        match self.is_topic() {
            true => Destination::topic(name),
            false => Destination::new(name),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Destination {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix(TOPIC) {
            Some(name) => Destination::topic(name),
            None => Destination::new(text),
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> String {
        destination.to_string()
    }
}

/// What the text of a topic begins with. A name holds no colon, so no queue is taken for a topic.
const TOPIC: &str = "topic:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_read_back_as_it_was_written() {
        for destination in [Destination::new("a").unwrap(), Destination::topic("a").unwrap()] {
            assert_eq!(destination.to_string().parse(), Ok(destination.clone()));
            let json = serde_json::to_string(&destination).unwrap();
            assert_eq!(serde_json::from_str::<Destination>(&json).unwrap(), destination);
        }
        assert!("topic:".parse::<Destination>().is_err());
        assert!("topic:topic:a".parse::<Destination>().is_err());
        assert!(Destination::new("topic:a").is_err());
    }

    #[test]
    fn a_namespace_keeps_the_kind_and_dead_letters_are_a_queue() {
        let namespace = Destination::new("test").unwrap();
        let topic = Destination::topic("a").unwrap();
        assert_eq!(topic.within(&namespace).unwrap().to_string(), "topic:test.a");
        assert_eq!(namespace.within(&namespace).unwrap().to_string(), "test.test");
        assert_eq!(topic.dead_letters().to_string(), "a.dead");
    }
}
