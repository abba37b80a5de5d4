//! A participant's handlers by command type. The only place where a command's type is erased.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use super::handler::{External, Handle, Reply, Undo};
use crate::definition::Outcome;
use crate::fence::Recorded;
use crate::id::{Direction, MessageId};
use crate::message::{Command, CommandMessage, Fault, Participant, Payload, PayloadError, Undoes};

/// Begins the service of participant `P`, whose commands are all handled by `handlers`.
///
/// # Example: a service with one command and its undo
///
/// ```
/// # use saga_core::memory::MemoryTx;
/// # use saga_core::message::Fault;
/// # use saga_core::runtime::{Handle, Handled, Reply, Undo, service};
/// # use saga_core::{Command, Participant, Undoes};
/// # use serde::{Deserialize, Serialize};
/// # struct Inventory;
/// # impl Participant for Inventory { const NAME: &'static str = "inventory"; }
/// # macro_rules! command {
/// #     ($name:ident $type:literal) => {
/// #         #[derive(Serialize, Deserialize)]
/// #         struct $name;
/// #         impl Command for $name {
/// #             const TYPE: &'static str = $type;
/// #             type Participant = Inventory;
/// #             type Reply = ();
/// #             type Refusal = ();
/// #         }
/// #     };
/// # }
/// # command!(ReserveStock "inventory.reserve.v1");
/// # command!(ReleaseStock "inventory.release.v1");
/// # impl Undoes<ReserveStock> for ReleaseStock {}
/// # struct Stock;
/// # impl Handle<ReserveStock, MemoryTx<u32>> for Stock {
/// #     async fn handle(&self, _: ReserveStock, _: &mut MemoryTx<u32>) -> Handled<ReserveStock> {
/// #         Ok(Reply::Done(()))
/// #     }
/// # }
/// # impl Undo<ReserveStock, ReleaseStock, MemoryTx<u32>> for Stock {
/// #     async fn undo(&self, _: ReleaseStock, _: (), _: &mut MemoryTx<u32>) -> Result<(), Fault> {
/// #         Ok(())
/// #     }
/// # }
/// let inventory = service::<Inventory, _, _>(Stock).handle::<ReserveStock>().undo::<ReserveStock, ReleaseStock>();
/// ```
pub fn service<P: Participant, H: Send + Sync + 'static, Tx: Send + 'static>(
    handlers: H,
) -> Service<P, H, Tx> {
    Service {
        handlers: Arc::new(handlers),
        work: HashMap::new(),
        undos: HashMap::new(),
        external: HashMap::new(),
        external_undos: HashMap::new(),
        participant: PhantomData,
    }
}

/// A participant's handlers. Only commands that belong to `P` can be added.
pub struct Service<P, H, Tx> {
    handlers: Arc<H>,
    work: HashMap<&'static str, Work<Tx>>,
    undos: HashMap<&'static str, Undoing<Tx>>,
    external: HashMap<&'static str, Arc<dyn Calling>>,
    external_undos: HashMap<&'static str, Arc<dyn Calling>>,
    participant: PhantomData<fn(P)>,
}

/// A handler's answer, with its types erased.
pub(crate) enum Answered {
    Done(Payload),
    Refused(Payload),
}

pub(crate) type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;
pub(crate) type Work<Tx> =
    Box<dyn for<'a> Fn(&'a Payload, &'a mut Tx) -> Answering<'a, Answered> + Send + Sync>;
pub(crate) type Undoing<Tx> =
    Box<dyn for<'a> Fn(&'a Payload, &'a Payload, &'a mut Tx) -> Answering<'a, ()> + Send + Sync>;

/// An external handler, with its types erased.
pub(crate) trait Calling: Send + Sync {
    fn call<'a>(&'a self, body: &'a Payload, key: MessageId) -> Answering<'a, Answered>;
    fn undo<'a>(&'a self, key: MessageId, did: &'a Recorded) -> Answering<'a, ()>;
}

/// The handlers of a service, with all types but the transaction's erased.
pub(crate) struct Handlers<Tx> {
    pub(crate) work: HashMap<&'static str, Work<Tx>>,
    pub(crate) undos: HashMap<&'static str, Undoing<Tx>>,
    external: HashMap<&'static str, Arc<dyn Calling>>,
    external_undos: HashMap<&'static str, Arc<dyn Calling>>,
}

impl<Tx> Handlers<Tx> {
    pub(super) fn has_external(&self) -> bool {
        !self.external.is_empty()
    }

