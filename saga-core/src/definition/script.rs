//! The user's code behind one wall: typed on the inside, bytes on the outside, and panics stop here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::items::{CompensateEach, Each, item_of, named};
use super::notification::Notification;
use super::pause::Pause;
use super::signal::Signal;
use super::step::{Compensate, Outcome, Saga, Step};
use crate::id::StepName;
use crate::message::{Payload, PayloadError};
use crate::policy::DURATION_MAX;

/// The code of a saga's steps. This is the only place where a saga's type is erased.
pub(crate) trait Script: Send + Sync {
    /// Reads a saga's data, to work with it for one transition.
    fn open<'a>(&'a self, data: &Payload) -> Result<Box<dyn Page + 'a>, ScriptError>;
    /// The least yes and the least no that a step can be answered.
    fn least(&self, step: usize) -> [Result<Payload, ScriptError>; 2];
}

/// Which step is meant: by its place in the plan, and the item that it is for, if it is for one.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    step: usize,
    item: &'a str,
}

impl<'a> At<'a> {
    /// The step at `step` under the name that it is asked by.
    pub(crate) fn of(step: usize, name: &'a StepName) -> Self {
        At { step, item: item_of(name) }
    }
}

/// One saga's data, opened. Steps go by their place in the plan.
pub(crate) trait Page {
    fn is_wanted(&self, step: usize) -> Result<bool, ScriptError>;
    fn items(&self, step: usize) -> Result<Vec<StepName>, ScriptError>;
    fn command(&self, at: At<'_>) -> Result<Payload, ScriptError>;
    fn on_reply(&mut self, at: At<'_>, reply: &Payload) -> Result<(), ScriptError>;
    fn on_refused(&mut self, at: At<'_>, refusal: &Payload) -> Result<(), ScriptError>;
    fn undo(&self, at: At<'_>, did: Option<&Payload>) -> Result<Payload, ScriptError>;
    fn is_refusal(&self, step: usize, signal: &Payload) -> Result<bool, ScriptError>;
    fn at_deadline(&self, step: usize) -> Result<Option<Payload>, ScriptError>;
    fn pause(&self, step: usize) -> Result<Duration, ScriptError>;
    fn data(&self) -> Result<Payload, ScriptError>;
}

/// User code that panicked, or data that it could not read. It parks the one saga it happened in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A function panicked.
    #[error("`{function}` of {of:?} panicked: {message}")]
    Panicked {
        /// Which function.
        function: &'static str,
        /// Of which step, or of which saga type.
        of: &'static str,
        /// What it said.
        message: String,
    },
    /// The items of a step are none that it can be run for.
    #[error("`items` of {of:?} gave {why}")]
    Items {
        /// Of which step.
        of: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A pause is longer than a saga may pause.
    #[error("`length` of {of:?} gave {length:?}, and the limit is {limit:?}")]
    Pause {
        /// Of which step.
        of: &'static str,
        /// What it gave.
        length: Duration,
        /// What it may give.
        limit: Duration,
    },
    /// A body could not be read or written.
    #[error("{what} of {of:?}: {error}")]
    Payload {
        /// Which body.
        what: &'static str,
        /// Of which step, or of which saga type.
        of: &'static str,
        /// Why.
        error: String,
    },
}

/// The functions of one step.
pub(super) struct StepCode<S> {
    name: &'static str,
    pub(super) condition: Option<fn(&S) -> bool>,
    items: fn(&S) -> Vec<String>,
    command: fn(&S, &str) -> Result<Payload, PayloadError>,
    on_reply: fn(&mut S, &str, &Payload) -> Result<(), PayloadError>,
    on_refused: fn(&mut S, &str, &Payload) -> Result<(), PayloadError>,
    undo: fn(&S, &str, Option<&Payload>) -> Result<Payload, PayloadError>,
    is_refusal: fn(&Payload) -> Result<bool, PayloadError>,
    at_deadline: fn(&S) -> Result<Option<Payload>, PayloadError>,
    pause: fn(&S) -> Duration,
    least: fn() -> [Result<Payload, PayloadError>; 2],
}

impl<S: Saga> StepCode<S> {
    /// The code of a step that is never undone.
    pub(super) fn of<T: Step<S>>() -> Self {
        StepCode {
            command: |saga, _| Payload::encode(&T::command(saga)),
            on_reply: |saga, _, reply| reply.decode().map(|reply| T::on_reply(saga, reply)),
            on_refused: |saga, _, refusal| refusal.decode().map(|refusal| T::on_refused(saga, refusal)),
            least: || [Payload::least::<T::Reply>(), Payload::least::<T::Refusal>()],
            ..StepCode::idle(T::NAME)
        }
    }

    /// The code of a step that does nothing.
    fn idle(name: &'static str) -> Self {
        StepCode {
            name,
            condition: None,
            items: |_| Vec::new(),
            command: |_, _| Ok(Payload::default()),
            on_reply: |_, _, _| Ok(()),
            on_refused: |_, _, _| Ok(()),
            undo: |_, _, _| Ok(Payload::default()),
            is_refusal: |_| Ok(false),
            at_deadline: |_| Ok(None),
            pause: |_| Duration::ZERO,
            least: || [Ok(Payload::default()), Ok(Payload::default())],
        }
    }

    /// The code of a step that tells others something.
    pub(super) fn of_notification<T: Notification<S>>() -> Self {
        StepCode { command: |saga, _| Payload::encode(&T::of(saga)), ..StepCode::idle(T::NAME) }
    }

    /// The code of a step that lets time pass.
    pub(super) fn of_pause<T: Pause<S>>() -> Self {
        StepCode { pause: T::length, ..StepCode::idle(T::NAME) }
    }

    /// The code of a step that waits for a signal.
    pub(super) fn of_signal<T: Signal<S>>() -> Self {
        let note: fn(&mut S, &str, &Payload) -> Result<(), PayloadError> =
            |saga, _, signal| signal.decode().map(|signal| T::on_signal(saga, signal));
        StepCode {
            on_reply: note,
            on_refused: note,
            is_refusal: |signal| signal.decode().map(|signal: T| signal.is_refusal()),
            at_deadline: |saga| T::at_deadline(saga).map(|signal| Payload::encode(&signal)).transpose(),
            least: || [false, true].map(|no| Payload::least_that(|signal: &T| signal.is_refusal() == no)),
            ..StepCode::idle(T::NAME)
        }
    }

    /// The code of a step that can be undone.
    pub(super) fn with_undo<T: Compensate<S>>() -> Self {
        StepCode {
            undo: |saga, _, did| Payload::encode(&T::undo(saga, outcome(did)?)),
            ..StepCode::of::<T>()
        }
    }

    /// The code of a step that is run for each of several items, and never undone.
    pub(super) fn of_each<T: Each<S>>() -> Self {
        StepCode {
            items: T::items,
            command: |saga, item| Payload::encode(&T::command(saga, item)),
            on_reply: |saga, item, reply| reply.decode().map(|reply| T::on_reply(saga, item, reply)),
            on_refused: |saga, item, refusal| refusal.decode().map(|no| T::on_refused(saga, item, no)),
            least: || [Payload::least::<T::Reply>(), Payload::least::<T::Refusal>()],
            ..StepCode::idle(<T as Each<S>>::NAME)
        }
    }

    /// The code of a step that is run for each of several items, and can be undone.
    pub(super) fn each_with_undo<T: CompensateEach<S>>() -> Self {
        StepCode {
            undo: |saga, item, did| Payload::encode(&T::undo(saga, item, outcome(did)?)),
            ..StepCode::of_each::<T>()
        }
    }
}

/// The code of all steps of one definition.
pub(super) struct TypedScript<S>(pub(super) Vec<StepCode<S>>);

impl<S: Saga> Script for TypedScript<S> {
    fn open<'a>(&'a self, data: &Payload) -> Result<Box<dyn Page + 'a>, ScriptError> {
        let saga =
            guarded("deserialize", S::NAME, || data.decode::<S>())?.map_err(failed("the data", S::NAME))?;
        Ok(Box::new(TypedPage { saga, steps: &self.0 }))
    }

    fn least(&self, step: usize) -> [Result<Payload, ScriptError>; 2] {
        let code = &self.0[step];
        (code.least)().map(|least| least.map_err(failed("the least answer", code.name)))
    }
}

struct TypedPage<'a, S> {
    saga: S,
    steps: &'a [StepCode<S>],
}

impl<S: Saga> Page for TypedPage<'_, S> {
    fn is_wanted(&self, step: usize) -> Result<bool, ScriptError> {
        let code = &self.steps[step];
        code.condition.map_or(Ok(true), |condition| guarded("when", code.name, || condition(&self.saga)))
    }

