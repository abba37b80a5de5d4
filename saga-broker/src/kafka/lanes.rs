//! The partitions that are assigned to one reader, and their deliveries. Pure: no client, no clock.

use std::collections::{HashMap, VecDeque};

use saga_core::port::Token;
use tokio::time::Instant;

use super::lane::{Lane, Mark, Past, Ready};
use super::record::{Origin, Record};

/// A delivery on its way to whoever receives it.
pub(super) struct Fetched {
    pub(super) token: Token,
    pub(super) redelivered: bool,
    pub(super) record: Record,
}

/// All partitions of one reader's present assignment.
///
/// A token's generation names the partition and how many assignments there were before it. So a token of a partition
/// that was revoked, and perhaps assigned again since, finds nothing.
pub(super) struct Lanes {
    lanes: HashMap<i32, Lane>,
    assignments: u32,
    /// Fetched and not yet received, or given back.
    ready: VecDeque<Ready>,
    /// To be given back at an instant, in the order of the instants.
    later: VecDeque<(Instant, Token)>,
    in_flight_max: usize,
}

impl Lanes {
    pub(super) fn new(in_flight_max: usize) -> Self {
        Lanes {
            lanes: HashMap::new(),
            assignments: 0,
            ready: VecDeque::new(),
            later: VecDeque::new(),
            in_flight_max: in_flight_max.max(1),
        }
    }

    /// Begins to read partitions.
    pub(super) fn assign(&mut self, partitions: impl IntoIterator<Item = Past>) {
        for past in partitions {
            self.assignments = self.assignments.wrapping_add(1);
            let generation = generation(self.assignments, past.partition);
            self.lanes.insert(past.partition, Lane::new(generation, past));
        }
    }

    /// Forgets partitions. Returns what is to be committed for them.
    pub(super) fn revoke(&mut self, partitions: impl IntoIterator<Item = i32>) -> Vec<(i32, Mark)> {
        let mut marks = Vec::new();
        for partition in partitions {
            let mark = self.lanes.remove(&partition).and_then(|lane| lane.last());
            marks.extend(mark.map(|mark| (partition, mark)));
        }
        let lanes = &self.lanes;
        self.ready.retain(|(token, _)| {
            lanes.get(&partition(*token)).is_some_and(|lane| lane.generation() == token.generation)
        });
        marks
    }

    /// Takes in a message that was fetched. True says that commits are [`due`](Lanes::due) at once.
    pub(super) fn admit(&mut self, partition: i32, offset: i64, record: Record) -> bool {
        self.restart_if_rewound(partition, offset);
        let Some(lane) = self.lanes.get_mut(&partition) else {
            return false;
        };
        let due = lane.push(offset, record);
        lane.hand_over(&mut self.ready);
        due
    }

    /// Offsets that go back say that the topic was made anew or its log was cut: begin anew as well, at what is there.
    fn restart_if_rewound(&mut self, partition: i32, offset: i64) {
        let position = self.lanes.get(&partition).and_then(|lane| lane.window().position());
        if position.is_some_and(|position| offset < position) {
            tracing::warn!(partition, offset, ?position, "the offsets of a partition went back");
            self.revoke([partition]);
            self.assign([Past::unknown(partition)]);
        }
    }

    /// Hands out up to `max` deliveries.
    pub(super) fn take(&mut self, max: usize) -> Vec<Fetched> {
        let mut taken = Vec::with_capacity(max.min(self.ready.len()));
        while taken.len() < max
            && let Some((token, redelivered)) = self.ready.pop_front()
        {
            // One that was given back may have been settled since.
            if let Some(record) = self.kept(token) {
                let record = record.clone();
                taken.push(Fetched { token, redelivered, record });
            }
        }
        taken
    }

    /// Settles a delivery. False if its partition was revoked.
    pub(super) fn settle(&mut self, token: Token) -> bool {
        let lane = self.lanes.get_mut(&partition(token));
        let lane = lane.filter(|lane| lane.generation() == token.generation);
        lane.map(|lane| lane.settle(token.id as i64)).is_some()
    }

