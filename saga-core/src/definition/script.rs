//! The user's code behind one wall: typed on the inside, bytes on the outside, and panics stop here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::signal::Signal;
use super::step::{Compensate, Outcome, Saga, Step};
use crate::message::{Payload, PayloadError};

/// The code of a saga's steps. This is the only place where a saga's type is erased.
pub(crate) trait Script: Send + Sync {
    /// Reads a saga's data, to work with it for one transition.
    fn open<'a>(&'a self, data: &Payload) -> Result<Box<dyn Page + 'a>, ScriptError>;
    /// The least yes and the least no that a step can be answered.
    fn least(&self, step: usize) -> [Result<Payload, ScriptError>; 2];
}

/// One saga's data, opened. Steps go by their place in the plan.
pub(crate) trait Page {
    fn is_wanted(&self, step: usize) -> Result<bool, ScriptError>;
    fn command(&self, step: usize) -> Result<Payload, ScriptError>;
    fn on_reply(&mut self, step: usize, reply: &Payload) -> Result<(), ScriptError>;
    fn on_refused(&mut self, step: usize, refusal: &Payload) -> Result<(), ScriptError>;
    fn undo(&self, step: usize, did: Option<&Payload>) -> Result<Payload, ScriptError>;
    fn is_refusal(&self, step: usize, signal: &Payload) -> Result<bool, ScriptError>;
    fn at_deadline(&self, step: usize) -> Result<Option<Payload>, ScriptError>;
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
    command: fn(&S) -> Result<Payload, PayloadError>,
    on_reply: fn(&mut S, &Payload) -> Result<(), PayloadError>,
    on_refused: fn(&mut S, &Payload) -> Result<(), PayloadError>,
    undo: fn(&S, Option<&Payload>) -> Result<Payload, PayloadError>,
    is_refusal: fn(&Payload) -> Result<bool, PayloadError>,
    at_deadline: fn(&S) -> Result<Option<Payload>, PayloadError>,
    least: fn() -> [Result<Payload, PayloadError>; 2],
}

impl<S: Saga> StepCode<S> {
    /// The code of a step that is never undone.
    pub(super) fn of<T: Step<S>>() -> Self {
        StepCode {
            name: T::NAME,
            condition: None,
            command: |saga| Payload::encode(&T::command(saga)),
            on_reply: |saga, reply| reply.decode().map(|reply| T::on_reply(saga, reply)),
            on_refused: |saga, refusal| refusal.decode().map(|refusal| T::on_refused(saga, refusal)),
            undo: |_, _| Ok(Payload::default()),
            is_refusal: |_| Ok(false),
            at_deadline: |_| Ok(None),
            least: || [Payload::least::<T::Reply>(), Payload::least::<T::Refusal>()],
        }
    }

    /// The code of a step that waits for a signal.
    pub(super) fn of_signal<T: Signal<S>>() -> Self {
        let note: fn(&mut S, &Payload) -> Result<(), PayloadError> =
            |saga, signal| signal.decode().map(|signal| T::on_signal(saga, signal));
        StepCode {
            name: T::NAME,
            condition: None,
            command: |_| Ok(Payload::default()),
            on_reply: note,
            on_refused: note,
            undo: |_, _| Ok(Payload::default()),
            is_refusal: |signal| signal.decode().map(|signal: T| signal.is_refusal()),
            at_deadline: |saga| T::at_deadline(saga).map(|signal| Payload::encode(&signal)).transpose(),
            least: || [false, true].map(|no| Payload::least_that(|signal: &T| signal.is_refusal() == no)),
        }
    }

    /// The code of a step that can be undone.
    pub(super) fn with_undo<T: Compensate<S>>() -> Self {
        StepCode {
            undo: |saga, did| {
                let did = match did {
                    Some(reply) => Outcome::Done(reply.decode()?),
                    None => Outcome::Unknown,
                };
                Payload::encode(&T::undo(saga, did))
            },
            ..StepCode::of::<T>()
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

    fn command(&self, step: usize) -> Result<Payload, ScriptError> {
        let code = &self.steps[step];
        guarded("command", code.name, || (code.command)(&self.saga))?
            .map_err(failed("the command", code.name))
    }

    fn on_reply(&mut self, step: usize, reply: &Payload) -> Result<(), ScriptError> {
        let code = &self.steps[step];
        guarded("on_reply", code.name, || (code.on_reply)(&mut self.saga, reply))?
            .map_err(failed("the reply", code.name))
    }

    fn on_refused(&mut self, step: usize, refusal: &Payload) -> Result<(), ScriptError> {
        let code = &self.steps[step];
        guarded("on_refused", code.name, || (code.on_refused)(&mut self.saga, refusal))?
            .map_err(failed("the refusal", code.name))
    }

    fn undo(&self, step: usize, did: Option<&Payload>) -> Result<Payload, ScriptError> {
        let code = &self.steps[step];
        guarded("undo", code.name, || (code.undo)(&self.saga, did))?.map_err(failed("the undo", code.name))
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

    fn data(&self) -> Result<Payload, ScriptError> {
        guarded("serialize", S::NAME, || Payload::encode(&self.saga))?.map_err(failed("the data", S::NAME))
    }
}

/// Runs user code and turns a panic into an error. What the code may have left half-changed is thrown away with
/// its page, so nobody sees it.
fn guarded<R>(function: &'static str, of: &'static str, code: impl FnOnce() -> R) -> Result<R, ScriptError> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        ScriptError::Panicked { function, of, message: message.unwrap_or_else(|| "no message".into()) }
    })
}

fn failed(what: &'static str, of: &'static str) -> impl FnOnce(PayloadError) -> ScriptError {
    move |error| ScriptError::Payload { what, of, error: error.to_string() }
}
