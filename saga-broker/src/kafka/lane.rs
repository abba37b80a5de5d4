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
    /// How far the reach is to be ahead, by the last tick.
    ahead: i64,
    position_at_tick: i64,
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
            ahead: AHEAD_MIN,
            position_at_tick: past.committed.map_or(0, |mark| mark.offset),
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

    /// Begins a new tick, for which the reach is as far ahead as the last one suggests.
    pub(super) fn tick(&mut self) {
        if let Some(position) = self.window.position() {
            self.ahead = self.suggested(position);
            self.position_at_tick = position;
        }
    }

    /// What is to be committed now, with a reach ahead of what was delivered: the faster messages come, the further.
    pub(super) fn due(&mut self) -> Option<Mark> {
        let position = self.window.position()?;
        let mark = self.unconfirmed(position + self.suggested(position).max(self.ahead))?;
        self.asked = mark.reach;
        // A reach that shrinks counts at once: its commit may land though the answer is lost.
        if let Some(committed) = &mut self.committed {
            committed.reach = committed.reach.min(mark.reach);
        }
        Some(mark)
    }

    fn suggested(&self, position: i64) -> i64 {
        (AHEAD_TIMES * (position - self.position_at_tick)).clamp(AHEAD_MIN, AHEAD_MAX)
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

/// The reach is ahead by what comes in so many ticks, so that the commit of each tick extends it in time.
const AHEAD_TIMES: i64 = 4;

/// After a crash so many messages of a partition count as possible repeats that are none, even if it was quiet.
pub(super) const AHEAD_MIN: i64 = 64;

/// After a crash under load it is so many at most, which take seconds to run one by one.
pub(super) const AHEAD_MAX: i64 = 1_000;
