//! Bugs that are planted on purpose, to see that the tests find each of them: `scripts/prove gallery`.
//!
//! They are there only in a build with `RUSTFLAGS="--cfg saga_planted"`. In any other, `planted!` stands for nothing at
//! all. A cargo feature would not do: features add up, so one dependency among many could plant the bugs in all.
//!
//! One build has them all. The environment variable `SAGA_PLANTED` names the one that is made, for the whole process,
//! because a search or a simulation has more than one thread.
//!
//! To add one: a variant, its place in `ALL`, and a `planted!` where somebody could have made that mistake.

/// Plants a bug: a statement that is carried out, or a name that stands for something else, if the bug is chosen.
#[cfg(saga_planted)]
macro_rules! planted {
    ($bug:ident: let $name:ident = $value:expr) => {
        let $name = if $crate::planted::Bug::$bug.is_planted() { $value } else { $name };
    };
    ($bug:ident: $mistake:expr) => {
        if $crate::planted::Bug::$bug.is_planted() {
            $mistake;
        }
    };
}

/// Stands for nothing.
#[cfg(not(saga_planted))]
macro_rules! planted {
    ($($bug:tt)*) => {};
}

#[cfg(saga_planted)]
pub use gallery::Bug;

#[cfg(saga_planted)]
mod gallery {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A mistake that the machine, the fence's table, the relay or a runtime could make.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Bug {
        // The machine.
        /// No answer counts as a no.
        TimeoutIsRefusal,
        /// A fault counts as a no.
        FaultIsRefusal,
        /// An answer is accepted to a command that is no longer awaited.
        LateDoneAccepted,
        /// A timer of an earlier attempt counts.
        OldTimerAccepted,
        /// A step is addressed by its place in the definition.
        StepByIndex,
        /// What was done first is undone first.
        CompensatedForward,
        /// An undo that failed counts as done.
        UndoFaultSwallowed,
        /// Each sending of a command has an id of its own.
        RandomMessageIds,
        /// A saga that has ended moves on.
        EndedMoves,
        /// No timer is set.
        NoTimer,
        /// What was not answered is not sent again.
        NotSentAgain,
        /// A saga that turns back sends the next command.
        ForwardWhileBack,
        /// A saga is completed when one step of a group is done.
        CompletedEarly,
        /// An undo is sent to another participant than its command.
        UndoSentElsewhere,
        /// A saga moves to a newer version that is another where it has been.
        UpgradedPastChange,

        // A saga that is a step of another one.
        /// It completes when it is through, and does not wait for its parent.
        ChildEndsAlone,
        /// It is answered that it is taken back, and stays as it is.
        TakenBackInWords,
        /// It leaves the store as soon as others do.
        ChildRetiredEarly,
        /// A release is acked although its saga cannot be read.
        ReleaseDropped,

        // The fence's table.
        /// A command that was done is run again.
        NoFence,
        /// An undo that finds nothing to undo leaves no tombstone.
        NoTombstone,
        /// A close that finds nothing to close is answered, and leaves no row.
        ProbeForClose,
        /// A command that was refused is run again.
        RefusalForgotten,
        /// What is undone is undone again.
        UndoneTwice,
        /// A call that comes back to a row that has moved on is left as it is.
        LateCallStands,
        /// A refusal is taken for the outcome although another call with its key was begun.
        RefusalOfOneTrusted,
        /// A command that finds its row refused has no undo run first.
        CallBehindRefusalStands,
        /// A command that finds its row compensated has no undo run first.
        CallBehindUndoStands,

        // The participant.
        /// The fence row is written after the effect is committed.
        FenceAfterEffect,
        /// What a handler wrote before it refused stays.
        RefusedWritesKept,
        /// A suspect's run is not counted before it begins.
        CountedAfterwards,
        /// A command is acked when it is received.
        CommandAckedEarly,
        /// A fence row does not say whose it is.
        FenceOfNobody,
        /// A command is run after its time.
        ExpiredIsRun,
        /// A row behind which a call may land is not watched.
        RowUnwatched,

        // The relay.
        /// A row is deleted before the broker has confirmed its message.
        DeletedBeforeConfirm,
        /// A message whose fate is unknown counts as sent.
        UnknownIsSent,
        /// A message that no broker takes is tried for ever.
        PoisonRowRetried,
        /// Rows that are sent from memory are not claimed.
        HotRowsUnclaimed,

