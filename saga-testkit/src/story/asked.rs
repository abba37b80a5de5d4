//! A command that was sent, and what may become of it.

use std::fmt::Debug;
use std::marker::PhantomData;

use saga_core::machine::Event;
use saga_core::message::{Answer, Fault};
use saga_core::{Command, Compensate, CompensateEach, Each, Saga, Step};
use serde::de::DeserializeOwned;

use super::Story;
use super::narrative::Sent;

/// The command of step `T`.
pub struct Doing<T>(PhantomData<T>);

/// The undo of step `T`.
pub struct Undoing<T>(PhantomData<T>);

/// The command of step `T` for one of its items.
pub struct DoingItem<T>(PhantomData<T>);

/// The undo of step `T` for one of its items.
pub struct UndoingItem<T>(PhantomData<T>);

/// The request to make a "no" of step `T` final.
pub struct Closing<T>(PhantomData<T>);

/// A message that was sent. Look at it, then say what its participant answers, or that it does not.
///
/// # Panics
///
/// Every method panics if the saga does not take what it says. The message has the whole story.
#[must_use = "say what becomes of the command: `reply`, `refuse`, `undone`, `time_out`, `answer_later`, .."]
pub struct Asked<S, M> {
    story: Story<S>,
    sent: Sent,
    message: PhantomData<fn(M)>,
}

impl<S: Saga, M> Asked<S, M> {
    pub(super) fn new(story: Story<S>, sent: Sent) -> Self {
        Asked { story, sent, message: PhantomData }
    }

    /// The participant has a fault. A temporary one is waited out, and the command is sent again if attempts are left.
    #[track_caller]
    pub fn fault(self, fault: Fault) -> Story<S> {
        let (step, direction) = (self.sent.step.clone(), self.sent.direction);
        let mut story = self.answer(Answer::Fault(fault));
        story.narrative.wait_out(&step, direction);
        story
    }

    /// The work is under way: the saga that the step runs is, or a call to another system. The command is sent again
    /// after a pause, and that is no attempt spent.
    #[track_caller]
    pub fn still_running(self) -> Story<S> {
        let (step, direction) = (self.sent.step.clone(), self.sent.direction);
        let mut story = self.answer(Answer::Running);
        story.narrative.wait_out(&step, direction);
        story
    }

    /// No answer comes in time. The command is sent again, or given up if that was its last attempt.
    #[track_caller]
    pub fn time_out(mut self) -> Story<S> {
        self.story.narrative.time_out(&self.sent);
        self.answer_later()
    }

    /// No answer comes at all: every attempt times out until the command is given up.
    ///
    /// # Panics
    ///
    /// Panics if it never is, as with a pivot or a step after it.
    #[track_caller]
    pub fn never_answer(mut self) -> Story<S> {
        self.story.narrative.exhaust(&self.sent);
        self.answer_later()
    }

    /// Goes on with the story. The answer may come later, see [`Story::back_to`].
    pub fn answer_later(mut self) -> Story<S> {
        self.story.narrative.leave_unanswered(self.sent);
        self.story
    }

    #[track_caller]
    fn look<B: DeserializeOwned>(self, look: impl FnOnce(B)) -> Self {
        look(self.story.narrative.decode(&self.sent.body));
        self
    }

    #[track_caller]
    fn is<B: DeserializeOwned + PartialEq + Debug>(self, expected: B) -> Self {
        let body: B = self.story.narrative.decode(&self.sent.body);
        if body != expected {
            self.story.narrative.fail(&format!("expected {expected:?}, but {body:?} was sent"));
        }
        self
    }

    #[track_caller]
    fn answer(mut self, answer: Answer) -> Story<S> {
        let Sent { step, direction, attempt, .. } = self.sent;
        let event = Event::Replied { step, direction, attempt, answer };
        if let Err(error) = self.story.narrative.apply(&event) {
            self.story.narrative.fail(&format!("this was refused: {error}"));
        }
        self.story
    }
}

/// What can become of a command that was sent for a step, or for one of its items.
macro_rules! doing {
    ($step:ident: $bound:ident, $marker:ident) => {
        impl<S: Saga, $step: $bound<S>> Asked<S, $marker<$step>> {
            /// Looks at the command.
            #[track_caller]
            pub fn that(self, look: impl FnOnce($step)) -> Self {
                self.look(look)
            }

            /// The command is this one.
            #[track_caller]
            pub fn equal_to(self, expected: $step) -> Self
            where
                $step: PartialEq + Debug,
            {
                self.is(expected)
            }

            /// The work is done.
            #[track_caller]
            pub fn reply(self, reply: <$step as Command>::Reply) -> Story<S> {
                let reply = self.story.narrative.encode(&reply);
                self.answer(Answer::Done(reply))
            }

            /// The business says no; there was no effect.
            #[track_caller]
            pub fn refuse(self, refusal: <$step as Command>::Refusal) -> Story<S> {
                let refusal = self.story.narrative.encode(&refusal);
                self.answer(Answer::Refused(refusal))
            }
        }
    };
}
doing!(T: Step, Doing);
doing!(T: Each, DoingItem);

/// What can become of the undo of a step, or of one of its items.
macro_rules! undoing {
    ($step:ident: $bound:ident, $marker:ident) => {
        impl<S: Saga, $step: $bound<S>> Asked<S, $marker<$step>> {
            /// Looks at the undo.
            #[track_caller]
            pub fn that(self, look: impl FnOnce($step::Undo)) -> Self {
                self.look(look)
            }

            /// The undo is this one.
            #[track_caller]
            pub fn equal_to(self, expected: $step::Undo) -> Self
            where
                $step::Undo: PartialEq + Debug,
            {
                self.is(expected)
            }

            /// The effect is taken back, or never was and never will be.
            #[track_caller]
            pub fn undone(self) -> Story<S> {
                self.answer(Answer::Undone)
            }
        }
    };
}
undoing!(T: Compensate, Undoing);
undoing!(T: CompensateEach, UndoingItem);

impl<S: Saga, T: Step<S>> Asked<S, Closing<T>> {
    /// The work was done after all.
    #[track_caller]
    pub fn reply(self, reply: T::Reply) -> Story<S> {
        let reply = self.story.narrative.encode(&reply);
        self.answer(Answer::Done(reply))
    }

    /// The business had said no.
    #[track_caller]
    pub fn refuse(self, refusal: T::Refusal) -> Story<S> {
        let refusal = self.story.narrative.encode(&refusal);
        self.answer(Answer::Refused(refusal))
    }

    /// The work was not done, and never will be.
    #[track_caller]
    pub fn closed(self) -> Story<S> {
        self.answer(Answer::Closed)
    }
}
