//! How many sagas are under way: M2.

use super::{Saga, Witness};

impl Witness {
    /// M2: no process begins more sagas than may be under way. What others begin meanwhile it learns later, and one that
    /// was parked was no longer counted.
    pub(super) fn check_limit(&mut self, process: &str) {
        let Some(limit) = self.in_flight else { return };
        let counts = |saga: &&Saga| {
            let is_under_way = !saga.stored.status.is_terminal() && !saga.was_parked;
            is_under_way && saga.parent.is_none() && saga.begun_by == process
        };
        let under_way = self.sagas.values().filter(counts).count() as u64;
        if under_way > limit {
            self.violation(format!(
                "M2: {process} has begun {under_way} sagas, and {limit} may be under way"
            ));
        }
    }
}
