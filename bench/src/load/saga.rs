//! The saga of the load: so many steps in a row, with nothing to do in each but say so.

use anyhow::Result;
use saga_core::memory::MemoryTx;
use saga_core::message::Fault;
use saga_core::runtime::{Handle, Handled, Reply, Service, Undo, service};
use saga_core::{Command, Compensate, Definition, Outcome, Participant, Saga, Step, Undoes, saga};
use serde::{Deserialize, Serialize};

/// The one participant, which takes the commands of every step.
pub(super) struct Bench;
impl Participant for Bench {
    const NAME: &'static str = "bench";
}

/// What a saga carries: the same body that the floor sends with every command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) order: u64,
    pub(super) customer: String,
    pub(super) amount_cents: u64,
    /// Whether the last step is to be refused.
    pub(super) refuse: bool,
}

impl Order {
    pub(super) fn new(number: u64, refuse: bool) -> Self {
        Order { order: number, customer: format!("customer-{number}"), amount_cents: 1999, refuse }
    }
}

impl Saga for Order {
    const NAME: &'static str = "bench";
}

#[derive(Serialize, Deserialize)]
pub(super) struct Confirmed {
    confirmation: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Declined {
    reason: String,
}

/// The command of step `N`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Work<const N: usize>(Order);

impl<const N: usize> Command for Work<N> {
    const TYPE: &'static str = WORK[N];
    type Participant = Bench;
    type Reply = Confirmed;
    type Refusal = Declined;
}

/// The command that takes step `N` back.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct TakeBack<const N: usize>(Order);

impl<const N: usize> Command for TakeBack<N> {
    const TYPE: &'static str = TAKE_BACK[N];
    type Participant = Bench;
    type Reply = ();
    type Refusal = ();
}

impl<const N: usize> Undoes<Work<N>> for TakeBack<N> {}

impl<const N: usize> Step<Order> for Work<N> {
    fn command(order: &Order) -> Self {
        Work(order.clone())
    }
}

impl<const N: usize> Compensate<Order> for Work<N> {
    type Undo = TakeBack<N>;

    fn undo(order: &Order, _: Outcome<Confirmed>) -> TakeBack<N> {
        TakeBack(order.clone())
    }
}

/// Does nothing, and refuses if the saga is one of those that are refused at their last step.
struct Handlers {
    last: usize,
}

impl Handlers {
    fn answer<const N: usize>(&self, command: Work<N>) -> Handled<Work<N>> {
        match command.0.refuse && N == self.last {
            true => Ok(Reply::Refused(Declined { reason: "declined".into() })),
            false => Ok(Reply::Done(Confirmed { confirmation: command.0.order })),
        }
    }
}

macro_rules! handlers_in {
    ($tx:ty) => {
        impl<const N: usize> Handle<Work<N>, $tx> for Handlers {
            async fn handle(&self, command: Work<N>, _: &mut $tx) -> Handled<Work<N>> {
                self.answer(command)
            }
        }

        impl<const N: usize> Undo<Work<N>, TakeBack<N>, $tx> for Handlers {
            async fn undo(&self, _: TakeBack<N>, _: Confirmed, _: &mut $tx) -> Result<(), Fault> {
                Ok(())
            }
        }
    };
}
handlers_in!(MemoryTx<()>);
handlers_in!(saga_postgres::Tx);

macro_rules! steps {
    ($($n:literal)+) => {
        const WORK: [&str; STEPS_MAX] = [$(concat!("bench.work.", $n)),+];
        const TAKE_BACK: [&str; STEPS_MAX] = [$(concat!("bench.take-back.", $n)),+];

        /// The saga with so many steps, at most [`STEPS_MAX`].
        pub(super) fn definition(steps: u16) -> Result<Definition<Order>> {
            let mut builder = saga::<Order>(1);
            $(if $n < usize::from(steps) {
                builder = builder.step::<Work<$n>>();
            })+
            Ok(builder.build()?)
        }

        /// The service that takes all commands.
        #[expect(private_bounds, reason = "the handlers are implemented for the two kinds of transactions only")]
        pub(super) fn bench_service<Tx: Send + 'static>(steps: u16) -> Service<Bench, impl Send + Sync + 'static, Tx>
        where
            $(Handlers: Handle<Work<$n>, Tx> + Undo<Work<$n>, TakeBack<$n>, Tx>,)+
        {
            let service = service::<Bench, _, Tx>(Handlers { last: usize::from(steps) - 1 });
            $(let service = service.handle::<Work<$n>>().undo::<Work<$n>, TakeBack<$n>>();)+
            service
        }
    };
}
steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

/// How many steps the load can have.
pub(super) const STEPS_MAX: usize = 16;
