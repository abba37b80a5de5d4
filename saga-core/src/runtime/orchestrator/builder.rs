//! Putting an orchestrator together and starting it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tracing::warn;

use super::admission::Admission;
use super::arrival::Arrival;
use super::batch::Batcher;
use super::feed::{self, Feed};
use super::limits::{Limits, ParticipantLimits, SagaLimits};
use super::local::{self, Handling, LocalSteps, LocalWork};
use super::mover::Mover;
use super::outcome::{self, Waiting};
use super::registry::Registry;
use super::retention::{self, Retention};
use super::{Inner, Orchestrator};
use crate::definition::{Definition, DefinitionRef, Plan, Saga, SubSaga};
use crate::id::{Destination, NameError, ParticipantName, SagaName};
use crate::message::{Local, Participant};
use crate::port::{
    History, IdSource, Outbox, RandomIds, Retire, RunIn, Store, StoreError, Transport, TransportError,
};
use crate::runtime::Service;
use crate::runtime::contact::Contact;
use crate::runtime::lifecycle::Tasks;
use crate::runtime::relay::{self, Listeners};

/// An orchestrator that is being put together.
#[must_use = "an orchestrator does nothing until it is started"]
pub struct OrchestratorBuilder<S> {
    store: Arc<S>,
    transport: Arc<dyn Transport>,
    replies: String,
    registry: Registry,
    limits: Limits,
    /// Where other sagas send what they ask of those that are run for them.
    served: BTreeSet<&'static str>,
    /// The first one that was made.
    mistake: Option<OrchestratorError>,
    retention: Option<(Arc<dyn Retire>, Retention)>,
    local: Option<Arc<dyn LocalSteps>>,
    local_steps_per_transaction: usize,
    grace: Duration,
    ids: Arc<dyn IdSource>,
}

/// An orchestrator could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrchestratorError {
    /// The replies' destination has a name that some broker cannot carry.
    #[error("the replies' destination: {0}")]
    BadName(#[from] NameError),
    /// Two definitions with one name and version were registered.
    #[error("{0} is registered twice; give the changed definition a new version")]
    RegisteredTwice(DefinitionRef),
    /// A saga with a pivot was registered to be run by others, which could then not take it back.
    #[error(
        "{0} has a pivot, so no other saga could take it back as its step; leave the pivot to the other one"
    )]
    SubSagaWithPivot(DefinitionRef),
    /// A saga or a participant whose limits are set has a name that some broker cannot carry.
    #[error("limits are set for what has no name: {0}")]
    BadLimitName(NameError),
    /// A limit makes no sense.
    #[error("{0}")]
    BadLimit(String),
    /// A definition has a local step without code.
    #[error("{definition} has the local command {command_type}, and no handler for it was given to `local`")]
    NoLocalHandler {
        /// The definition.
        definition: DefinitionRef,
        /// The command or undo that nobody handles.
        command_type: String,
    },
    /// A notification's topic has the name of a queue, of which some brokers would make one and the same.
    #[error(
        "{0} has the name of a participant or of the replies' destination; call the topic something else"
    )]
    TopicLikeQueue(Destination),
    /// No definition was registered.
    #[error("no definition is registered; call `register` before `start`")]
    NothingRegistered,
    /// The store refused, for example because a definition changed without a new version.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker refused, for example because a queue of another kind has a destination's name.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl<S: Store + Outbox + History> Orchestrator<S> {
    /// Begins an orchestrator over a store and a transport. Replies come to the destination `replies`, which all
    /// orchestrators over one store share, and nobody else.
    pub fn builder(
        store: Arc<S>,
        transport: Arc<dyn Transport>,
        replies: impl Into<String>,
    ) -> OrchestratorBuilder<S> {
        OrchestratorBuilder {
            store,
            transport,
            replies: replies.into(),
            registry: Registry::default(),
            limits: Limits::default(),
            served: BTreeSet::new(),
            mistake: None,
            retention: None,
            local: None,
            local_steps_per_transaction: 1,
            grace: feed::TIMER_GRACE,
            ids: Arc::new(RandomIds),
        }
    }
}

impl<S: Retire> OrchestratorBuilder<S> {
    /// Retires sagas some time after their end. Nothing is retired unless this is said: how long a business keeps what
    /// it has done is not ours to guess.
    pub fn retention(self, retention: Retention) -> Self {
        OrchestratorBuilder { retention: Some((self.store.clone(), retention)), ..self }
    }
}

