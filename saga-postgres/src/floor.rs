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
    /// In microseconds since 1970, on the database's clock.
    from: i64,
    /// Whose rows were searched for.
    known: Vec<DefinitionRef>,
    /// When the whole is to be searched again; at once, if it never was.
    whole_at: Option<Instant>,
}

/// A search that has begun.
pub(crate) struct Search {
    from: i64,
    begun: Instant,
}

impl Floor {
    /// Begins a search for rows of `known`.
    pub(crate) fn begin(&self, known: &[DefinitionRef]) -> Search {
        let begun = Instant::now();
        let state = self.state();
        let is_whole = state.known != known || state.whole_at.is_none_or(|at| at <= begun);
        Search { from: if is_whole { WHOLE } else { state.from }, begun }
    }

    /// Notes that a search found all that was due at `now`, if it was `complete`.
    pub(crate) fn end(&self, search: Search, known: &[DefinitionRef], now: Timestamp, complete: bool) {
        if !complete {
            return;
        }
        let mut state = self.state();
        if search.from == WHOLE {
            state.whole_at = Some(search.begun + WHOLE_PAUSE.max(search.begun.elapsed() * WHOLE_SHARE));
            known.clone_into(&mut state.known);
        }
        if state.known == known {
            state.from = now.as_micros() - MARGIN_MICROS;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Search {
    /// In microseconds since 1970, on the database's clock.
    pub(crate) fn from(&self) -> i64 {
        self.from
    }
}

/// Before any row.
const WHOLE: i64 = 0;

/// How long after its due time a row may be committed and still be found at once. Most commit within milliseconds;
/// each second more is a second of traffic that every search passes over.
const MARGIN_MICROS: i64 = 1_000_000;

/// How long a row may stay hidden that was committed later than that.
const WHOLE_PAUSE: Duration = Duration::from_secs(10);

/// Searches of the whole take at most a hundredth of the time, however slow they have become.
const WHOLE_SHARE: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(5_000_000);

    #[tokio::test(start_paused = true)]
    async fn the_next_search_begins_where_a_complete_one_ended() {
        let floor = Floor::default();
        let search = floor.begin(&[]);
        assert_eq!(search.from(), WHOLE);
        floor.end(search, &[], NOW, false);
        let search = floor.begin(&[]);
        assert_eq!(search.from(), WHOLE, "after an incomplete search");
        floor.end(search, &[], NOW, true);
        assert_eq!(floor.begin(&[]).from(), 4_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_is_searched_now_and_then_and_more_rarely_if_that_is_slow() {
        let floor = Floor::default();
        floor.end(floor.begin(&[]), &[], NOW, true);
        tokio::time::advance(WHOLE_PAUSE).await;
        let slow = floor.begin(&[]);
        assert_eq!(slow.from(), WHOLE);
        tokio::time::advance(Duration::from_secs(1)).await;
        floor.end(slow, &[], NOW, true);
        tokio::time::advance(Duration::from_secs(98)).await;
        assert_ne!(floor.begin(&[]).from(), WHOLE);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(floor.begin(&[]).from(), WHOLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_for_the_rows_of_others_begins_at_the_beginning() {
        let floor = Floor::default();
        floor.end(floor.begin(&[]), &[], NOW, true);
        let definition = DefinitionRef {
            name: saga_core::id::SagaName::new("place-order").unwrap(),
            version: 1,
            fingerprint: saga_core::definition::Fingerprint::from_uuid(uuid::Uuid::nil()),
        };
        let others = [definition];
        let search = floor.begin(&others);
        assert_eq!(search.from(), WHOLE);
        floor.end(search, &others, NOW, true);
        assert_eq!(floor.begin(&others).from(), 4_000_000);
        assert_eq!(floor.begin(&[]).from(), WHOLE);
    }
}