    /// Gives a delivery back, to be received again. False if its partition was revoked.
    pub(super) fn give_back(&mut self, token: Token) -> bool {
        let assigned = self.lane(token).is_some();
        if assigned {
            self.ready.push_back((token, true));
        }
        assigned
    }

    /// Gives a delivery back at a later instant, unless it is settled by then.
    pub(super) fn give_back_later(&mut self, token: Token, at: Instant) {
        self.later.push_back((at, token));
    }

    /// Gives back what was to be given back by now. False if there was nothing.
    pub(super) fn give_back_due(&mut self, now: Instant) -> bool {
        let waiting = self.later.len();
        while let Some((_, token)) = self.later.pop_front_if(|(at, _)| *at <= now) {
            self.give_back(token);
        }
        self.later.len() < waiting
    }

    /// What was kept of a delivery that is not settled.
    pub(super) fn kept(&self, token: Token) -> Option<&Record> {
        self.lane(token)?.window().kept(token.id as i64)
    }

    /// What is to be committed now: what was settled since, and a reach ahead of what was delivered since.
    pub(super) fn due(&mut self) -> Vec<(i32, Mark)> {
        let due = self.lanes.iter_mut().filter_map(|(partition, lane)| Some((*partition, lane.due()?)));
        due.collect()
    }

    /// Begins a new tick of the reader.
    pub(super) fn tick(&mut self) {
        self.lanes.values_mut().for_each(Lane::tick);
    }

    /// Notes what the broker has confirmed, and lets deliveries go that waited for it.
    pub(super) fn confirm(&mut self, marks: &[(i32, Mark)]) {
        for (partition, mark) in marks {
            if let Some(lane) = self.lanes.get_mut(partition) {
                lane.confirm(*mark);
                lane.hand_over(&mut self.ready);
            }
        }
    }

    /// Whether nothing more should be fetched until something is settled.
    pub(super) fn is_full(&self) -> bool {
        let in_flight: usize = self.lanes.values().map(|lane| lane.window().unsettled()).sum();
        in_flight >= self.in_flight_max || self.lanes.values().any(|lane| lane.window().len() >= WINDOW_MAX)
    }

    /// The partitions that are assigned.
    pub(super) fn partitions(&self) -> impl Iterator<Item = i32> {
        self.lanes.keys().copied()
    }

    fn lane(&self, token: Token) -> Option<&Lane> {
        let lane = self.lanes.get(&partition(token));
        lane.filter(|lane| lane.generation() == token.generation)
    }
}

impl<'a> Origin<'a> {
    /// Where the delivery of a token was read.
    pub(super) fn of(token: Token, topic: &'a str) -> Self {
        Origin { topic, partition: partition(token), offset: token.id as i64 }
    }
}

fn generation(assignment: u32, partition: i32) -> u64 {
    (u64::from(assignment) << 32) | u64::from(partition as u32)
}

fn partition(token: Token) -> i32 {
    token.generation as u32 as i32
}