    fn items(&self, step: usize) -> Result<Vec<StepName>, ScriptError> {
        let code = &self.steps[step];
        named(code.name, &guarded("items", code.name, || (code.items)(&self.saga))?)
    }

    fn command(&self, at: At<'_>) -> Result<Payload, ScriptError> {
        let code = &self.steps[at.step];
        guarded("command", code.name, || (code.command)(&self.saga, at.item))?
            .map_err(failed("the command", code.name))
    }

    fn on_reply(&mut self, at: At<'_>, reply: &Payload) -> Result<(), ScriptError> {
        let code = &self.steps[at.step];
        guarded("on_reply", code.name, || (code.on_reply)(&mut self.saga, at.item, reply))?
            .map_err(failed("the reply", code.name))
    }

    fn on_refused(&mut self, at: At<'_>, refusal: &Payload) -> Result<(), ScriptError> {
        let code = &self.steps[at.step];
        guarded("on_refused", code.name, || (code.on_refused)(&mut self.saga, at.item, refusal))?
            .map_err(failed("the refusal", code.name))
    }

    fn undo(&self, at: At<'_>, did: Option<&Payload>) -> Result<Payload, ScriptError> {
        let code = &self.steps[at.step];
        guarded("undo", code.name, || (code.undo)(&self.saga, at.item, did))?
            .map_err(failed("the undo", code.name))
    }

