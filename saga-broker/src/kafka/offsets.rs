//! Which deliveries of a partition are settled, and so how far its group may commit. Pure.

use std::collections::VecDeque;

/// The deliveries of one partition from the first unsettled one on, in the order of their offsets.
///
/// Kafka remembers one offset per partition, and everything before it counts as done. So only what is settled
/// without a gap may be committed, whatever was settled behind it. Offsets themselves have gaps (compaction,
/// transaction markers), so deliveries are remembered rather than counted.
#[derive(Debug)]
pub(super) struct Window<T> {
    /// A settled delivery has given up what was kept of it. The first one is unsettled.
    deliveries: VecDeque<(i64, Option<T>)>,
    /// The offset after the last delivery; none before the first.
    position: Option<i64>,
    unsettled: usize,
}

impl<T> Window<T> {
    /// Nothing delivered yet.
    pub(super) fn new() -> Self {
        Window { deliveries: VecDeque::new(), position: None, unsettled: 0 }
    }

    /// Adds a delivery, and keeps `kept` until it is settled. Offsets only go up.
    pub(super) fn push(&mut self, offset: i64, kept: T) {
        debug_assert!(self.position.is_none_or(|position| position <= offset));
        self.deliveries.push_back((offset, Some(kept)));
        self.position = Some(offset + 1);
        self.unsettled += 1;
    }

    /// What was kept of a delivery that is not settled.
    pub(super) fn kept(&self, offset: i64) -> Option<&T> {
        let index = self.index(offset)?;
        self.deliveries[index].1.as_ref()
    }

    /// Settles a delivery; false if it was settled before.
    pub(super) fn settle(&mut self, offset: i64) -> bool {
        let Some(index) = self.index(offset) else {
            return false;
        };
        let first_time = self.deliveries[index].1.take().is_some();
        self.unsettled -= usize::from(first_time);
        while let Some((_, None)) = self.deliveries.front() {
            self.deliveries.pop_front();
        }
        first_time
    }

    /// Where the group may go on after this one: at the first unsettled delivery. None before the first delivery.
    pub(super) fn committable(&self) -> Option<i64> {
        match self.deliveries.front() {
            Some((offset, _)) => Some(*offset),
            None => self.position,
        }
    }

    /// The offset after the last delivery. None before the first.
    pub(super) fn position(&self) -> Option<i64> {
        self.position
    }

    /// How many deliveries are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// How many deliveries are remembered, settled or not.
    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }

    fn index(&self, offset: i64) -> Option<usize> {
        self.deliveries.binary_search_by_key(&offset, |(known, _)| *known).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn window(offsets: impl IntoIterator<Item = i64>) -> Window<()> {
        let mut window = Window::new();
        offsets.into_iter().for_each(|offset| window.push(offset, ()));
        window
    }

    #[test]
    fn nothing_may_be_committed_past_the_first_unsettled_delivery() {
        let mut window = window([10, 11, 12]);
        assert!(window.settle(12));
        assert!(window.settle(11));
        assert_eq!(window.committable(), Some(10));
        assert!(window.settle(10));
        assert_eq!(window.committable(), Some(13));
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn gaps_between_offsets_do_not_hold_the_commit_back() {
        let mut window = window([3, 7, 100]);
        assert!(window.settle(3));
        assert_eq!(window.committable(), Some(7));
        assert!(window.settle(7));
        assert_eq!(window.committable(), Some(100));
    }

    #[test]
    fn before_the_first_delivery_nothing_may_be_committed() {
        assert_eq!(window([]).committable(), None);
    }

    #[test]
    fn settling_twice_counts_once() {
        let mut window = window([1, 2]);
        assert!(window.settle(2));
        assert!(!window.settle(2));
        assert!(!window.settle(9));
        assert_eq!(window.unsettled(), 1);
    }

    proptest! {
        /// Any offsets with gaps, settled in any order, some of them never, some twice.
        #[test]
        fn the_commit_never_skips_an_unsettled_delivery_and_never_goes_back(
            gaps in prop::collection::vec(1_i64..5, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut window = window(offsets.iter().copied());
            let mut unsettled: BTreeSet<i64> = offsets.iter().copied().collect();
            let mut committed = window.committable();
            for index in order {
                let offset = *index.get(&offsets);
                prop_assert_eq!(window.settle(offset), unsettled.remove(&offset));
                let expected = unsettled.first().copied().or(window.position());
                prop_assert_eq!(window.committable(), expected);
                prop_assert_eq!(window.unsettled(), unsettled.len());
                prop_assert!(window.committable() >= committed);
                committed = window.committable();
            }
        }
    }
}
