//! What was seen in the runs, counted, so that a simulation in which nothing happened does not pass for a proof.

use std::fmt;

/// Something that must be seen now and then for the runs to prove anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A saga completed.
    Completed,
    /// A saga was compensated.
    Compensated,
    /// A parked saga was released by an operator.
    Released,
    /// A process died.
    Crashed,
    /// An undo or a close came before its command, and left a tombstone.
    CommandOvertaken,
    /// A command came after its tombstone, and was not run.
    TombstoneHit,
    /// A reply "done" came when it was no longer awaited.
    LateDoneIgnored,
    /// The answer to a commit was lost, and it had taken place.
    LostAnswerCommitted,
    /// The answer to a commit was lost, and it had not taken place.
    LostAnswerRolledBack,
    /// A confirm was lost, and the message was sent again although it had arrived.
    LostConfirmDoubled,
    /// Two relays claimed rows that lay side by side.
    RowsShared,
    /// Two orchestrators moved one saga, and the second lost the race and decided again.
    RaceLost,
    /// A process that had stood still for longer than its leases wanted to write, and was refused.
    ZombieRefused,
    /// A timer fired while the reply that it waited for was under way.
    TimerMetReply,
    /// A saga that could not be read was parked.
    UnreadableParked,
    /// A message that nobody could read was dead-lettered.
    DeadLettered,
    /// A command that took its process down again and again was recognised.
    PoisonRecognised,
    /// A start was repeated, and led to the saga that it had started before.
    StartRepeated,
    /// Ended sagas left the store.
    Retired,
    /// A fence row was deleted, long after its saga had ended.
    FenceForgotten,
    /// A command came when its date had passed, and was not run.
    ExpiredRefused,
    /// A saga that ran as a step completed, after its parent had.
    ChildCompleted,
    /// A saga that was through as a step was taken back by its parent.
    ChildTakenBack,
    /// A saga that ran as a step compensated itself.
    ChildRefused,
    /// A saga that was to run as a step was taken back before it began.
    ChildNeverBegun,
    /// A saga that runs as a step was asked again, and answered from memory.
    ChildAnsweredAgain,
    /// A signal came before its saga waited for it, and was kept.
    SignalEarly,
    /// A signal came when another one was taken, or too late.
    SignalRefused,
    /// A saga was compensated because no signal came in time.
    SignalMissed,
    /// A start was refused, because enough sagas were under way.
    StartRefused,
    /// A saga moved to a newer version of its definition.
    Upgraded,
    /// A reply was kept for a build that knows its saga's definition.
    ReplyHeld,
    /// A local step's work was committed with its saga.
    LocalDone,
    /// A local step was rolled back, because somebody else had moved its saga.
    LocalRaceLost,
    /// A saga ended that had skipped a step, because its data said so.
    StepSkipped,
    /// The broker took a notification.
    Told,
    /// A pause was over.
    PauseOver,
    /// A row was watched, because a call could land behind it.
    CallWatched,
    /// A call landed when nobody waited for it any more.
    CallLandedLate,
}

impl Seen {
    /// Everything that is counted.
    pub const ALL: [Seen; 39] = [
        Seen::Completed,
        Seen::Compensated,
        Seen::Released,
        Seen::Crashed,
        Seen::CommandOvertaken,
        Seen::TombstoneHit,
        Seen::LateDoneIgnored,
        Seen::LostAnswerCommitted,
        Seen::LostAnswerRolledBack,
        Seen::LostConfirmDoubled,
        Seen::RowsShared,
        Seen::RaceLost,
        Seen::ZombieRefused,
        Seen::TimerMetReply,
        Seen::UnreadableParked,
        Seen::DeadLettered,
        Seen::PoisonRecognised,
        Seen::StartRepeated,
        Seen::Retired,
        Seen::FenceForgotten,
        Seen::ExpiredRefused,
        Seen::ChildCompleted,
        Seen::ChildTakenBack,
        Seen::ChildRefused,
        Seen::ChildNeverBegun,
        Seen::ChildAnsweredAgain,
        Seen::SignalEarly,
        Seen::SignalRefused,
        Seen::SignalMissed,
        Seen::StartRefused,
        Seen::Upgraded,
        Seen::ReplyHeld,
        Seen::LocalDone,
        Seen::LocalRaceLost,
        Seen::StepSkipped,
        Seen::Told,
        Seen::PauseOver,
        Seen::CallWatched,
        Seen::CallLandedLate,
    ];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Seen::Completed => "completed",
            Seen::Compensated => "compensated",
            Seen::Released => "released",
            Seen::Crashed => "crashed",
            Seen::CommandOvertaken => "command_overtaken",
            Seen::TombstoneHit => "tombstone_hit",
            Seen::LateDoneIgnored => "late_done_ignored",
            Seen::LostAnswerCommitted => "lost_answer_committed",
            Seen::LostAnswerRolledBack => "lost_answer_rolled_back",
            Seen::LostConfirmDoubled => "lost_confirm_doubled",
            Seen::RowsShared => "rows_shared",
            Seen::RaceLost => "race_lost",
            Seen::ZombieRefused => "zombie_refused",
            Seen::TimerMetReply => "timer_met_reply",
            Seen::UnreadableParked => "unreadable_parked",
            Seen::DeadLettered => "dead_lettered",
            Seen::PoisonRecognised => "poison_recognised",
            Seen::StartRepeated => "start_repeated",
            Seen::Retired => "retired",
            Seen::FenceForgotten => "fence_forgotten",
            Seen::ExpiredRefused => "expired_refused",
            Seen::ChildCompleted => "child_completed",
            Seen::ChildTakenBack => "child_taken_back",
            Seen::ChildRefused => "child_refused",
            Seen::ChildNeverBegun => "child_never_begun",
            Seen::ChildAnsweredAgain => "child_answered_again",
            Seen::SignalEarly => "signal_early",
            Seen::SignalRefused => "signal_refused",
            Seen::SignalMissed => "signal_missed",
            Seen::StartRefused => "start_refused",
            Seen::Upgraded => "upgraded",
            Seen::ReplyHeld => "reply_held",
            Seen::LocalDone => "local_done",
            Seen::LocalRaceLost => "local_race_lost",
            Seen::StepSkipped => "step_skipped",
            Seen::Told => "told",
            Seen::PauseOver => "pause_over",
            Seen::CallWatched => "call_watched",
            Seen::CallLandedLate => "call_landed_late",
        }
    }
}

/// How often each thing was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters([u64; Seen::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Counters([0; Seen::ALL.len()])
    }
}

impl Counters {
    /// How often it was seen.
    pub const fn of(&self, seen: Seen) -> u64 {
        self.0[seen as usize]
    }

    /// Every name with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Seen::ALL.iter().map(|seen| (seen.as_str(), self.of(*seen)))
    }

    /// What was not seen once.
    pub fn missing(&self) -> Vec<&'static str> {
        self.iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }

    pub(super) fn count(&mut self, seen: Seen) {
        self.0[seen as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Counters) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.iter() {
            writeln!(f, "  {name:<24}{count:>12}")?;
        }
        Ok(())
    }
}
