//! A dirty read: one saga pays out what another one may still take back. Two sagas of different types that share an
//! account.

use saga_core::runtime::Reply;
use saga_core::{Command, Compensate, Definition, Outcome, Participant, Retriable, Saga, Step, Undoes, saga};
use saga_testkit::explore::{Explorer, Faults, explore};
use serde::{Deserialize, Serialize};

struct Bank;
impl Participant for Bank {
    const NAME: &'static str = "bank";
}

commands!(Bank: Credit "credit" Debit "debit" Clear "clear" Book "book" PayOut "pay-out");
impl Undoes<Credit> for Debit {}

/// A cheque is credited, and taken back if it bounces.
#[derive(Serialize, Deserialize)]
struct Cheque;
impl Saga for Cheque {
    const NAME: &'static str = "cheque";
}

#[derive(Serialize, Deserialize)]
struct Withdrawal;
impl Saga for Withdrawal {
    const NAME: &'static str = "withdrawal";
}

macro_rules! steps {
    ($($command:ident of $saga:ident)+) => {
        $(
            impl Step<$saga> for $command {
                fn command(_: &$saga) -> Self {
                    $command
                }
            }
        )+
    };
}
steps!(Credit of Cheque Clear of Cheque Book of Cheque PayOut of Withdrawal);
impl Retriable<Cheque> for Book {}
impl Compensate<Cheque> for Credit {
    type Undo = Debit;

    fn undo(_: &Cheque, _: Outcome<()>) -> Debit {
        Debit
    }
}

/// What may be paid out, and what waits for a cheque to be cleared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Account {
    balance: i32,
    pending: i32,
}

fn beside_a_withdrawal(cheque: &Definition<Cheque>) -> Explorer<Cheque, Account> {
    let withdrawal = saga(1).pivot::<PayOut>().build().unwrap();
    explore(cheque)
        .model(Account { balance: 0, pending: 0 })
        .handle::<PayOut>(|account, _| match account.balance {
            0 => Reply::Refused(()),
            _ => {
                account.balance -= 10;
                Reply::Done(())
            }
        })
        .faults(Faults::REFUSAL | Faults::UNKNOWN)
        .invariant("nobody is paid what is not there", |scene| scene.model.balance >= 0)
        .saga(&Cheque)
        .beside(&withdrawal, &Withdrawal)
}

#[test]
fn a_dirty_read_of_a_cheque_that_bounces_is_found() {
    let cheque = saga(1).step::<Credit>().pivot::<Clear>().build().unwrap();
    let violation = beside_a_withdrawal(&cheque)
        .handle::<Credit>(|account, _| {
            account.balance += 10;
            Reply::Done(())
        })
        .undo::<Credit, Debit>(|account, _, ()| account.balance -= 10)
        .faults(Faults::REFUSAL)
        .run()
        .violation
        .unwrap();
    assert_eq!(violation.what, "it is not so that nobody is paid what is not there");
    assert_eq!(
        violation.trace,
        [
            "saga 1: bank does credit",
            "saga 1: done arrives for do credit",
            "saga 1: bank refuses clear",
            "saga 1: refused arrives for do clear",
            "saga 2: bank does pay-out",
            "saga 1: bank undoes credit",
        ]
    );
    let document = include_str!("../../../docs/explorer.md");
    let trace = violation.trace.join("\n");
    assert!(document.contains(&trace), "docs/explorer.md shows another way:\n{trace}");
}

#[test]
fn sagas_of_two_types_that_share_nothing_have_the_product_of_their_states() {
    let cheque = saga(1).step::<Credit>().pivot::<Clear>().build().unwrap();
    let withdrawal = saga(1).pivot::<PayOut>().build().unwrap();
    let (first, second) = (explore(&cheque).run(), explore(&withdrawal).run());
    let both = explore(&cheque).beside(&withdrawal, &Withdrawal).run();
    both.assert_ok();
    assert_eq!(both.states, first.states * second.states);
}

/// What may be taken back is set aside, where nobody takes it for what is there.
#[test]
fn nothing_is_wrong_with_a_credit_that_is_pending_until_the_cheque_is_cleared() {
    let cheque = saga(1).step::<Credit>().pivot::<Clear>().then::<Book>().build().unwrap();
    let report = beside_a_withdrawal(&cheque)
        .handle::<Credit>(|account, _| {
            account.pending += 10;
            Reply::Done(())
        })
        .undo::<Credit, Debit>(|account, _, ()| account.pending -= 10)
        .handle::<Book>(|account, _| {
            account.pending -= 10;
            account.balance += 10;
            Reply::Done(())
        })
        .finally("nothing is pending for ever", |scene| scene.model.pending == 0)
        .run();
    report.assert_ok();
    assert!(report.states > 50, "{report}");
}
