//! The trace that a message belongs to.

use serde::{Deserialize, Serialize};

use crate::id::{MessageId, SagaId};

/// A W3C trace context, so that one trace shows a saga over all its services.
///
/// <https://www.w3.org/TR/trace-context/#traceparent-header>
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TraceParent(pub(super) String);

impl TraceParent {
    /// Takes a `traceparent` header's value if it has the right form: version 00, ids that are not zero.
    pub fn parse(value: &str) -> Option<Self> {
        let parts: Vec<&str> = value.split('-').collect();
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let zero = |part: &str| part.bytes().all(|b| b == b'0');
        match parts.as_slice() {
            ["00", trace, span, flags]
                if hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span) =>
            {
                Some(TraceParent(value.to_owned()))
            }
            _ => None,
        }
    }

    /// A trace of the saga's own: its id is the trace's id, and the message's id names the span.
    pub fn of_message(saga: SagaId, message: MessageId) -> Self {
        let span = message.as_uuid().as_u64_pair().0;
        TraceParent(format!("00-{}-{span:016x}-01", saga.as_uuid().simple()))
    }

    /// The same trace with the span of another message.
    pub fn child(&self, message: MessageId) -> Self {
        let span = message.as_uuid().as_u64_pair().0;
        TraceParent(format!("{}{span:016x}{}", &self.0[..36], &self.0[52..]))
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TraceParent {
    type Error = &'static str;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        TraceParent::parse(&value).ok_or("the trace context is malformed")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_child_span_keeps_the_trace() {
        let saga = SagaId::from_uuid(Uuid::from_u128(7));
        let [first, second] = [8, 9].map(|id| MessageId::from_uuid(Uuid::from_u128(id << 64)));
        let parent = TraceParent::of_message(saga, first);
        let child = parent.child(second);
        assert_eq!(child.as_str()[..36], parent.as_str()[..36]);
        assert_ne!(child, parent);
        assert!(TraceParent::parse(child.as_str()).is_some());
    }

    #[test]
    fn ids_of_nothing_but_zeros_are_malformed() {
        let one = "1".repeat(16);
        assert!(TraceParent::parse(&format!("00-{}-{one}-01", "0".repeat(32))).is_none());
        assert!(TraceParent::parse(&format!("00-{one}{one}-{}-01", "0".repeat(16))).is_none());
        assert!(TraceParent::parse(&format!("00-{one}{one}-{one}-01")).is_some());
    }
}
