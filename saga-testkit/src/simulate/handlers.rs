//! What happens to handlers: they fail, panic, hang, and take their process down.

use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::Arc;

use saga_core::Outcome;
use saga_core::id::MessageId;
use saga_core::message::{Command, Fault as HandlerFault, Undoes};
use saga_core::runtime::{External, Handle, Handled, Undo};

use super::fault::Fault;
use super::gateway::Gateway;
use super::participants::HANDLER_TIMEOUT;
use super::process::Process;

/// What a simulated participant's handlers are put into, so that they can go wrong.
#[derive(Clone)]
pub struct Troubles(pub(super) Arc<Process>);

impl Troubles {
    /// The handlers, which go wrong now and then: before they have done anything, or after they have done everything.
    pub fn around<H>(&self, handlers: H) -> Troubled<H> {
        Troubled { handlers, process: self.0.clone() }
    }

    /// The other system that external handlers call; all processes of a run have the same.
    pub fn gateway(&self) -> Gateway {
        Gateway(self.0.clone())
    }

    /// The same as a value that is drawn from the run's chance: true so many times of a thousand.
    pub fn chance(&self, per_mille: usize) -> bool {
        self.0.world.roll(1000) < per_mille
    }
}

/// Handlers that go wrong now and then.
pub struct Troubled<H> {
    handlers: H,
    process: Arc<Process>,
}

impl<C: Command + Sync, Tx: Send, H: Handle<C, Tx>> Handle<C, Tx> for Troubled<H> {
    async fn handle(&self, command: C, tx: &mut Tx) -> Handled<C> {
        self.kill_if_poison(&command).await;
        self.trouble().await?;
        let answered = self.handlers.handle(command, tx).await;
        self.trouble().await?;
        answered
    }
}

impl<C, U, Tx, H> Undo<C, U, Tx> for Troubled<H>
where
    C: Command + Sync,
    U: Undoes<C> + Sync,
    Tx: Send,
    H: Undo<C, U, Tx>,
{
    async fn undo(&self, command: U, did: C::Reply, tx: &mut Tx) -> Result<(), HandlerFault> {
        self.trouble().await?;
        self.handlers.undo(command, did, tx).await?;
        self.trouble().await
    }
}

impl<C: Command + Sync, H: External<C>> External<C> for Troubled<H>
where
    C::Reply: Sync,
{
    async fn call(&self, command: C, key: MessageId) -> Handled<C> {
        self.kill_if_poison(&command).await;
        self.trouble().await?;
        let answered = self.handlers.call(command, key).await;
        self.trouble().await?;
        answered
    }

    /// An undo that can never succeed needs a human, whom nobody plays here.
    async fn undo(&self, key: MessageId, did: Outcome<C::Reply>) -> Result<(), HandlerFault> {
        self.trouble().await.map_err(HandlerFault::temporary)?;
        self.handlers.undo(key, did).await
    }
}

impl<H> Troubled<H> {
    async fn kill_if_poison<C: Command>(&self, command: &C) {
        let mut hasher = DefaultHasher::new();
        (C::TYPE, serde_json::to_vec(command).ok()).hash(&mut hasher);
        if self.process.world.is_poison(hasher.finish()) {
            self.process.note(format_args!("{} is poison", C::TYPE));
            self.process.die();
            pending::<()>().await;
        }
    }

    async fn trouble(&self) -> Result<(), HandlerFault> {
        let world = &self.process.world;
        if world.strikes(Fault::HandlerPanics) {
            self.process.note(format_args!("a handler panics"));
            // Unlike `panic!` this prints nothing.
            resume_unwind(Box::new("the simulator has this handler panic"));
        }
        if world.strikes(Fault::HandlerHangs) {
            self.process.note(format_args!("a handler hangs"));
            tokio::time::sleep(2 * HANDLER_TIMEOUT).await;
        }
        if world.strikes(Fault::HandlerFails) {
            self.process.note(format_args!("a handler fails"));
            let why = "the simulator has this handler fail";
            return Err(match world.roll(10) {
                0 => HandlerFault::permanent(why),
                _ => HandlerFault::temporary(why),
            });
        }
        Ok(())
    }
}
