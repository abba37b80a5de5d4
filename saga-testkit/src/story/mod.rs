//! Stories: a saga's behaviour told as a sequence of commands and answers.
//!
//! No runtime, no broker, no clock: a story drives the pure machine with the same definition as in production. What
//! is not told is an error: a story that ends while a command was sent that it did not expect fails, and the message
//! shows the story so far and what came instead.
//!
//! # Example: the payment is refused, so the stock is released
//!
//! ```
//! # use saga_core::{Command, Compensate, Definition, NothingToUndo, Outcome, Participant, Saga, Step, Undoes};
//! # use serde::{Deserialize, Serialize};
//! # struct Inventory;
//! # impl Participant for Inventory { const NAME: &'static str = "inventory"; }
//! # struct Payment;
//! # impl Participant for Payment { const NAME: &'static str = "payment"; }
//! # #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! # struct ReserveStock { items: u32 }
//! # impl Command for ReserveStock {
//! #     const TYPE: &'static str = "inventory.reserve.v1";
//! #     type Participant = Inventory;
//! #     type Reply = u64;
//! #     type Refusal = String;
//! # }
//! # #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! # struct ReleaseStock { reservation: Option<u64> }
//! # impl Command for ReleaseStock {
//! #     const TYPE: &'static str = "inventory.release.v1";
//! #     type Participant = Inventory;
//! #     type Reply = ();
//! #     type Refusal = ();
//! # }
//! # impl Undoes<ReserveStock> for ReleaseStock {}
//! # #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! # struct CapturePayment { amount: u32 }
//! # impl Command for CapturePayment {
//! #     const TYPE: &'static str = "payment.capture.v1";
//! #     type Participant = Payment;
//! #     type Reply = ();
//! #     type Refusal = String;
//! # }
//! # #[derive(Serialize, Deserialize)]
//! # struct PlaceOrder { items: u32, amount: u32 }
//! # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
//! # impl Step<PlaceOrder> for ReserveStock {
//! #     fn command(order: &PlaceOrder) -> Self { ReserveStock { items: order.items } }
//! # }
//! # impl Compensate<PlaceOrder> for ReserveStock {
//! #     type Undo = ReleaseStock;
//! #     fn undo(_: &PlaceOrder, did: Outcome<u64>) -> ReleaseStock {
//! #         match did {
//! #             Outcome::Done(reservation) => ReleaseStock { reservation: Some(reservation) },
//! #             Outcome::Unknown => ReleaseStock { reservation: None },
//! #         }
//! #     }
//! # }
//! # impl Step<PlaceOrder> for CapturePayment {
//! #     fn command(order: &PlaceOrder) -> Self { CapturePayment { amount: order.amount } }
//! # }
//! # fn place_order() -> Definition<PlaceOrder> {
//! #     saga_core::saga(1).step::<ReserveStock>().pivot::<CapturePayment>().build().unwrap()
//! # }
//! use saga_testkit::story::given;
//!
//! given(&place_order(), PlaceOrder { items: 3, amount: 30 })
//!     .expect::<ReserveStock>().equal_to(ReserveStock { items: 3 }).reply(7)
//!     .expect::<CapturePayment>().that(|command| assert_eq!(command.amount, 30)).refuse("no funds".into())
//!     .expect_undo::<ReserveStock>().equal_to(ReleaseStock { reservation: Some(7) }).undone()
//!     .expect_compensated();
//! ```

mod asked;
mod narrative;

use std::marker::PhantomData;
use std::time::Duration;

use saga_core::id::Direction;
use saga_core::machine::{self, Applied, Event, Ignored, Resolution, Status, StepState};
use saga_core::message::Payload;
use saga_core::{
    Compensate, CompensateEach, Definition, Each, Notification, Pause, Saga, Signal, Step, SubSaga,
};

pub use asked::{Asked, Closing, Doing, DoingItem, Undoing, UndoingItem};
use narrative::Narrative;

/// Begins a story: the saga `definition` starts with `data`.
///
/// # Panics
///
/// Panics if the saga cannot start: its first command panics, or its data has no JSON form.
#[track_caller]
pub fn given<S: Saga>(definition: &Definition<S>, data: S) -> Story<S> {
    Story { narrative: Narrative::begin(definition.plan().clone(), &data, None), saga: PhantomData }
}

/// Begins a story of a saga that another one runs as its step.
///
/// # Panics
///
/// Panics if the saga cannot start: its first command panics, or its data has no JSON form.
#[track_caller]
pub fn given_by_parent<S: SubSaga>(definition: &Definition<S>, data: S) -> Story<S> {
    let parent = narrative::parent(Direction::Do);
    Story { narrative: Narrative::begin(definition.plan().clone(), &data, Some(parent)), saga: PhantomData }
}

/// A saga in the middle of its story. Its methods tell what happens next.
///
/// # Panics
///
/// Every method panics if the saga does not do what it says. The message has the whole story.
pub struct Story<S> {
    narrative: Narrative,
    saga: PhantomData<fn(S)>,
}

