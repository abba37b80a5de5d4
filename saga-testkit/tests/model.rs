//! The examples of `docs/model.md`, with what they leave out.

use saga_core::{
    Command, Compensate, DefinitionError, Outcome, Participant, Retriable, Saga, Step, Undoes, saga,
};
use saga_testkit::story::given;
use serde::{Deserialize, Serialize};

struct Shop;

impl Participant for Shop {
    const NAME: &'static str = "shop";
}

macro_rules! commands {
    ($($command:ident $type:literal)+) => {
        $(
            #[derive(Debug, PartialEq, Serialize, Deserialize)]
            struct $command {}

            impl Command for $command {
                const TYPE: &'static str = $type;
                type Participant = Shop;
                type Reply = ();
                type Refusal = String;
            }

            impl Step<PlaceOrder> for $command {
                fn command(_: &PlaceOrder) -> Self {
                    $command {}
                }
            }
        )+
    };
}
commands! {
    ReserveStock "reserve"
    ReleaseStock "release"
    AuthorizePayment "authorize"
    VoidPayment "void"
    CapturePayment "capture"
    ShipOrder "ship"
}

macro_rules! undone {
    ($($command:ident by $undo:ident)+) => {
        $(
            impl Undoes<$command> for $undo {}

            impl Compensate<PlaceOrder> for $command {
                type Undo = $undo;

                fn undo(_: &PlaceOrder, _: Outcome<()>) -> $undo {
                    $undo {}
                }
            }
        )+
    };
}
undone! {
    ReserveStock by ReleaseStock
    AuthorizePayment by VoidPayment
}

impl Retriable<PlaceOrder> for ShipOrder {}

#[derive(Default, Serialize, Deserialize)]
struct PlaceOrder {
    amount: u32,
}

impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

impl PlaceOrder {
    fn of(amount: u32) -> Self {
        PlaceOrder { amount }
    }
}

#[test]
fn conditions() -> Result<(), DefinitionError> {
    let definition = saga(1)
        .parallel::<(ReserveStock, AuthorizePayment)>()
        .when_step::<AuthorizePayment>(|order| order.amount > 0)
        .pivot::<CapturePayment>()
        .when(|order| order.amount > 0)
        .then::<ShipOrder>()
        .build()?;

    // Nothing to pay: the money is neither held nor taken.
    given(&definition, PlaceOrder::of(0))
        .expect::<ReserveStock>()
        .reply(())
        .expect_skipped::<AuthorizePayment>()
        .expect_skipped::<CapturePayment>()
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
    Ok(())
}

#[test]
fn the_document_shows_what_stands_here() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/model.md")).unwrap();
    let here = without_spaces(include_str!("model.rs"));
    let examples: Vec<&str> = document.split("```rust\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let example = example.split("```").next().unwrap();
        assert!(
            here.contains(&without_spaces(example)),
            "docs/model.md shows what is not tested:\n{example}"
        );
    }
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}
