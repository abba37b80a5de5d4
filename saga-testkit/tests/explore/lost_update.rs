//! A lost update: two sagas that are right alone and wrong together, since each reads a balance and writes what it has
//! made of it.

use saga_core::runtime::Reply;
use saga_core::{Command, Definition, NothingToUndo, Participant, Saga, Step, saga};
use saga_testkit::explore::{Explorer, Faults, explore};
use serde::{Deserialize, Serialize};

struct Bank;
impl Participant for Bank {
    const NAME: &'static str = "bank";
}

#[derive(Serialize, Deserialize)]
struct ReadBalance;
impl Command for ReadBalance {
    const TYPE: &'static str = "bank.read.v1";
    type Participant = Bank;
    type Reply = u32;
    type Refusal = ();
}

#[derive(Serialize, Deserialize)]
struct WriteBalance(u32);
impl Command for WriteBalance {
    const TYPE: &'static str = "bank.write.v1";
    type Participant = Bank;
    type Reply = ();
    type Refusal = ();
}

#[derive(Serialize, Deserialize)]
struct Deposit {
    amount: u32,
    balance: u32,
}
impl Saga for Deposit {
    const NAME: &'static str = "deposit";
}

impl Step<Deposit> for ReadBalance {
    const NAME: &'static str = "read";

    fn command(_: &Deposit) -> Self {
        ReadBalance
    }

    fn on_reply(deposit: &mut Deposit, balance: u32) {
        deposit.balance = balance;
    }
}
impl NothingToUndo<Deposit> for ReadBalance {}

impl Step<Deposit> for WriteBalance {
    const NAME: &'static str = "write";

    fn command(deposit: &Deposit) -> Self {
        WriteBalance(deposit.balance + deposit.amount)
    }
}

fn deposit() -> Definition<Deposit> {
    saga(1).check::<ReadBalance>().pivot::<WriteBalance>().build().unwrap()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Account {
    balance: u32,
}

fn deposits(count: u32) -> Explorer<Deposit, Account> {
    let explorer = explore(&deposit())
        .model(Account { balance: 0 })
        .handle::<ReadBalance>(|account, _| Reply::Done(account.balance))
        .handle::<WriteBalance>(|account, WriteBalance(balance)| {
            account.balance = balance;
            Reply::Done(())
        })
        .faults(Faults::all().without(Faults::CANCEL | Faults::PERMANENT | Faults::OPERATOR))
        .finally("every deposit is on the account", move |scene| {
            let completed = scene.sagas.iter().filter(|saga| saga.state.cause().is_none());
            scene.model.balance == 10 * completed.count() as u32
        });
    (0..count).fold(explorer, |explorer, _| explorer.saga(&Deposit { amount: 10, balance: 0 }))
}

#[test]
fn one_deposit_is_right() {
    deposits(1).run().assert_ok();
}

#[test]
fn a_lost_update_of_two_deposits_is_found() {
    let violation = deposits(2).run().violation.unwrap();
    assert_eq!(violation.what, "it is not so that every deposit is on the account");
    assert_eq!(
        violation.trace,
        [
            "saga 1: bank does read, and answers 0",
            "saga 1: done arrives for do read",
            "saga 2: bank does read, and answers 0",
            "saga 1: bank does write",
            "saga 1: done arrives for do write",
            "saga 2: done arrives for do read",
            "saga 2: bank does write",
            "saga 2: done arrives for do write",
        ]
    );
    let trace: Vec<&str> = violation.trace.iter().map(String::as_str).collect();
    assert_eq!(deposits(2).replay(&trace).violation.unwrap().what, violation.what);
    let (document, printed) = (include_str!("../../../docs/explorer.md"), violation.to_string());
    let printed = printed.split("\n\nas a picture").next().unwrap();
    for part in [printed, &violation.diagram] {
        assert!(document.contains(part), "docs/explorer.md shows something else:\n{part}");
    }
    let parts = format!("{}{}", include_str!("dirty_read.rs"), violation.test);
    crate::document::assert_parts_shown("explorer.md", &parts);
}