impl<S: Store + Outbox + History> OrchestratorBuilder<S> {
    /// Makes a definition known. Several versions of one saga may stand side by side; new sagas take the newest.
    pub fn register<T: Saga>(mut self, definition: &Definition<T>) -> Self {
        if !self.registry.add(definition.plan().clone()) {
            let twice = definition.plan().reference().clone();
            self.mistake.get_or_insert(OrchestratorError::RegisteredTwice(twice));
        }
        self
    }

    /// Makes a definition known, and has this orchestrator run it for other sagas: it takes the commands of the
    /// participant `T::Orchestrator`. New ones take the newest version that is registered so.
    pub fn register_sub_saga<T: SubSaga>(self, definition: &Definition<T>) -> Self {
        let plan = definition.plan();
        let mut builder = self.register(definition);
        builder.registry.open_to_parents(plan);
        builder.served.insert(T::Orchestrator::NAME);
        if !plan.can_be_sub_saga() {
            let pivoted = plan.reference().clone();
            builder.mistake.get_or_insert(OrchestratorError::SubSagaWithPivot(pivoted));
        }
        builder
    }

    /// Limits how many sagas of this type may be under way, and how fast they may start.
    pub fn limit<T: Saga>(mut self, limits: SagaLimits) -> Self {
        match SagaName::new(T::NAME) {
            Ok(saga) => drop(self.limits.sagas.insert(saga, limits)),
            Err(error) => drop(self.mistake.get_or_insert(OrchestratorError::BadLimitName(error))),
        }
        self
    }

    /// Has no saga start that would ask a participant which has too much to do, or does not answer.
    pub fn limit_participant<P: Participant>(mut self, limits: ParticipantLimits) -> Self {
        match ParticipantName::new(P::NAME) {
            Ok(participant) => drop(self.limits.participants.insert(participant, limits)),
            Err(error) => drop(self.mistake.get_or_insert(OrchestratorError::BadLimitName(error))),
        }
        self
    }

    /// Has no saga start while so many messages wait for the broker.
    pub fn limit_unsent(mut self, messages: u64) -> Self {
        self.limits.unsent = Some(messages);
        self
    }

    /// Gives the code of the local steps: handlers that work in the transaction in which their saga moves.
    pub fn local<H: Send + Sync + 'static>(self, service: Service<Local, H, S::Tx>) -> Self
    where
        S: RunIn,
    {
        let handling = Handling { store: self.store.clone(), handlers: service.into_handlers() };
        OrchestratorBuilder { local: Some(Arc::new(handling)), ..self }
    }

    /// How many sagas' local steps may share a transaction, from 1 to 32; 1 unless said otherwise.
    ///
    /// More are faster, because they share a commit. Each has a savepoint, so a refusal or a fault harms no other; if the
    /// commit fails, each is tried alone. Handlers of one transaction run one after the other, for half a second, and hold
    /// their locks until all are done; one that is slower than that is run again alone. So this is for handlers that only
    /// write rows. One that ends the transaction, which it must not, also ends that of the others.
    pub fn local_steps_per_transaction(self, steps: usize) -> Self {
        OrchestratorBuilder { local_steps_per_transaction: steps.clamp(1, local::STEPS_MAX), ..self }
    }

    /// How late a timer may be taken; 30 seconds unless said otherwise. One that is later has waited for an orchestrator,
    /// and is put off once by as much, so that an outage spends no attempt and no deadline of a step. While the broker is
    /// out of reach no timer fires, and after that for as long as it was, at most for so long.
    pub fn grace(self, grace: Duration) -> Self {
        OrchestratorBuilder { grace, ..self }
    }

    /// Takes ids from another source than the machine's randomness; for simulations that repeat.
    pub fn ids(self, ids: Arc<dyn IdSource>) -> Self {
        OrchestratorBuilder { ids, ..self }
    }

