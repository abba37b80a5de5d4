//! Handlers that misbehave on demand, so that tests and demonstrations can show what becomes of it.

use saga_core::message::Fault;

/// Whether items of certain names make their handler fail. Off, they are items like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Faults {
    /// Whether they do.
    pub on: bool,
}

impl Faults {
    /// Fails as the first item that has such a name says.
    ///
    /// # Errors
    ///
    /// A permanent [`Fault`] for [`BROKEN`].
    ///
    /// # Panics
    ///
    /// For [`PANICS`]. For [`ABORTS`] the whole process ends, and for [`HANGS`] this never returns.
    pub async fn strike(self, items: &[&str]) -> Result<(), Fault> {
        for item in items.iter().filter(|_| self.on) {
            match *item {
                PANICS => panic!("a handler panics, as it was told to"),
                ABORTS => std::process::abort(),
                HANGS => std::future::pending().await,
                BROKEN => return Err(Fault::permanent("the scale is broken")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The item whose handler panics.
pub const PANICS: &str = "faulty-panics";

/// The item whose handler takes the process down.
pub const ABORTS: &str = "faulty-aborts";

/// The item whose handler never returns.
pub const HANGS: &str = "faulty-hangs";

/// The item whose handler answers that a human is needed.
pub const BROKEN: &str = "faulty-broken";