    /// The external handler that does or undoes this command, if one does. A close runs no handler.
    pub(super) fn external(&self, command: &CommandMessage) -> Option<&Arc<dyn Calling>> {
        let command_type = command.command_type.as_str();
        match command.direction {
            Direction::Do => self.external.get(command_type),
            Direction::Undo => self.external_undos.get(command_type),
            Direction::Close => None,
        }
    }

    /// The external handler of a command, or of the one that it undoes.
    pub(super) fn calling(&self, command_type: &str) -> Option<&Arc<dyn Calling>> {
        self.external.get(command_type).or_else(|| self.external_undos.get(command_type))
    }
}

impl<P: Participant, H: Send + Sync + 'static, Tx: Send + 'static> Service<P, H, Tx> {
    /// Takes the command `C`.
    pub fn handle<C: Command<Participant = P>>(mut self) -> Self
    where
        H: Handle<C, Tx>,
    {
        let handlers = self.handlers.clone();
        let work: Work<Tx> = Box::new(move |body, tx| {
            let handlers = handlers.clone();
            Box::pin(async move {
                let command = body.decode().map_err(unreadable)?;
                Answered::from_reply(handlers.handle(command, tx).await?)
            })
        });
        self.work.insert(C::TYPE, work);
        self
    }

    /// Takes the command `U`, which takes `C` back.
    pub fn undo<C: Command<Participant = P>, U: Undoes<C>>(mut self) -> Self
    where
        H: Undo<C, U, Tx>,
    {
        let handlers = self.handlers.clone();
        let undo: Undoing<Tx> = Box::new(move |body, recorded, tx| {
            let handlers = handlers.clone();
            Box::pin(async move {
                let command = body.decode().map_err(unreadable)?;
                let did = recorded.decode().map_err(unreadable)?;
                Undo::<C, U, Tx>::undo(&*handlers, command, did, tx).await
            })
        });
        self.undos.insert(U::TYPE, undo);
        self
    }

    /// Takes the command `C`, whose work is a call to another system.
    pub fn external<C: Command<Participant = P>>(mut self) -> Self
    where
        H: External<C>,
    {
        self.external.insert(C::TYPE, calling::<C, H>(&self.handlers));
        self
    }

    /// Takes the command `U`, which takes back the call of `C`.
    pub fn external_undo<C: Command<Participant = P>, U: Undoes<C>>(mut self) -> Self
    where
        H: External<C>,
    {
        self.external_undos.insert(U::TYPE, calling::<C, H>(&self.handlers));
        self
    }

    pub(crate) fn into_handlers(self) -> Handlers<Tx> {
        let Service { work, undos, external, external_undos, .. } = self;
        Handlers { work, undos, external, external_undos }
    }
}

impl Answered {
    fn from_reply<C: Command>(reply: Reply<C>) -> Result<Self, Fault> {
        match reply {
            Reply::Done(reply) => Payload::encode::<C::Reply>(&reply).map(Answered::Done),
            Reply::Refused(why) => Payload::encode::<C::Refusal>(&why).map(Answered::Refused),
        }
        .map_err(unreadable)
    }
}

/// An external handler of the command `C`.
struct ExternalOf<C, H> {
    handlers: Arc<H>,
    command: PhantomData<fn(C)>,
}

fn calling<C: Command, H: External<C>>(handlers: &Arc<H>) -> Arc<dyn Calling> {
    Arc::new(ExternalOf::<C, H> { handlers: handlers.clone(), command: PhantomData })
}

impl<C: Command, H: External<C>> Calling for ExternalOf<C, H> {
    fn call<'a>(&'a self, body: &'a Payload, key: MessageId) -> Answering<'a, Answered> {
        Box::pin(async move {
            let command = body.decode().map_err(unreadable)?;
            Answered::from_reply(self.handlers.call(command, key).await?)
        })
    }

    fn undo<'a>(&'a self, key: MessageId, did: &'a Recorded) -> Answering<'a, ()> {
        Box::pin(async move {
            let did = match did {
                Recorded::Reply(reply) => Outcome::Done(reply.decode().map_err(unreadable)?),
                Recorded::Unknown => Outcome::Unknown,
            };
            External::<C>::undo(&*self.handlers, key, did).await
        })
    }
}

/// A body that does not fit its type will not fit it next time either.
fn unreadable(error: PayloadError) -> Fault {
    Fault::permanent(error)
}
