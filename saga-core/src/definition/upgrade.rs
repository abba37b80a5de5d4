//! Which sagas of an older version of a definition may move to a newer one.

use std::sync::Arc;

use super::script::guarded;
use super::{Plan, Saga, ScriptError};
use crate::message::{Payload, PayloadError};

/// How sagas of an older version move to the one that offers this.
pub(crate) struct Upgrade {
    pub(crate) from: Arc<Plan>,
    migrate: Box<Migrate>,
}

type Migrate = dyn Fn(&Payload) -> Result<Payload, ScriptError> + Send + Sync;

impl Upgrade {
    /// The data stays as it is.
    pub(super) fn of(from: Arc<Plan>) -> Self {
        Upgrade { from, migrate: Box::new(|data| Ok(data.clone())) }
    }

    /// The new data is made of the old.
    pub(super) fn with<O: Saga, S: Saga>(from: Arc<Plan>, migrate: fn(O) -> S) -> Self {
        let migrated = move |data: &Payload| {
            let failed = |error: PayloadError| ScriptError::Payload {
                what: "the data to upgrade",
                of: S::NAME,
                error: error.to_string(),
            };
            let old = data.decode().map_err(failed)?;
            Payload::encode(&guarded("upgrade_from_with", S::NAME, || migrate(old))?).map_err(failed)
        };
        Upgrade { from, migrate: Box::new(migrated) }
    }

    pub(crate) fn migrate(&self, data: &Payload) -> Result<Payload, ScriptError> {
        (self.migrate)(data)
    }
}
