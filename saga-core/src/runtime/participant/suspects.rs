//! Commands that may take the process down, and those that do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fence::FenceKey;
use crate::id::Direction;

/// What one process knows of commands that may take it down. The next process begins anew, with handlers that may be
/// better.
#[derive(Default)]
pub(super) struct Suspects(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// How many deliveries of a command are suspect and not yet settled.
    waiting: HashMap<Name, usize>,
    /// Each of these has ended several processes, so they are few.
    poison: HashSet<Name>,
}

/// A command, whichever attempt brought it.
type Name = (FenceKey, Direction);

impl Suspects {
    /// Suspects a delivery if it may be a repeat, or if it is of a command that is suspected: whatever the attempt,
    /// it would end the process just the same, before the one that is counted could be.
    pub(super) fn suspect(self: &Arc<Self>, name: Name, redelivered: bool) -> Option<Suspicion> {
        let mut known = self.lock();
        let suspected = redelivered || known.waiting.contains_key(&name) || known.poison.contains(&name);
        suspected.then(|| {
            *known.waiting.entry(name.clone()).or_default() += 1;
            Suspicion { suspects: self.clone(), name }
        })
    }

    /// A panic under the lock is a bug of this file and leaves whole entries behind, so the lock is not poisoned.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One delivery that is suspect. It ends when this is dropped.
pub(super) struct Suspicion {
    suspects: Arc<Suspects>,
    name: Name,
}

impl Suspicion {
    /// Remembers that the command takes the process down.
    pub(super) fn confirm(&self) {
        self.suspects.lock().poison.insert(self.name.clone());
    }

    /// Whether the command is known to take the process down.
    pub(super) fn is_confirmed(&self) -> bool {
        self.suspects.lock().poison.contains(&self.name)
    }
}

impl Drop for Suspicion {
    fn drop(&mut self) {
        let waiting = &mut self.suspects.lock().waiting;
        if let Some(count) = waiting.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.name);
            }
        }
    }
}