impl<S: Saga> Story<S> {
    /// The command of step `T` was sent, for the first time or again. Steps of one group may be told in any order.
    #[track_caller]
    pub fn expect<T: Step<S>>(self) -> Asked<S, Doing<T>> {
        self.sent(<T as Step<S>>::NAME, Direction::Do)
    }

    /// The undo of step `T` was sent, for the first time or again.
    #[track_caller]
    pub fn expect_undo<T: Compensate<S>>(self) -> Asked<S, Undoing<T>> {
        self.sent(<T as Step<S>>::NAME, Direction::Undo)
    }

    /// The command of step `T` was sent for one of its items, for the first time or again.
    #[track_caller]
    pub fn expect_item<T: Each<S>>(self, item: &str) -> Asked<S, DoingItem<T>> {
        self.sent(&format!("{}#{item}", <T as Each<S>>::NAME), Direction::Do)
    }

    /// The undo of step `T` was sent for one of its items, for the first time or again.
    #[track_caller]
    pub fn expect_undo_item<T: CompensateEach<S>>(self, item: &str) -> Asked<S, UndoingItem<T>> {
        self.sent(&format!("{}#{item}", <T as Each<S>>::NAME), Direction::Undo)
    }

    /// The participant of step `T` was asked to make a "no" final, for the first time or again.
    #[track_caller]
    pub fn expect_close<T: Step<S>>(self) -> Asked<S, Closing<T>> {
        self.sent(<T as Step<S>>::NAME, Direction::Close)
    }

    /// Comes back to the command of step `T`, which was expected before and got no answer yet. An answer may be too
    /// late by now; then it is ignored, as it is in production.
    #[track_caller]
    pub fn back_to<T: Step<S>>(mut self) -> Asked<S, Doing<T>> {
        let asked = self.narrative.take_unanswered(<T as Step<S>>::NAME);
        Asked::new(self, asked)
    }

    /// Step `T` was skipped, because its condition was not met.
    #[track_caller]
    pub fn expect_skipped<T: Step<S>>(self) -> Self {
        let step = self.narrative.step(<T as Step<S>>::NAME);
        match self.narrative.step_state(&step) {
            Some(StepState::Skipped) => self,
            Some(_) => self.narrative.fail(&format!("expected that {step} was skipped, but it was not")),
            None => self.narrative.fail(&format!("expected that {step} was skipped, but it was not come to")),
        }
    }

    /// Others were told `T`. Look at what they were told.
    #[track_caller]
    pub fn expect_notified<T: Notification<S>>(mut self, look: impl FnOnce(T)) -> Self {
        let told = self.narrative.take_sent(T::NAME, Direction::Do);
        look(self.narrative.decode(&told.body));
        self
    }

    /// The signal `T` is given. If the saga does not wait for it yet, it is kept.
    #[track_caller]
    pub fn signal<T: Signal<S>>(self, signal: T) -> Self {
        let event = self.signalled(&signal);
        self.on(&event)
    }

    /// The signal `T` is given again, and changes nothing.
    #[track_caller]
    pub fn signal_again<T: Signal<S>>(mut self, signal: T) -> Self {
        let event = self.signalled(&signal);
        match self.narrative.apply(&event) {
            Ok(Applied::Ignored(Ignored::GivenBefore)) => self,
            other => self.narrative.fail(&format!("expected that it was given before, but: {other:?}")),
        }
    }

    /// The signal `T` comes too late, or another one came first.
    #[track_caller]
    pub fn expect_signal_refused<T: Signal<S>>(mut self, signal: T) -> Self {
        let event = self.signalled(&signal);
        match self.narrative.apply(&event) {
            Err(_) => self,
            Ok(_) => self.narrative.fail("expected that the signal comes too late, but it does not"),
        }
    }

    /// The saga waits for the signal `T`.
    #[track_caller]
    pub fn expect_wait<T: Signal<S>>(self) -> Self {
        let step = self.narrative.step(T::NAME);
        match self.narrative.step_state(&step) {
            Some(StepState::Waiting { .. }) => self,
            Some(_) | None => {
                self.narrative.fail(&format!("expected that {step} is waited for, but it is not"))
            }
        }
    }

    /// The signal `T` does not come in time.
    #[track_caller]
    pub fn pass_deadline<T: Signal<S>>(mut self) -> Self {
        let step = self.narrative.step(T::NAME);
        self.narrative.pass_deadline(&step);
        self
    }

    /// The saga comes to the pause `T`, which lasts so long from then on, and it passes.
    #[track_caller]
    pub fn pass_pause<T: Pause<S>>(mut self, length: Duration) -> Self {
        let step = self.narrative.step(T::NAME);
        self.narrative.pass_pause(&step, length);
        self
    }

    /// Somebody cancels the saga.
    #[track_caller]
    pub fn cancel(self, reason: &str) -> Self {
        self.on(&Event::Cancel { reason: reason.into() })
    }

