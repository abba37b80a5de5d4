//! What goes wrong while a saga is explored.

use std::ops::BitOr;

/// What may go wrong, beside what always may: every message may be lost, doubled, delayed and overtaken, and every
/// process may crash at every point.
///
/// # Example: everything but somebody who cancels
///
/// ```
/// use saga_testkit::explore::Faults;
///
/// let faults = Faults::all().without(Faults::CANCEL);
/// assert!(faults.contains(Faults::REFUSAL | Faults::UNKNOWN) && !faults.contains(Faults::CANCEL));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults(u8);

impl Faults {
    /// Participants without a model refuse, each step that may be refused; signals are a no.
    pub const REFUSAL: Faults = Faults(1);
    /// No answer comes in time, or a temporary fault: commands are sent again, and given up.
    pub const UNKNOWN: Faults = Faults(2);
    /// A participant fails for good, no broker takes a message, or the saga's own code fails: the saga parks.
    pub const PERMANENT: Faults = Faults(4);
    /// Somebody cancels the saga.
    pub const CANCEL: Faults = Faults(8);
    /// A deadline passes: the saga's, if it has one, or that of a signal.
    pub const DEADLINE: Faults = Faults(16);
    /// Operators use their verbs, and say nothing that is not true. Without them, a parked saga has ended.
    pub const OPERATOR: Faults = Faults(32);
    /// A connection is lost while a handler calls another system: its command comes again, and when the first call comes
    /// to an end nobody may be left who would take it back. Without it rows need not be watched, and are not.
    pub const STRAY: Faults = Faults(64);

    /// All of them.
    pub const fn all() -> Self {
        Faults(127)
    }

    /// None of them. Messages are still lost, doubled, delayed and overtaken.
    pub const fn none() -> Self {
        Faults(0)
    }

    /// These, but not `others`.
    #[must_use]
    pub const fn without(self, others: Faults) -> Self {
        Faults(self.0 & !others.0)
    }

    /// Whether all of `others` are among these.
    pub const fn contains(self, others: Faults) -> bool {
        self.0 & others.0 == others.0
    }
}

impl BitOr for Faults {
    type Output = Faults;

    fn bitor(self, others: Faults) -> Faults {
        Faults(self.0 | others.0)
    }
}