/// One delivery that is never settled holds the commit back while others behind it are settled. All of those come
/// again after a crash, so there is an end to it: reading stops, which shows as lag.
const WINDOW_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use rdkafka::message::{OwnedHeaders, OwnedMessage, Timestamp};

    use super::super::lane::{AHEAD_MAX, AHEAD_MIN};
    use super::*;

    fn record() -> Record {
        let headers: Option<OwnedHeaders> = None;
        Record::copy(&OwnedMessage::new(None, None, String::new(), Timestamp::NotAvailable, 0, 0, headers))
    }

    /// Lanes with partition 0, of which the group has committed `mark`.
    fn assigned(mark: Option<Mark>) -> Lanes {
        let mut lanes = Lanes::new(10_000);
        let suspect_below = Some(mark.map_or(0, |mark| mark.reach));
        lanes.assign([Past { partition: 0, committed: mark, suspect_below }]);
        lanes
    }

    fn admit(lanes: &mut Lanes, offsets: std::ops::Range<i64>) {
        for offset in offsets {
            lanes.admit(0, offset, record());
        }
    }

    /// Commits what is due, as the reader does.
    fn commit(lanes: &mut Lanes) -> Option<Mark> {
        let due = lanes.due();
        lanes.confirm(&due);
        due.first().map(|(_, mark)| *mark)
    }

    fn offsets(deliveries: &[Fetched]) -> Vec<u64> {
        deliveries.iter().map(|delivery| delivery.token.id).collect()
    }

    #[test]
    fn nothing_is_delivered_before_a_reach_beyond_it_is_confirmed() {
        let mut lanes = assigned(None);
        assert!(lanes.admit(0, 0, record()), "a commit is due at once");
        assert!(lanes.take(10).is_empty());
        assert_eq!(commit(&mut lanes), Some(Mark { offset: 0, reach: 1 + AHEAD_MIN }));
        assert_eq!(offsets(&lanes.take(10)), [0]);

        admit(&mut lanes, 1..1 + AHEAD_MIN);
        assert_eq!(lanes.take(usize::MAX).len() as i64, AHEAD_MIN);
        assert!(lanes.admit(0, 1 + AHEAD_MIN, record()), "the reach is used up");
        assert!(lanes.take(10).is_empty());
        commit(&mut lanes);
        assert_eq!(lanes.take(10).len(), 1);
    }

    #[test]
    fn the_reach_grows_with_what_comes_and_shrinks_when_nothing_does() {
        let mut lanes = assigned(None);
        let mut reaches_ahead = |offsets: std::ops::Range<i64>| {
            let position = offsets.end;
            admit(&mut lanes, offsets);
            lanes.tick();
            commit(&mut lanes).map(|mark| mark.reach - position)
        };
        assert_eq!(reaches_ahead(0..100), Some(400));
        assert_eq!(reaches_ahead(100..5_000), Some(AHEAD_MAX));
        assert_eq!(reaches_ahead(5_000..5_000), Some(AHEAD_MIN));
        assert_eq!(reaches_ahead(5_000..5_000), None, "then there is nothing to commit");
    }

    #[test]
    fn a_reach_that_shrinks_counts_even_if_its_commit_was_not_confirmed() {
        let mut lanes = assigned(None);
        admit(&mut lanes, 0..100);
        commit(&mut lanes);
        lanes.take(usize::MAX);
        lanes.tick();
        lanes.tick();
        let unanswered = lanes.due();
        assert_eq!(unanswered[0].1.reach, 100 + AHEAD_MIN);
        admit(&mut lanes, 100..101 + AHEAD_MIN);
        assert_eq!(lanes.take(usize::MAX).len() as i64, AHEAD_MIN);
    }

    #[test]
    fn a_commit_that_failed_is_not_asked_for_with_every_message_but_stays_due() {
        let mut lanes = assigned(None);
        assert!(lanes.admit(0, 0, record()));
        let failed = lanes.due();
        assert!(!lanes.admit(0, 1, record()));
        assert_eq!(lanes.due()[0].1.offset, failed[0].1.offset);
    }

    #[test]
    fn what_lies_below_the_committed_reach_may_be_a_repeat_and_nothing_else() {
        let mut lanes = assigned(Some(Mark { offset: 10, reach: 12 }));
        admit(&mut lanes, 10..14);
        commit(&mut lanes);
        let redelivered: Vec<bool> = lanes.take(10).iter().map(|delivery| delivery.redelivered).collect();
        assert_eq!(redelivered, [true, true, false, false]);
    }

    #[test]
    fn a_reach_is_never_committed_below_that_of_an_earlier_reader() {
        let mut lanes = assigned(Some(Mark { offset: 0, reach: 50_000 }));
        admit(&mut lanes, 0..2);
        let reach = commit(&mut lanes).map(|mark| mark.reach);
        assert_eq!(reach, None, "what is committed already says so");
        let token = lanes.take(1)[0].token;
        assert!(lanes.settle(token));
        assert_eq!(commit(&mut lanes), Some(Mark { offset: 1, reach: 50_000 }));
        assert_eq!(lanes.revoke([0]), []);
    }

    #[test]
    fn the_last_commit_says_how_far_deliveries_really_went() {
        let mut lanes = assigned(None);
        admit(&mut lanes, 0..3);
        commit(&mut lanes);
        let first = lanes.take(1)[0].token;
        assert!(lanes.settle(first));
        assert_eq!(lanes.revoke([0]), [(0, Mark { offset: 1, reach: 3 })]);
    }

    #[test]
    fn nothing_is_committed_behind_what_another_reader_has_committed_since() {
        let mut lanes = assigned(None);
        admit(&mut lanes, 0..5);
        commit(&mut lanes);
        lanes.confirm(&[(0, Mark { offset: 100, reach: 200 })]);
        for delivery in lanes.take(5) {
            lanes.settle(delivery.token);
        }
        assert_eq!(lanes.due(), []);
        assert_eq!(lanes.revoke([0]), []);
    }

    #[test]
    fn tokens_of_a_revoked_partition_find_nothing_even_if_it_is_assigned_again() {
        let mut lanes = assigned(None);
        admit(&mut lanes, 0..2);
        commit(&mut lanes);
        let token = lanes.take(1)[0].token;
        lanes.revoke([0]);
        lanes.assign([Past::unknown(0)]);
        admit(&mut lanes, 0..1);
        assert!(!lanes.settle(token));
        assert!(!lanes.give_back(token));
        assert!(lanes.kept(token).is_none());
        commit(&mut lanes);
        let again = lanes.take(10);
        assert_eq!(offsets(&again), [0], "what was ready is gone with its assignment");
        assert!(again[0].redelivered, "when in doubt");
        assert!(lanes.settle(again[0].token));
    }

    #[test]
    fn offsets_that_go_back_begin_a_partition_anew() {
        let mut lanes = assigned(Some(Mark { offset: 100, reach: 2_000 }));
        admit(&mut lanes, 100..102);
        let token = lanes.take(1)[0].token;
        admit(&mut lanes, 3..4);
        assert!(!lanes.settle(token));
        assert_eq!(commit(&mut lanes).map(|mark| mark.offset), Some(3));
        assert_eq!(offsets(&lanes.take(10)), [3]);
    }

    #[test]
    fn what_is_given_back_comes_again_unless_it_is_settled_by_then() {
        let mut lanes = assigned(Some(Mark { offset: 0, reach: 2_000 }));
        admit(&mut lanes, 0..3);
        let tokens: Vec<Token> = lanes.take(3).iter().map(|delivery| delivery.token).collect();
        let now = Instant::now();
        for token in &tokens {
            lanes.give_back_later(*token, now);
        }
        assert!(lanes.settle(tokens[1]));
        assert!(lanes.give_back_due(now));
        assert_eq!(offsets(&lanes.take(10)), [0, 2]);
        assert!(!lanes.give_back_due(now));
    }

    #[test]
    fn what_is_fetched_and_not_settled_takes_room_on_all_partitions_together() {
        let mut lanes = Lanes::new(2);
        lanes.assign([Past::unknown(0), Past::unknown(1)]);
        lanes.admit(0, 0, record());
        assert!(!lanes.is_full());
        lanes.admit(1, 0, record());
        assert!(lanes.is_full());
        commit(&mut lanes);
        let token = lanes.take(1)[0].token;
        lanes.settle(token);
        assert!(!lanes.is_full());
    }

    #[test]
    fn one_delivery_that_is_never_settled_ends_in_a_stop_and_not_in_endless_memory() {
        let mut lanes = assigned(Some(Mark { offset: 0, reach: i64::MAX }));
        admit(&mut lanes, 0..WINDOW_MAX as i64);
        for delivery in lanes.take(usize::MAX).iter().skip(1) {
            lanes.settle(delivery.token);
        }
        assert!(lanes.is_full());
    }
}
