//! Drives the machine and the fence over the ports: the orchestrator, the participant, the relay and the subscriber.
//!
//! Nothing is decided here. A runtime takes what has arrived, asks the pure core, stores the answer in one
//! transaction for the batch, and only then settles with the broker.

mod contact;
mod crew;
mod lifecycle;
mod orchestrator;
mod participant;
mod relay;
mod settling;
mod subscriber;

pub use orchestrator::{
    Busy, ChildElsewhere, Health, OperateError, Orchestrator, OrchestratorBuilder, OrchestratorError,
    OutcomeError, ParticipantLimits, Retention, SagaHandle, SagaLimits, SagaOutcome, SagaView, StartError,
    StartedIn,
};
pub use participant::{
    External, Handle, Handled, ParticipantBuilder, ParticipantError, Participating, Reply, Service, Undo,
    participant, service,
};
pub use subscriber::{Hear, SubscriberBuilder, SubscriberError, Subscribing, subscriber};
