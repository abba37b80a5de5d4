//! Every construct of a definition is drawn, and so is what becomes of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use saga_core::drawing::Drawing;
use saga_core::id::{Direction, MessageId, SagaId, StepName};
use saga_core::machine::{Applied, Event, Instance, apply, start};
use saga_core::message::{Answer, Payload, TraceParent};
use saga_core::policy::Timestamp;
use saga_core::{
    Command, Compensate, CompensateEach, Definition, Each, Notification, Outcome, Participant, Pause,
    Retriable, Saga, Signal, Step, Undoes, saga,
};
use serde::{Deserialize, Serialize};

struct Shop;
impl Participant for Shop {
    const NAME: &'static str = "shop";
}

#[derive(Serialize, Deserialize)]
struct Order;
impl Saga for Order {
    const NAME: &'static str = "order";
}

macro_rules! commands {
    ($($command:ident $type:literal)+) => {$(
        #[derive(Serialize, Deserialize)]
        struct $command;
        impl Command for $command {
            const TYPE: &'static str = $type;
            type Participant = Shop;
            type Reply = ();
            type Refusal = String;
        }
        impl Step<Order> for $command {
            fn command(_: &Order) -> Self {
                $command
            }
        }
    )+};
}
commands!(Reserve "reserve" Hold "hold" Release "release" Void "void" Pay "pay" Ship "ship" PutBack "put-back");

macro_rules! undone {
    ($($command:ident by $undo:ident)+) => {$(
        impl Undoes<$command> for $undo {}
        impl Compensate<Order> for $command {
            type Undo = $undo;
            fn undo(_: &Order, _: Outcome<()>) -> $undo {
                $undo
            }
        }
    )+};
}
undone!(Reserve by Release Hold by Void);
impl Retriable<Order> for Ship {}

#[derive(Serialize, Deserialize)]
struct Pick;
impl Command for Pick {
    const TYPE: &'static str = "pick";
    type Participant = Shop;
    type Reply = ();
    type Refusal = String;
}
impl Undoes<Pick> for PutBack {}
impl Each<Order> for Pick {
    const AT_ONCE: usize = 1;
    fn items(_: &Order) -> Vec<String> {
        vec!["pen".into(), "ink".into()]
    }
    fn command(_: &Order, _: &str) -> Self {
        Pick
    }
}
impl CompensateEach<Order> for Pick {
    type Undo = PutBack;
    fn undo(_: &Order, _: &str, _: Outcome<()>) -> PutBack {
        PutBack
    }
}

#[derive(Serialize, Deserialize)]
struct Approval;
impl Signal<Order> for Approval {
    const NAME: &'static str = "approval";
    fn deadline() -> Duration {
        Duration::from_secs(60)
    }
}

#[derive(Serialize, Deserialize)]
struct Placed;
impl Notification<Order> for Placed {
    const TYPE: &'static str = "placed";
    const TOPICS: &'static [&'static str] = &["mailing", "statistics"];
    fn of(_: &Order) -> Self {
        Placed
    }
}

struct Rest;
impl Pause<Order> for Rest {
    const NAME: &'static str = "rest";
    fn length(_: &Order) -> Duration {
        Duration::from_secs(60)
    }
}

fn definition() -> Definition<Order> {
    saga(3)
        .parallel::<(Reserve, Hold)>()
        .for_each::<Pick>()
        .wait::<Approval>()
        .when(|_| false)
        .pivot::<Pay>()
        .then::<Ship>()
        .notify::<Placed>()
        .then_pause::<Rest>()
        .build()
        .unwrap()
}

#[test]
fn a_definition_is_drawn_with_all_that_it_says() {
    let drawn = Drawing::of_definition(definition().plan());
    assert_eq!(drawn.mermaid(), MERMAID);
    assert_eq!(drawn.dot(), DOT);
}

#[test]
fn a_saga_is_drawn_with_what_became_of_each_step_and_item() {
    let definition = definition();
    let (plan, id) = (definition.plan(), SagaId::from_uuid(uuid::Uuid::from_u128(7)));
    let data = Payload::encode(&Order).unwrap();
    let mut saga = start(
        plan,
        id,
        data,
        TraceParent::of_message(id, MessageId::from_uuid(id.as_uuid())),
        Timestamp::from_micros(0),
    )
    .unwrap()
    .next;
    let done = || Answer::Done(Payload::encode(&()).unwrap());
    for (step, answer) in [("reserve", done()), ("hold", done()), ("pick#pen", done())] {
        saga = replied(&definition, &saga, step, answer);
    }
    let why = Payload::encode(&"no \"ink\"").unwrap();
    saga = replied(&definition, &saga, "pick#ink", Answer::Refused(why));
    let drawn = Drawing::of_saga(plan, &saga).mermaid();
    for line in [
        r##"step2_0["pick#35;pen<br>being undone, attempt 1"]:::awaited"##,
        r##"step2_1["pick#35;ink<br>refused"]:::refused"##,
        r#"step0_0["reserve<br>done"]:::done"#,
        r#"step4["pay<br>not reached"]:::ahead"#,
        r##"outcome(["compensating: pick#35;ink was refused with #quot;no \#quot;ink\#quot;#quot;"])"##,
        "step2_0 --> step3",
    ] {
        assert!(drawn.contains(line), "{line} is not in\n{drawn}");
    }
}

fn replied(definition: &Definition<Order>, saga: &Instance, step: &str, answer: Answer) -> Instance {
    let step = StepName::new(step).unwrap();
    let event = Event::Replied { step, direction: Direction::Do, attempt: 1, answer };
    match apply(definition.plan(), saga, &event, Timestamp::from_micros(1)).unwrap() {
        Applied::Moved(transition) => transition.next,
        Applied::Ignored(why) => panic!("{why:?}"),
    }
}

const MERMAID: &str = r#"---
title: "order version 3"
---
flowchart TD
    subgraph group0[" "]
        step0["reserve<br>shop<br>undo: release"]
        step1["hold<br>shop<br>undo: void"]
    end
    step2["pick<br>shop<br>for each item, 1 at once<br>undo: put-back"]
    step3["approval<br>waits for a signal, at most 60s<br>if its condition holds"]
    step4["pay<br>shop<br>pivot"]
    step5["ship<br>shop<br>retriable"]
    step6["placed<br>tells mailing, statistics"]
    step7["rest<br>pauses<br>retriable"]
    step0 --> step2
    step1 --> step2
    step2 --> step3
    step3 --> step4
    step4 --> step5
    step5 --> step6
    step6 --> step7
"#;

const DOT: &str = r##"digraph "order version 3" {
    node [shape=box style=filled fillcolor="#ffffff"]
    subgraph cluster0 {
        step0 [label="reserve\nshop\nundo: release"]
        step1 [label="hold\nshop\nundo: void"]
    }
    step2 [label="pick\nshop\nfor each item, 1 at once\nundo: put-back"]
    step3 [label="approval\nwaits for a signal, at most 60s\nif its condition holds"]
    step4 [label="pay\nshop\npivot"]
    step5 [label="ship\nshop\nretriable"]
    step6 [label="placed\ntells mailing, statistics"]
    step7 [label="rest\npauses\nretriable"]
    step0 -> step2
    step1 -> step2
    step2 -> step3
    step3 -> step4
    step4 -> step5
    step5 -> step6
    step6 -> step7
}
"##;
