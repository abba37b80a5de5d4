//! What whoever moves sagas works with: the batch loop, and the workers of local steps.

use std::sync::Arc;

use super::fold::Folding;
use super::outcome::Waiting;
use super::registry::Registry;
use crate::id::Destination;
use crate::policy::Timestamp;
use crate::port::{IdSource, Store};
use crate::runtime::relay::RelayHandle;

/// Where sagas are, what they are, and who hears of their moves. Cheap to clone.
#[derive(Clone)]
pub(super) struct Mover {
    pub(super) store: Arc<dyn Store>,
    pub(super) registry: Registry,
    pub(super) replies: Destination,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) relay: RelayHandle,
    pub(super) waiting: Waiting,
}

impl Mover {
    /// What a fold at this time needs.
    pub(super) fn folding(&self, now: Timestamp) -> Folding<'_> {
        Folding { now, replies: &self.replies, ids: &*self.ids }
    }
}
