//! Whether an orchestrator hears from the broker, and reaches it.
//!
//! While it does not, no answer can come and nothing can be sent, so a timer that fires says nothing of a participant: it
//! would spend attempts, and have sagas compensated that went well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// What is known of the way to the broker. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Contact(Arc<Known>);

#[derive(Default)]
struct Known {
    /// Subscriptions that are to be there and are not.
    missing: AtomicUsize,
    /// Messages that the broker has not answered.
    unheard: Mutex<Option<Unheard>>,
}

/// Since when and until when there were messages, again and again, that the broker has not answered.
#[derive(Clone, Copy)]
struct Unheard {
    since: Instant,
    last: Instant,
    /// Whether it has confirmed something after that.
    is_back: bool,
}

/// A subscription that is to be there. While this exists, it is not.
pub(super) struct Missing(Contact);

impl Drop for Missing {
    fn drop(&mut self) {
        self.0.0.missing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Contact {
    /// A subscription is to be made, for the first time or again.
    pub(super) fn missing(&self) -> Missing {
        self.0.missing.fetch_add(1, Ordering::Relaxed);
        Missing(self.clone())
    }

    /// What came of a batch: how many messages the broker has for sure, how many it has not answered, and to how many it
    /// said no for now. A broker that says no is there; but once it was lost, only what it confirms says that it is back.
    pub(super) fn published(&self, confirmed: usize, unanswered: usize, not_taken: usize) {
        let mut unheard = self.0.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_back = confirmed > 0;
        let before = unheard.filter(|before| now.duration_since(before.last) < UNHEARD_FOR);
        let was_lost = before.is_some_and(|before| !before.is_back);
        if unanswered > 0 || not_taken > 0 && was_lost && !is_back {
            let since = before.map_or(now, |before| before.since);
            *unheard = Some(Unheard { since, last: now, is_back });
        } else if let Some(unheard) = &mut *unheard {
            unheard.is_back |= is_back;
        }
    }

    fn is_lost(&self, now: Instant) -> bool {
        let unheard = *self.0.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unheard = |Unheard { since, last, is_back }: Unheard| {
            !is_back && now.duration_since(last) < UNHEARD_FOR && now.duration_since(since) < UNHEARD_MAX
        };
        self.0.missing.load(Ordering::Relaxed) > 0 || unheard.is_some_and(is_unheard)
    }
}

/// Whether timers may fire: not while contact is lost, nor until what has piled up meanwhile had time to arrive.
pub(super) struct Hold {
    contact: Contact,
    grace: Duration,
    lost: Option<Instant>,
    until: Instant,
}

impl Hold {
    /// Lets no timer fire for as long after an outage as it has lasted, and at most for `grace`.
    pub(super) fn new(contact: Contact, grace: Duration) -> Self {
        Hold { contact, grace, lost: None, until: Instant::now() }
    }

    /// Whether timers have to wait now. To be asked again and again, since an outage is measured between two questions.
    pub(super) fn holds(&mut self, now: Instant) -> bool {
        if self.contact.is_lost(now) {
            if self.lost.is_none() {
                warn!("the broker is out of reach, so timers wait");
            }
            self.lost.get_or_insert(now);
            return true;
        }
        if let Some(lost) = self.lost.take() {
            self.until = now + self.grace.min(now.duration_since(lost));
        }
        now < self.until
    }
}

/// Longer than it takes to publish what could not be sent once more. If that is not tried, another process has sent it, or
/// nothing is left to send.
const UNHEARD_FOR: Duration = Duration::from_secs(30);

/// What is not answered for so long, again and again, may be the fault of one destination alone, whatever is confirmed in
/// between, and others wait for their timers.
const UNHEARD_MAX: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn timers_wait_for_a_subscription_and_then_for_as_long_as_it_was_missing() {
        let contact = Contact::default();
        let mut hold = Hold::new(contact.clone(), 30 * SECOND);
        let begun = Instant::now();
        assert!(!hold.holds(begun));
        let missing = contact.missing();
        assert!(hold.holds(begun) && hold.holds(begun + 20 * SECOND));
        drop(missing);
        let back = begun + 20 * SECOND;
        assert!(hold.holds(back) && hold.holds(back + 19 * SECOND));
        assert!(!hold.holds(back + 20 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_outage_timers_wait_for_the_grace_and_no_longer() {
        let contact = Contact::default();
        let mut hold = Hold::new(contact.clone(), 30 * SECOND);
        let begun = Instant::now();
        let missing = contact.missing();
        assert!(hold.holds(begun));
        drop(missing);
        let back = begun + 3600 * SECOND;
        assert!(hold.holds(back) && hold.holds(back + 29 * SECOND));
        assert!(!hold.holds(back + 30 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_is_lost_that_confirms_nothing_until_it_does_or_nothing_is_sent_any_more() {
        let contact = Contact::default();
        let begun = Instant::now();
        contact.published(0, 0, 3);
        assert!(!contact.is_lost(begun), "it has said no to all");
        contact.published(0, 3, 0);
        assert!(contact.is_lost(begun) && contact.is_lost(begun + 29 * SECOND));
        assert!(!contact.is_lost(begun + 30 * SECOND), "nothing is left to send");
        contact.published(1, 3, 3);
        assert!(!contact.is_lost(begun), "it has confirmed one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_was_lost_is_not_back_because_nothing_more_is_sent_to_it_but_not_for_ever() {
        let contact = Contact::default();
        contact.published(0, 1, 0);
        for _ in 0..29 {
            tokio::time::advance(20 * SECOND).await;
            contact.published(0, 0, 1);
            assert!(contact.is_lost(Instant::now()));
        }
        tokio::time::advance(20 * SECOND).await;
        contact.published(0, 1, 0);
        assert!(!contact.is_lost(Instant::now()), "after ten minutes it may be one destination alone");
    }

    #[tokio::test(start_paused = true)]
    async fn one_destination_that_is_stuck_holds_timers_for_ten_minutes_whatever_is_confirmed_beside_it() {
        let contact = Contact::default();
        let mut lost = Duration::ZERO;
        for second in 0..3600 {
            match second {
                _ if second % 60 == 0 => contact.published(1, 0, 0),
                _ if second % 14 == 0 => contact.published(0, 1, 0),
                _ => {}
            }
            if contact.is_lost(Instant::now()) {
                lost += SECOND;
            }
            tokio::time::advance(SECOND).await;
        }
        assert!(lost > 300 * SECOND && lost < 600 * SECOND, "{lost:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_is_over_does_not_shorten_the_next_one() {
        let contact = Contact::default();
        contact.published(0, 1, 0);
        tokio::time::advance(3600 * SECOND).await;
        contact.published(0, 1, 0);
        assert!(contact.is_lost(Instant::now()), "it is lost anew");
    }
}