    fn is_refusal(&self, step: usize, signal: &Payload) -> Result<bool, ScriptError> {
        let code = &self.steps[step];
        guarded("is_refusal", code.name, || (code.is_refusal)(signal))?
            .map_err(failed("the signal", code.name))
    }

    fn at_deadline(&self, step: usize) -> Result<Option<Payload>, ScriptError> {
        let code = &self.steps[step];
        guarded("at_deadline", code.name, || (code.at_deadline)(&self.saga))?
            .map_err(failed("the signal", code.name))
    }

    fn pause(&self, step: usize) -> Result<Duration, ScriptError> {
        let code = &self.steps[step];
        let length = guarded("length", code.name, || (code.pause)(&self.saga))?;
        match length > DURATION_MAX {
            true => Err(ScriptError::Pause { of: code.name, length, limit: DURATION_MAX }),
            false => Ok(length),
        }
    }

    fn data(&self) -> Result<Payload, ScriptError> {
        guarded("serialize", S::NAME, || Payload::encode(&self.saga))?.map_err(failed("the data", S::NAME))
    }
}

/// Runs user code and turns a panic into an error. What the code may have left half-changed is thrown away with
/// its page, so nobody sees it.
pub(super) fn guarded<R>(
    function: &'static str,
    of: &'static str,
    code: impl FnOnce() -> R,
) -> Result<R, ScriptError> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        ScriptError::Panicked { function, of, message: message.unwrap_or_else(|| "no message".into()) }
    })
}

/// What is known of an effect, from the reply if there is one.
fn outcome<R: DeserializeOwned>(did: Option<&Payload>) -> Result<Outcome<R>, PayloadError> {
    Ok(match did {
        Some(reply) => Outcome::Done(reply.decode()?),
        None => Outcome::Unknown,
    })
}

fn failed(what: &'static str, of: &'static str) -> impl FnOnce(PayloadError) -> ScriptError {
    move |error| ScriptError::Payload { what, of, error: error.to_string() }
}
