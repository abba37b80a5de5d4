//! How many sagas may be under way, and how fast new ones may begin.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::registry::Registry;
use crate::definition::{Plan, StepPlan};
use crate::id::{ParticipantName, SagaName, StepName};
use crate::port::Workload;

/// Limits for the sagas of one type, kept when they start. None by default.
///
/// # Example: at most 1,000 at once and 50 a second, and whoever comes too early waits for up to five seconds
///
/// ```
/// use std::time::Duration;
/// use saga_core::runtime::SagaLimits;
///
/// let limits = SagaLimits::default().in_flight(1000).per_second(50).wait(Duration::from_secs(5));
/// # let _ = limits;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SagaLimits {
    pub(super) in_flight: Option<u64>,
    pub(super) per_second: Option<u32>,
    pub(super) wait: Duration,
    pub(super) priority: u8,
}

impl SagaLimits {
    /// How many may be under way at once, in all processes: neither ended nor parked.
    ///
    /// A process never starts one too many of its own accord. Of those that other processes have started it learns
    /// within a quarter of a second, so several processes may exceed it by what they start meanwhile.
    #[must_use]
    pub fn in_flight(self, sagas: u64) -> Self {
        SagaLimits { in_flight: Some(sagas), ..self }
    }

    /// How many this process may start in a second. After a rest, the sagas of one second may start at once.
    #[must_use]
    pub fn per_second(self, sagas: u32) -> Self {
        SagaLimits { per_second: Some(sagas), ..self }
    }

    /// How long a start waits until the limits allow it. Zero by default: it is refused at once.
    #[must_use]
    pub fn wait(self, at_most: Duration) -> Self {
        SagaLimits { wait: at_most, ..self }
    }

    /// Of the starts that wait, those with a higher priority go first. Zero by default.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        SagaLimits { priority, ..self }
    }
}

/// Limits for what a participant is asked, kept when sagas start that will ask it. None by default.
///
/// They hold back new sagas, and never a command of a saga that is under way: a command that is held back would be
/// missed, asked for again, and be two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ParticipantLimits {
    pub(super) in_flight: Option<u64>,
    pub(super) per_second: Option<u32>,
    pub(super) unanswered: Option<u64>,
}

impl ParticipantLimits {
    /// How many of its commands may be out, in all sagas and processes, for a new saga to start. What is under way asks
    /// on, so the number may be exceeded.
    #[must_use]
    pub fn in_flight(self, commands: u64) -> Self {
        ParticipantLimits { in_flight: Some(commands), ..self }
    }

    /// How many sagas that will ask it this process may start in a second. After a rest, those of one second may start
    /// at once.
    #[must_use]
    pub fn per_second(self, sagas: u32) -> Self {
        ParticipantLimits { per_second: Some(sagas), ..self }
    }

    /// The circuit breaker: no new saga starts while so many of its commands had to be sent more than once and are
    /// still not answered. What is under way asks on, and so finds out when the participant is there again.
    #[must_use]
    pub fn unanswered(self, commands: u64) -> Self {
        ParticipantLimits { unanswered: Some(commands), ..self }
    }
}

/// Why a saga may not start now. It may later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Busy {
    /// Too many sagas of its type are under way.
    #[error("{limit} sagas of {saga} may be under way, and are")]
    Sagas {
        /// The saga type.
        saga: SagaName,
        /// Its limit.
        limit: u64,
    },
    /// Too many sagas of its type were started just now.
    #[error("{limit} sagas of {saga} may start in a second, and have")]
    Rate {
        /// The saga type.
        saga: SagaName,
        /// Its limit.
        limit: u32,
    },
    /// One of its participants has too much to do.
    #[error("{participant} has {in_flight} commands to answer, and {limit} are enough")]
    Participant {
        /// The participant.
        participant: ParticipantName,
        /// How many of its commands are out.
        in_flight: u64,
        /// Its limit.
        limit: u64,
    },
    /// Too many sagas that ask one of its participants were started just now.
    #[error("{limit} sagas that ask {participant} may start in a second, and have")]
    ParticipantRate {
        /// The participant.
        participant: ParticipantName,
        /// Its limit.
        limit: u32,
    },
    /// One of its participants does not answer.
    #[error("{participant} does not answer: {unanswered} commands were sent to it again and again")]
    Unanswered {
        /// The participant.
        participant: ParticipantName,
        /// How many commands that is.
        unanswered: u64,
    },
    /// The broker takes too little.
    #[error("{unsent} messages wait for the broker, and {limit} are enough")]
    Broker {
        /// How many wait.
        unsent: u64,
        /// The limit.
        limit: u64,
    },
}

impl Busy {
    /// The reason's name in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Busy::Sagas { .. } => "sagas",
            Busy::Rate { .. } => "rate",
            Busy::Participant { .. } => "participant",
            Busy::ParticipantRate { .. } => "participant_rate",
            Busy::Unanswered { .. } => "unanswered",
            Busy::Broker { .. } => "broker",
        }
    }

    /// Whether sagas of this plan would take what is short here.
    pub(super) fn concerns(&self, plan: &Plan) -> bool {
        match self {
            Busy::Sagas { saga, .. } | Busy::Rate { saga, .. } => plan.reference().name == *saga,
            Busy::Participant { participant, .. }
            | Busy::ParticipantRate { participant, .. }
            | Busy::Unanswered { participant, .. } => asks(plan, participant),
            Busy::Broker { .. } => true,
        }
    }
}

/// All limits of one orchestrator.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    pub(super) sagas: BTreeMap<SagaName, SagaLimits>,
    pub(super) participants: BTreeMap<ParticipantName, ParticipantLimits>,
    pub(super) unsent: Option<u64>,
}

