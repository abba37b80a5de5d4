//! What a user's conditions look at.

use std::sync::Arc;

use saga_core::machine::Instance;
use saga_core::machine::Status;

/// One state of the search, as a condition sees it.
#[derive(Debug)]
pub struct Scene<'a, M> {
    /// What the participants keep.
    pub model: &'a M,
    /// The sagas, in the order in which they were given. Versions, times and attempts are not those of a real run.
    pub sagas: &'a [Arc<Instance>],
}

impl<M> Scene<'_, M> {
    /// Whether any of the sagas stands like this.
    pub fn any(&self, status: Status) -> bool {
        self.sagas.iter().any(|saga| saga.state.status() == status)
    }
}

/// Something that must hold, with its name.
pub(super) struct Condition<M> {
    pub(super) name: String,
    pub(super) holds: Holds<M>,
}

/// Whether a condition holds.
pub(super) type Holds<M> = Box<dyn Fn(&Scene<'_, M>) -> bool + Send + Sync>;