    /// Starts the orchestrator: registers the definitions, declares the destinations, and begins to work.
    ///
    /// # Errors
    ///
    /// [`OrchestratorError`] says what stands in the way. A store or broker that is only away is waited for once the
    /// orchestrator runs, but must be there when it starts, so that a mistake in the configuration shows at once.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: starting again is harmless.
    pub async fn start(self) -> Result<Orchestrator<S>, OrchestratorError> {
        let replies = Destination::new(&self.replies)?;
        let read = self.sources()?;
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let known = self.registry.references();
        if known.is_empty() {
            return Err(OrchestratorError::NothingRegistered);
        }
        if let Some(mistake) = self.limits.mistake(&self.registry) {
            return Err(OrchestratorError::BadLimit(mistake));
        }
        self.check_local()?;
        let mut destinations = self.registry.destinations();
        destinations.extend(read.iter().cloned());
        check_topics(&destinations)?;
        self.store.register(&known).await?;
        if let Some((store, _)) = &self.retention {
            store.note_participants(&self.registry.participants()).await?;
        }
        self.transport.declare(&destinations).await?;
        report_unknown(&*self.store, &known).await?;
        let admission = Admission::open(self.limits.clone(), &self.registry, &*self.store).await?;
        Ok(self.spawn(replies, read, known, admission))
    }

    /// What this orchestrator reads: the replies, and the commands of other sagas.
    fn sources(&self) -> Result<BTreeSet<Destination>, NameError> {
        self.served.iter().copied().chain([self.replies.as_str()]).map(Destination::new).collect()
    }

    fn check_local(&self) -> Result<(), OrchestratorError> {
        let missing = |plan: &Plan| {
            let command_type = local::missing(plan, self.local.as_ref())?;
            Some(OrchestratorError::NoLocalHandler { definition: plan.reference().clone(), command_type })
        };
        self.registry.plans().find_map(missing).map_or(Ok(()), Err)
    }

    fn spawn(
        self,
        replies: Destination,
        read: BTreeSet<Destination>,
        known: Vec<DefinitionRef>,
        admission: Option<Admission>,
    ) -> Orchestrator<S> {
        let (mut tasks, mut sending) = (Tasks::new(&*self.ids), Tasks::new(&*self.ids));
        let (undeliverable, set_aside) = mpsc::channel(feed::UNDELIVERABLE_MAX);
        let contact = Contact::default();
        let listeners = Listeners { undeliverable: Some(undeliverable), contact: contact.clone() };
        let relay = relay::start(self.store.clone(), self.transport.clone(), listeners, &mut sending);
        let mover = Mover {
            store: self.store.clone(),
            registry: self.registry,
            replies,
            ids: self.ids,
            relay,
            waiting: Waiting::default(),
        };
        let (inbox, arrivals) = mpsc::channel::<Arrival>(feed::INBOX_MAX);
        let local = self.local.map_or_else(LocalWork::default, |steps| {
            let sharing = self.local_steps_per_transaction;
            LocalWork::start(steps, sharing, mover.clone(), inbox.downgrade(), &mut tasks)
        });
        let batcher = Batcher { mover: mover.clone(), local: local.clone(), stopping: tasks.stopping() };
        tasks.spawn(batcher.run(arrivals));
        let feed = Feed {
            store: self.store.clone(),
            known,
            inbox: inbox.downgrade(),
            contact,
            grace: self.grace,
            stopping: tasks.stopping(),
        };
        feed.start(&self.transport, read, set_aside, &mut tasks);
        tasks.spawn(outcome::poll(mover.waiting.clone(), self.store.clone(), tasks.stopping()));
        if let Some(admission) = admission.clone() {
            tasks.spawn(admission.run(self.store.clone(), tasks.stopping()));
        }
        if let Some((store, retention)) = self.retention {
            tasks.spawn(retention::retire(store, retention, tasks.stopping()));
        }
        let (intake, sending) = (Mutex::new(tasks), Mutex::new(sending));
        let inner = Inner { store: self.store, mover, inbox, admission, local, intake, sending };
        Orchestrator(Arc::new(inner))
    }
}

fn check_topics(destinations: &[Destination]) -> Result<(), OrchestratorError> {
    let (topics, queues): (Vec<_>, Vec<_>) = destinations.iter().partition(|one| one.is_topic());
    match topics.into_iter().find(|topic| queues.iter().any(|queue| queue.as_str() == topic.as_str())) {
        Some(topic) => Err(OrchestratorError::TopicLikeQueue(topic.clone())),
        None => Ok(()),
    }
}

/// Says which unfinished sagas this process leaves alone.
async fn report_unknown(store: &(impl History + ?Sized), known: &[DefinitionRef]) -> Result<(), StoreError> {
    for unknown in store.health(known).await?.unknown {
        let (definition, unfinished) = (unknown.definition, unknown.unfinished);
        warn!(%definition, unfinished, "sagas are left alone, because this process does not know their definition");
    }
    Ok(())
}