impl Limits {
    pub(super) fn are_none(&self) -> bool {
        self.sagas.is_empty() && self.participants.is_empty() && self.unsent.is_none()
    }

    /// What is limited although nothing of it can ever happen, or a limit that lets nothing through.
    pub(super) fn mistake(&self, registry: &Registry) -> Option<String> {
        let plans = || registry.plans();
        let stray = self.sagas.keys().find(|saga| plans().all(|plan| plan.reference().name != **saga));
        let unasked = self.participants.keys().find(|who| !plans().any(|plan| asks(plan, who)));
        let nothing = self.sagas.iter().find(|(_, limits)| limits.let_nothing_through());
        let idle = self.participants.iter().find(|(_, limits)| limits.let_nothing_through());
        stray
            .map(|saga| format!("a limit is set for {saga}, which is not registered"))
            .or_else(|| unasked.map(|who| format!("a limit is set for {who}, which no registered saga asks")))
            .or_else(|| nothing.map(|(saga, _)| format!("a limit of zero keeps every {saga} from starting")))
            .or_else(|| {
                idle.map(|(who, _)| format!("a limit of zero keeps all from starting that ask {who}"))
            })
            .or_else(|| (self.unsent == Some(0)).then(|| "a limit of zero keeps all from starting".into()))
    }
}

impl SagaLimits {
    const fn let_nothing_through(&self) -> bool {
        matches!(self.in_flight, Some(0)) || matches!(self.per_second, Some(0))
    }
}

impl ParticipantLimits {
    const fn let_nothing_through(&self) -> bool {
        let nothing = matches!(self.in_flight, Some(0)) || matches!(self.unanswered, Some(0));
        nothing || matches!(self.per_second, Some(0))
    }
}

/// A workload by what is limited.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    sagas: BTreeMap<SagaName, u64>,
    participants: BTreeMap<ParticipantName, Asked>,
    unsent: u64,
}

/// The commands that a participant has to answer, and how many of them were sent more than once.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    in_flight: u64,
    unanswered: u64,
}

impl Counted {
    /// Steps of definitions that are not registered are left out: nobody here knows whom they ask.
    pub(super) fn of(workload: &Workload, registry: &Registry) -> Self {
        let mut counted = Counted { unsent: workload.unsent, ..Counted::default() };
        for (definition, count) in &workload.sagas {
            *counted.sagas.entry(definition.name.clone()).or_default() += count;
        }
        for awaited in &workload.awaited {
            let plan = registry.plan(&awaited.definition);
            let Some(who) = plan.and_then(|plan| participant(plan, &awaited.step)) else { continue };
            let asked = counted.participants.entry(who.clone()).or_default();
            asked.in_flight += awaited.count;
            asked.unanswered += awaited.repeated;
        }
        counted
    }

    /// What sagas are expected to come to: of each type, whom they ask, and how many.
    pub(super) fn expected<'a>(
        sagas: impl Iterator<Item = (&'a SagaName, &'a BTreeSet<ParticipantName>, u64)>,
    ) -> Self {
        let mut expected = Counted::default();
        for (saga, participants, count) in sagas {
            expected.sagas.insert(saga.clone(), count);
            for participant in participants {
                expected.participants.entry(participant.clone()).or_default().in_flight += count;
            }
        }
        expected
    }

    /// Whether a saga may start, beside what is counted and what is under way beyond that.
    pub(super) fn allows(&self, limits: &Limits, plan: &Plan, beyond: &Counted) -> Result<(), Busy> {
        if let Some(limit) = limits.unsent.filter(|limit| self.unsent >= *limit) {
            return Err(Busy::Broker { unsent: self.unsent, limit });
        }
        participants(plan).into_iter().try_for_each(|who| self.allows_to_ask(limits, who, beyond))?;
        let saga = &plan.reference().name;
        let under_way = self.of_saga(saga) + beyond.of_saga(saga);
        match limits.sagas.get(saga).and_then(|limits| limits.in_flight) {
            Some(limit) if under_way >= limit => Err(Busy::Sagas { saga: saga.clone(), limit }),
            Some(_) | None => Ok(()),
        }
    }

    fn of_saga(&self, saga: &SagaName) -> u64 {
        self.sagas.get(saga).copied().unwrap_or_default()
    }

    fn asked(&self, participant: &ParticipantName) -> Asked {
        self.participants.get(participant).copied().unwrap_or_default()
    }

    fn allows_to_ask(
        &self,
        limits: &Limits,
        participant: &ParticipantName,
        beyond: &Counted,
    ) -> Result<(), Busy> {
        let Some(limits) = limits.participants.get(participant) else { return Ok(()) };
        let Asked { in_flight, unanswered } = self.asked(participant);
        let in_flight = in_flight + beyond.asked(participant).in_flight;
        let participant = || participant.clone();
        if limits.unanswered.is_some_and(|limit| unanswered >= limit) {
            return Err(Busy::Unanswered { participant: participant(), unanswered });
        }
        match limits.in_flight {
            Some(limit) if in_flight >= limit => {
                Err(Busy::Participant { participant: participant(), in_flight, limit })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether the sagas of a plan ask somebody.
fn asks(plan: &Plan, who: &ParticipantName) -> bool {
    plan.steps().iter().filter_map(StepPlan::command).any(|command| command.participant == *who)
}

/// Whom the sagas of a plan ask.
pub(super) fn participants(plan: &Plan) -> BTreeSet<&ParticipantName> {
    plan.steps().iter().filter_map(StepPlan::command).map(|command| &command.participant).collect()
}

/// Whom a step asks, if it asks somebody.
fn participant<'a>(plan: &'a Plan, step: &StepName) -> Option<&'a ParticipantName> {
    plan.steps()[plan.position(step)?].command().map(|command| &command.participant)
}
