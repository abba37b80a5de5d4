//! What an adapter tells the suite about its broker.

use std::sync::Arc;

use async_trait::async_trait;
use saga_core::id::Destination;
use saga_core::port::{IdSource, RandomIds, Transport};

use crate::suite::Skipped;
use crate::{TcpProxy, Toward};

/// Reaches one broker. Each scenario starts a harness of its own.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// Finds the broker. `None` if there is none to test against; see [`server`](crate::suite::server).
    async fn start() -> Option<Self>
    where
        Self: Sized;

    /// A fresh client of the broker, as another process would be.
    async fn connect(&self) -> Arc<dyn Transport>;

    /// A name that no test before had.
    fn unique(&self, what: &str) -> Destination {
        let name = format!("suite.{what}.{}", RandomIds.uuid().simple());
        Destination::new(name).expect("the suite's names are proper ones")
    }

    /// What every client's connections go through, if that can be cut. Gives the faults below to the suite.
    fn proxy(&self) -> Option<&TcpProxy> {
        None
    }

    /// Cuts every connection; the broker is away until [`mend`](Self::mend).
    ///
    /// # Errors
    ///
    /// [`Skipped`] if that cannot be done.
    async fn sever(&self) -> Result<(), Skipped> {
        let proxy = self.proxy().ok_or(Skipped::because("the harness cannot cut connections"))?;
        proxy.refuse();
        proxy.cut_all();
        Ok(())
    }

    /// Lets the network fall silent until [`mend`](Self::mend): connections stay, and nothing goes through.
    ///
    /// # Errors
    ///
    /// [`Skipped`] if that cannot be done.
    async fn silence(&self) -> Result<(), Skipped> {
        let proxy = self.proxy().ok_or(Skipped::because("the harness cannot silence the network"))?;
        proxy.stall(Toward::Server);
        proxy.stall(Toward::Client);
        Ok(())
    }

    /// Makes the network whole again.
    async fn mend(&self) {
        if let Some(proxy) = self.proxy() {
            proxy.resume();
            proxy.allow();
        }
    }

    /// Restarts the broker, the hard way if possible, and returns when it serves again.
    ///
    /// # Errors
    ///
    /// [`Skipped`] if that cannot be done.
    async fn restart(&self) -> Result<(), Skipped> {
        Err(Skipped::because("the harness cannot restart the broker"))
    }

    /// Cleans up after a scenario that has passed.
    async fn finish(self)
    where
        Self: Sized,
    {
    }
}