    /// Somebody tries to cancel the saga, and it is too late for that.
    #[track_caller]
    pub fn expect_cancel_refused(mut self) -> Self {
        let event = Event::Cancel { reason: "a try".into() };
        match self.narrative.apply(&event) {
            Err(_) => self,
            Ok(_) => self.narrative.fail("expected that it is too late to cancel, but it was not"),
        }
    }

    /// The saga moves to a newer version of its definition, and the story goes on with that.
    #[track_caller]
    pub fn upgrade<T: Saga>(mut self, newer: &Definition<T>) -> Story<T> {
        self.narrative.upgrade(newer.plan().clone());
        Story { narrative: self.narrative, saga: PhantomData }
    }

    /// The saga may not move to this version of its definition, for a reason that has these `words`.
    #[track_caller]
    pub fn expect_no_upgrade<T: Saga>(self, newer: &Definition<T>, words: &str) -> Self {
        match machine::upgrade(newer.plan(), &self.narrative.saga) {
            Err(why) if why.to_string().contains(words) => self,
            Err(why) => self.narrative.fail(&format!("expected {words:?}, but it stays because {why}")),
            Ok(_) => self.narrative.fail("expected that it cannot move to this version, but it can"),
        }
    }

    /// An operator has a parked saga go on.
    #[track_caller]
    pub fn retry(self, reason: &str) -> Self {
        self.on(&Event::Retry { reason: reason.into() })
    }

    /// An operator has the saga compensated.
    #[track_caller]
    pub fn compensate(self, reason: &str) -> Self {
        self.on(&Event::Compensate { reason: reason.into() })
    }

    /// An operator says that step `T` is done, with this reply.
    #[track_caller]
    pub fn resolve_done<T: Step<S>>(self, reply: &T::Reply, reason: &str) -> Self {
        let reply = self.narrative.encode(reply);
        self.resolve::<T>(Resolution::Done(reply), reason)
    }

    /// An operator says that the undo of step `T` is done.
    #[track_caller]
    pub fn resolve_undone<T: Compensate<S>>(self, reason: &str) -> Self {
        self.resolve::<T>(Resolution::Done(Payload::default()), reason)
    }

    /// An operator says that step `T` was not done.
    #[track_caller]
    pub fn resolve_not_done<T: Step<S>>(self, reason: &str) -> Self {
        self.resolve::<T>(Resolution::NotDone, reason)
    }

    /// Looks at the saga's data.
    #[track_caller]
    pub fn expect_data(self, look: impl FnOnce(&S)) -> Self {
        look(&self.narrative.decode(&self.narrative.saga.data));
        self
    }

    /// The saga is through, and the one that runs it may still take it back; every command was told.
    #[track_caller]
    pub fn expect_through(self) -> Self {
        self.narrative.expect_status(Status::Provisional);
        self
    }

    /// The saga that runs this one takes it back.
    #[track_caller]
    pub fn take_back(self) -> Self {
        self.on(&narrative::taken_back())
    }

    /// The saga that runs this one has completed.
    #[track_caller]
    pub fn release(self) -> Self {
        self.on(&Event::Released)
    }

    /// The saga has ended with every effect, and every command was told.
    #[track_caller]
    pub fn expect_completed(self) {
        self.narrative.expect_status(Status::Completed);
    }

    /// The saga has ended with no effect that its definition undoes, and every command was told.
    #[track_caller]
    pub fn expect_compensated(self) {
        self.narrative.expect_status(Status::Compensated);
    }

    /// The saga waits for a human, for a reason that contains `reason`.
    #[track_caller]
    pub fn expect_parked(self, reason: &str) -> Self {
        self.narrative.expect_status(Status::Parked);
        match self.narrative.parked() {
            Some(why) if !why.contains(reason) => self
                .narrative
                .fail(&format!("expected it to be parked for {reason:?}, but it is for {why:?}")),
            Some(_) | None => self,
        }
    }

    #[track_caller]
    fn signalled<T: Signal<S>>(&self, signal: &T) -> Event {
        Event::Signalled { step: self.narrative.step(T::NAME), signal: self.narrative.encode(signal) }
    }

    #[track_caller]
    fn sent<M>(mut self, step: &str, direction: Direction) -> Asked<S, M> {
        let asked = self.narrative.take_sent(step, direction);
        Asked::new(self, asked)
    }

    #[track_caller]
    fn resolve<T: Step<S>>(self, resolution: Resolution, reason: &str) -> Self {
        let step = self.narrative.step(<T as Step<S>>::NAME);
        self.on(&Event::Resolve { step, resolution, reason: reason.into() })
    }

    /// An event that must move the saga.
    #[track_caller]
    fn on(mut self, event: &Event) -> Self {
        match self.narrative.apply(event) {
            Ok(Applied::Moved(_)) => self,
            Ok(Applied::Ignored(why)) => self.narrative.fail(&format!("this was ignored: {}", why.as_str())),
            Err(error) => self.narrative.fail(&format!("this was refused: {error}")),
        }
    }
}