        // The orchestrator.
        /// A reply for a saga that is not there is acked.
        StrayReplyDropped,
        /// A reply for a definition that is not known is acked.
        UnknownDefinitionDropped,
        /// What is held is known by its message's id, which the answers to all attempts share.
        HeldByMessage,
        /// What a local step writes is committed before its saga's transition.
        LocalEffectApart,
        /// A signal that comes before its saga waits is dropped.
        EarlySignalDropped,
        /// A signal counts although another one came before.
        SignalTakenTwice,
        /// A saga that was let in takes its room for ever.
        RoomLeaked,
        /// Sagas that were let in after the last count are not counted.
        StartsUncounted,
        /// Commands are sent before their transition is committed.
        SentBeforeCommit,
        /// A reply is acked when it is received.
        ReplyAckedEarly,
        /// Decisions are made with the process's own clock.
        OwnClock,
    }

    impl Bug {
        /// Every bug.
        pub const ALL: [Bug; 50] = [
            Bug::TimeoutIsRefusal,
            Bug::FaultIsRefusal,
            Bug::LateDoneAccepted,
            Bug::OldTimerAccepted,
            Bug::StepByIndex,
            Bug::CompensatedForward,
            Bug::UndoFaultSwallowed,
            Bug::RandomMessageIds,
            Bug::EndedMoves,
            Bug::NoTimer,
            Bug::NotSentAgain,
            Bug::ForwardWhileBack,
            Bug::CompletedEarly,
            Bug::UndoSentElsewhere,
            Bug::UpgradedPastChange,
            Bug::ChildEndsAlone,
            Bug::TakenBackInWords,
            Bug::ChildRetiredEarly,
            Bug::ReleaseDropped,
            Bug::NoFence,
            Bug::NoTombstone,
            Bug::ProbeForClose,
            Bug::RefusalForgotten,
            Bug::UndoneTwice,
            Bug::LateCallStands,
            Bug::RefusalOfOneTrusted,
            Bug::CallBehindRefusalStands,
            Bug::CallBehindUndoStands,
            Bug::FenceAfterEffect,
            Bug::RefusedWritesKept,
            Bug::CountedAfterwards,
            Bug::CommandAckedEarly,
            Bug::FenceOfNobody,
            Bug::ExpiredIsRun,
            Bug::RowUnwatched,
            Bug::DeletedBeforeConfirm,
            Bug::UnknownIsSent,
            Bug::PoisonRowRetried,
            Bug::HotRowsUnclaimed,
            Bug::StrayReplyDropped,
            Bug::UnknownDefinitionDropped,
            Bug::HeldByMessage,
            Bug::LocalEffectApart,
            Bug::EarlySignalDropped,
            Bug::SignalTakenTwice,
            Bug::RoomLeaked,
            Bug::StartsUncounted,
            Bug::SentBeforeCommit,
            Bug::ReplyAckedEarly,
            Bug::OwnClock,
        ];

        pub(crate) fn is_planted(self) -> bool {
            static PLANTED: OnceLock<Option<Bug>> = OnceLock::new();
            let named = || {
                let name = std::env::var("SAGA_PLANTED").ok()?;
                Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
            };
            *PLANTED.get_or_init(named) == Some(self)
        }
    }

    /// A number that was not drawn before.
    pub(crate) fn number() -> u64 {
        static DRAWN: AtomicU64 = AtomicU64::new(1);
        DRAWN.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(saga_planted)]
pub(crate) use gallery::number;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The text of all sources under a folder.
    fn sources(folder: &Path) -> String {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: &Path| match path.is_dir() {
            true => sources(path),
            false => fs::read_to_string(path).unwrap(),
        };
        paths.map(|path| text(&path)).collect()
    }

    #[test]
    fn every_bug_is_planted_somewhere() {
        let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        let listed = include_str!("planted.rs").lines();
        let bugs: Vec<&str> =
            listed.filter_map(|line| line.trim().strip_prefix("Bug::")?.strip_suffix(',')).collect();
        assert!(!bugs.is_empty());
        for bug in bugs {
            assert!(sources.contains(&format!("planted!({bug}:")), "{bug} is planted nowhere");
        }
    }
}
