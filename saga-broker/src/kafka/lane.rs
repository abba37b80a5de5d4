//! One partition under one assignment. Pure: no client, no clock.

use std::collections::VecDeque;

use saga_core::port::Token;

use super::offsets::Window;
use super::record::Record;

/// What a group has committed for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where the group goes on: everything before it is settled.
    pub(super) offset: i64,
    /// No delivery has this offset or a later one. Kafka keeps it beside the offset, as the commit's metadata.
    ///
    /// It is committed *before* a delivery reaches it, so whoever reads the partition next knows which messages may
    /// have been delivered before, after a crash too.
    pub(super) reach: i64,
}

/// What is known of a partition when it is assigned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    pub(super) partition: i32,
    /// What the group has committed; none if nothing was ever committed, or nobody can tell.
    pub(super) committed: Option<Mark>,
    /// What lies before it may have been delivered by an earlier reader. None if nobody can tell.
    pub(super) suspect_below: Option<i64>,
}

impl Past {
    /// Nobody can tell what was delivered, so any message may be a repeat.
    pub(super) fn unknown(partition: i32) -> Self {
        Past { partition, committed: None, suspect_below: None }
    }
}

/// A delivery that can be received: its token, and whether it may be a repeat.
pub(super) type Ready = (Token, bool);

/// The deliveries of a partition from its assignment on.
pub(super) struct Lane {
    generation: u64,
    window: Window<Record>,
    /// Offsets that may not be delivered before a reach beyond them is confirmed.
    waiting: VecDeque<i64>,
    /// What the broker has confirmed.
    committed: Option<Mark>,
    /// The reach that was last sent to the broker.
    asked: i64,
    suspect_below: Option<i64>,
}

impl Lane {
    pub(super) fn new(generation: u64, past: Past) -> Self {
        Lane {
            generation,
            window: Window::new(),
            waiting: VecDeque::new(),
            committed: past.committed,
            asked: past.committed.map_or(0, |mark| mark.reach),
            suspect_below: past.suspect_below,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The deliveries that are remembered.
    pub(super) fn window(&self) -> &Window<Record> {
        &self.window
    }

    /// Adds a message. True says that a commit is due before it can be delivered.
    pub(super) fn push(&mut self, offset: i64, record: Record) -> bool {
        self.window.push(offset, record);
        self.waiting.push_back(offset);
        offset >= self.asked
    }

    pub(super) fn settle(&mut self, offset: i64) {
        self.window.settle(offset);
    }

    /// Hands over what the confirmed reach allows.
    pub(super) fn hand_over(&mut self, ready: &mut VecDeque<Ready>) {
        let reach = self.committed.map_or(0, |mark| mark.reach);
        while let Some(offset) = self.waiting.pop_front_if(|offset| *offset < reach) {
            let suspect = self.suspect_below.is_none_or(|below| offset < below);
            ready.push_back((Token { generation: self.generation, id: offset as u64 }, suspect));
        }
    }

    /// Notes what the broker has.
    pub(super) fn confirm(&mut self, mark: Mark) {
        self.committed = Some(mark);
    }

    /// What is to be committed now, with a reach ahead of what was delivered.
    pub(super) fn due(&mut self) -> Option<Mark> {
        let mark = self.unconfirmed(self.window.position()? + REACH_AHEAD)?;
        self.asked = mark.reach;
        Some(mark)
    }

    /// What is to be committed when the partition is given up: deliveries go no further than they went.
    pub(super) fn last(&self) -> Option<Mark> {
        self.unconfirmed(self.window.position()?)
    }

    /// What is to be committed if deliveries reach so far, unless it is confirmed already.
    ///
    /// What lies behind what the broker has is nobody's business: another reader has the partition by now.
    fn unconfirmed(&self, reach: i64) -> Option<Mark> {
        let offset = self.window.committable()?;
        let mark = Mark { offset, reach: reach.max(self.suspect_below.unwrap_or(0)) };
        let known = self.committed.is_some_and(|committed| committed == mark || committed.offset > offset);
        (!known).then_some(mark)
    }
}

/// How far the reach is committed ahead of the last delivery. After a crash up to this many messages of a partition
/// count as possible repeats that are none; and after so many deliveries without a commit the next waits for one.
pub(super) const REACH_AHEAD: i64 = 1_000;
