//! Where a search for due rows begins.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saga_core::definition::DefinitionRef;
use saga_core::policy::Timestamp;
use tokio::time::Instant;

/// Where the next search for due rows begins: where the last complete one ended, not at the earliest row.
///
/// An index keeps a row that is gone until a vacuum, and no vacuum removes it while any transaction is older than it.
/// A search from the beginning would pass over all of these each time, and become slow in proportion to the traffic
/// since that transaction began. The floor only makes searches fast: what it hides (a row that was committed later
/// than the margin allows for, or given back by another relay) is found by a search of the whole, made now and then.
#[derive(Default)]
pub(crate) struct Floor(Mutex<State>);

#[derive(Default)]
struct State {
    /// In microseconds since 1970, on the database's clock, or from its present time on if that is negative.
    from: i64,
    /// Whose rows were searched for.
    known: Vec<DefinitionRef>,
    /// When the whole is to be searched again; at once, if it never was.
    whole_at: Option<Instant>,
}

/// A search that has begun. If it is dropped, it has failed.
pub(crate) struct Search<'a> {
    floor: &'a Floor,
    known: &'a [DefinitionRef],
    from: i64,
    begun: Instant,
    has_ended: bool,
}

impl Floor {
    /// Begins a search for rows of `known`.
    pub(crate) fn begin<'a>(&'a self, known: &'a [DefinitionRef]) -> Search<'a> {
        let begun = Instant::now();
        let state = self.state();
        let is_whole = state.known != known || state.whole_at.is_none_or(|at| at <= begun);
        let from = if is_whole { WHOLE } else { state.from };
        Search { floor: self, known, from, begun, has_ended: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Search<'_> {
    /// In microseconds since 1970, on the database's clock, or from its present time on if that is negative.
    pub(crate) fn from(&self) -> i64 {
        self.from
    }

    /// Notes that the search found all that was due at `now`, if it was `complete`.
    pub(crate) fn end(mut self, now: Timestamp, complete: bool) {
        self.has_ended = true;
        if !complete {
            return;
        }
        let mut state = self.floor.state();
        if self.from == WHOLE {
            self.wait_for_the_next(&mut state, WHOLE_SHARE);
        }
        if state.known == self.known {
            state.from = now.as_micros() - MARGIN_MICROS;
        }
    }

    /// Has the whole searched again later, the later the longer it took.
    fn wait_for_the_next(&self, state: &mut State, share: u32) {
        state.whole_at = Some(self.begun + WHOLE_PAUSE.max(self.begun.elapsed() * share));
        self.known.clone_into(&mut state.known);
    }
}

impl Drop for Search<'_> {
    /// A search of the whole that failed may have been too slow for its deadline, and the next one would be, too. What
    /// is due of late is found meanwhile.
    fn drop(&mut self) {
        if self.has_ended || self.from != WHOLE {
            return;
        }
        let mut state = self.floor.state();
        if state.known != self.known || state.from == WHOLE {
            state.from = -OF_LATE_MICROS;
        }
        self.wait_for_the_next(&mut state, FAILED_SHARE);
    }
}

/// Before any row.
const WHOLE: i64 = 0;

/// How long after its due time a row may be committed and still be found at once. Most commit within milliseconds;
/// each second more is a second of traffic that every search passes over.
const MARGIN_MICROS: i64 = 1_000_000;

/// How long ago a row may have become due that is looked for before any search has found all.
const OF_LATE_MICROS: i64 = 60_000_000;

/// How long a row may stay hidden that was committed later than that.
const WHOLE_PAUSE: Duration = Duration::from_secs(10);

/// Searches of the whole take at most a hundredth of the time, however slow they have become.
const WHOLE_SHARE: u32 = 100;

/// Those that fail take up to a quarter: perhaps the database was away, and what lies behind is to be found soon.
const FAILED_SHARE: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(5_000_000);

    #[tokio::test(start_paused = true)]
    async fn the_next_search_begins_where_a_complete_one_ended() {
        let floor = Floor::default();
        let search = floor.begin(&[]);
        assert_eq!(search.from(), WHOLE);
        search.end(NOW, false);
        let search = floor.begin(&[]);
        assert_eq!(search.from(), WHOLE, "after an incomplete search");
        search.end(NOW, true);
        assert_eq!(floor.begin(&[]).from(), 4_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_is_searched_now_and_then_and_more_rarely_if_that_is_slow() {
        let floor = Floor::default();
        floor.begin(&[]).end(NOW, true);
        tokio::time::advance(WHOLE_PAUSE).await;
        let slow = floor.begin(&[]);
        assert_eq!(slow.from(), WHOLE);
        tokio::time::advance(Duration::from_secs(1)).await;
        slow.end(NOW, true);
        tokio::time::advance(Duration::from_secs(98)).await;
        assert_ne!(floor.begin(&[]).from(), WHOLE);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(floor.begin(&[]).from(), WHOLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_for_the_rows_of_others_begins_at_the_beginning() {
        let floor = Floor::default();
        floor.begin(&[]).end(NOW, true);
        let definition = DefinitionRef {
            name: saga_core::id::SagaName::new("place-order").unwrap(),
            version: 1,
            fingerprint: saga_core::definition::Fingerprint::from_uuid(uuid::Uuid::nil()),
        };
        let others = [definition];
        let search = floor.begin(&others);
        assert_eq!(search.from(), WHOLE);
        search.end(NOW, true);
        assert_eq!(floor.begin(&others).from(), 4_000_000);
        assert_eq!(floor.begin(&[]).from(), WHOLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_of_the_whole_that_fails_is_not_made_again_at_once() {
        for found_before in [false, true] {
            let floor = Floor::default();
            if found_before {
                floor.begin(&[]).end(NOW, true);
                tokio::time::advance(WHOLE_PAUSE).await;
            }
            let too_slow = floor.begin(&[]);
            assert_eq!(too_slow.from(), WHOLE);
            tokio::time::advance(Duration::from_secs(30)).await;
            drop(too_slow);
            let of_late = floor.begin(&[]);
            assert_eq!(of_late.from(), if found_before { 4_000_000 } else { -OF_LATE_MICROS });
            of_late.end(NOW, true);
            tokio::time::advance(Duration::from_secs(89)).await;
            assert_eq!(floor.begin(&[]).from(), 4_000_000);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(floor.begin(&[]).from(), WHOLE);
        }
    }
}
