//! What becomes of a saga, mark by mark.

use std::time::Duration;

use saga_core::id::{Destination, Direction, SagaId, StepName};
use saga_core::machine::Parent;
use saga_core::message::{Answer, Fault};
use saga_core::{Definition, DefinitionError, saga};

use crate::shop::{Approval, Hold, Look, Order, Pay, Pick, Reserve, Rest, Ship, Silence};
use crate::tale::Tale;

type Built = Result<Definition<Order>, DefinitionError>;

fn with_approval() -> Built {
    saga(1).step::<Reserve>().wait::<Approval>().when(|order| !order.unasked).pivot::<Pay>().build()
}

fn with_items() -> Built {
    saga(1).step::<Reserve>().for_each::<Pick>().pivot::<Pay>().then::<Ship>().build()
}

#[test]
fn a_saga_that_begins_is_drawn_whole() {
    let drawing = Tale::of(with_items(), &Order::default()).drawing();
    assert_eq!(drawing.mermaid(), BEGUN_IN_MERMAID);
    assert_eq!(drawing.dot(), BEGUN_IN_DOT);
}

#[test]
fn items_stand_in_a_frame_that_says_what_they_are_items_of() {
    let tale = Tale::of(with_items(), &Order::default()).done(&["reserve", "pick#pen"]);
    tale.assert_drawn(&[
        r#"subgraph group1["pick<br>shop<br>for each item, 2 at once<br>undo: put-back"]"#,
        r##"step1_0["pick#35;pen<br>done"]:::done"##,
        r##"step1_1["pick#35;ink<br>asked, attempt 1"]:::awaited"##,
        r##"step1_2["pick#35;cap<br>asked, attempt 1"]:::awaited"##,
        "step0_0 --> step1_2",
        "step1_2 --> step2",
    ]);
    let dot = tale.drawing().dot();
    for line in [
        r#"        label="pick\nshop\nfor each item, 2 at once\nundo: put-back""#,
        r##"        step1_0 [label="pick#pen\ndone" fillcolor="#c9efcb"]"##,
    ] {
        assert!(dot.lines().any(|drawn| drawn == line), "{line} is not in\n{dot}");
    }
}

#[test]
fn a_single_item_has_the_frame_as_well() {
    let order = Order { has_one_item: true, ..Order::default() };
    let drawing = Tale::of(with_items(), &order).done(&["reserve"]).drawing();
    let heading = "pick<br>shop<br>for each item, 2 at once<br>undo: put-back";
    assert!(drawing.mermaid().contains(&format!("subgraph group1[\"{heading}\"]")));
    assert!(drawing.dot().contains("subgraph cluster1"));
}

#[test]
fn what_is_taken_back_is_told_from_what_was_refused_and_what_was_never_sent() {
    let tale = Tale::of(with_items(), &Order::default()).done(&["reserve"]);
    tale.assert_drawn(&[r##"step1_2["pick#35;cap<br>queued"]:::ahead"##]);
    let tale = tale.refused("pick#ink", "none left");
    tale.assert_drawn(&[
        r##"step1_0["pick#35;pen<br>being undone, attempt 1"]:::undoing"##,
        r##"step1_1["pick#35;ink<br>refused"]:::refused"##,
        r##"step1_2["pick#35;cap<br>not done, and never will be"]:::refused"##,
        r##"outcome(["compensating: pick#35;ink was refused with #34;none left#34;"])"##,
    ]);
    let tale = tale.answered("pick#pen", Answer::Undone).answered("reserve", Answer::Undone);
    tale.assert_drawn(&[
        r#"step0_0["reserve<br>shop<br>undo: release<br>undone"]:::undone"#,
        r##"outcome(["compensated: pick#35;ink was refused with #34;none left#34;"])"##,
    ]);
}

#[test]
fn a_wait_says_until_when_and_what_follows() {
    for (silence, then) in [
        (Silence::No, "then it is compensated"),
        (Silence::Yes, "then the signal of at_deadline counts"),
        (
            Silence::Panic("oh".into()),
            "then it is parked: #96;at_deadline#96; of #34;approval#34; panicked: oh",
        ),
    ] {
        let order = Order { silence, ..Order::default() };
        let tale = Tale::of(with_approval(), &order).at(5).done(&["reserve"]);
        let until = "<br>waits for its signal until 1970-01-01T00:01:05Z";
        tale.assert_drawn(&[&format!("{until}<br>{then}\"]:::waiting")]);
    }
}

#[test]
fn a_signal_that_comes_early_or_is_not_waited_for_is_drawn() {
    let tale = Tale::of(with_approval(), &Order::default()).signalled("approval");
    tale.assert_drawn(&[r#"<br>signalled early"]:::early"#]);
    tale.done(&["reserve"])
        .assert_drawn(&["<br>done\"]:::done\n    step2_0[\"pay<br>shop<br>pivot<br>asked"]);
    let order = Order { unasked: true, ..Order::default() };
    Tale::of(with_approval(), &order).done(&["reserve"]).assert_drawn(&[r#"<br>skipped"]:::skipped"#]);
}

#[test]
fn a_parked_saga_says_why_and_waits_for_no_date() {
    let tale = Tale::of(with_approval(), &Order::default()).done(&["reserve"]);
    let tale = tale.undeliverable("approval", "no \"such\" queue");
    tale.assert_drawn(&[
        r#"<br>waits for its signal"]:::waiting"#,
        r##"outcome(["parked: no #34;such#34; queue"])"##,
    ]);
    tale.signalled("approval").assert_drawn(&[r#"<br>signalled, and kept until it goes on"]:::waiting"#]);
}

#[test]
fn a_saga_that_is_parked_on_its_way_back_says_both_reasons() {
    let definition = saga(1).parallel::<(Reserve, Hold)>().build();
    let tale = Tale::of(definition, &Order::default()).done(&["reserve", "hold"]);
    tale.assert_drawn(&[r#"outcome(["completed"])"#]);
    let tale = Tale::of(with_items(), &Order::default()).cancelled("too dear");
    let tale = tale.answered("reserve", Answer::Fault(Fault::permanent("gone")));
    tale.assert_drawn(&[r#"<br>while it was compensated: cancelled: too dear"])"#]);
}

#[test]
fn a_pause_says_when_it_ends_parked_or_not() {
    let definition = saga(1).step::<Reserve>().pause::<Rest>().pivot::<Pay>().build();
    let tale = Tale::of(definition, &Order::default()).at(5).done(&["reserve"]);
    let pausing = r#"step1_0["rest<br>pauses<br>pauses until 1970-01-01T01:00:05Z"]:::pausing"#;
    tale.assert_drawn(&[pausing]);
    let tale = tale.undeliverable("rest", "stop");
    tale.assert_drawn(&[pausing, r#"outcome(["parked: stop"])"#]);
}

#[test]
fn attempts_are_counted_and_what_stays_unknown_is_closed() {
    let definition = saga(1).check::<Look>().step::<Reserve>().build();
    let tale = Tale::of(definition, &Order::default());
    tale.assert_drawn(&[
        r#"step0_0["look<br>shop<br>1 attempt<br>a check: nothing to undo<br>asked, attempt 1"]:::awaited"#,
    ]);
    let tale = tale.times_out("look");
    tale.assert_drawn(&[r#"<br>being closed, attempt 1"]:::closing"#]);
    let tale = tale.done(&["look"]).answered("reserve", Answer::Fault(Fault::temporary("busy")));
    tale.assert_drawn(&[r#"<br>asked, attempt 1, the next one comes"]:::awaited"#]);
    tale.times_out("reserve").assert_drawn(&[r#"<br>asked, attempt 2"]:::awaited"#]);
}

#[test]
fn the_date_of_a_deadline_stands_in_the_drawing_as_long_as_it_counts() {
    let deadline = "compensated if it is not at its pivot by 1970-01-01T00:10:00Z";
    let saga = || {
        let definition = saga(1).step::<Reserve>().pivot::<Pay>().deadline(Duration::from_secs(600)).build();
        Tale::of(definition, &Order::default())
    };
    saga().assert_drawn(&[
        &format!("start([\"began 1970-01-01T00:00:00Z<br>{deadline}\"])"),
        "start --> step0_0",
    ]);
    saga().done(&["reserve"]).assert_not_drawn(deadline);
    saga().cancelled("too dear").assert_not_drawn(deadline);
}

#[test]
fn a_saga_that_is_a_step_of_another_one_names_it() {
    let parent = Parent {
        saga: SagaId::from_uuid(uuid::Uuid::from_u128(8)),
        step: StepName::new("deliver").unwrap(),
        reply_to: Destination::new("replies").unwrap(),
        attempt: 1,
        asks: Some(Direction::Do),
    };
    let tale = Tale::of_child(saga(1).step::<Reserve>().build(), parent);
    tale.assert_drawn(&["<br>step deliver of 00000000-0000-0000-0000-000000000008"]);
    tale.done(&["reserve"]).assert_drawn(&[r#"outcome(["provisional"])"#]);
}

const BEGUN_IN_MERMAID: &str = r##"---
title: "order version 1 00000000-0000-0000-0000-000000000007"
---
flowchart TD
    start(["began 1970-01-01T00:00:00Z"])
    step0_0["reserve<br>shop<br>undo: release<br>asked, attempt 1"]:::awaited
    step1["pick<br>shop<br>for each item, 2 at once<br>undo: put-back<br>not reached"]:::ahead
    step2["pay<br>shop<br>pivot<br>not reached"]:::ahead
    step3["ship<br>shop<br>retriable<br>not reached"]:::ahead
    start --> step0_0
    step0_0 --> step1
    step1 --> step2
    step2 --> step3
    step3 --> outcome
    outcome(["running"])
    classDef ahead fill:#ffffff
    classDef early fill:#e4f3d0
    classDef waiting fill:#fff7cf
    classDef pausing fill:#f2ecc4
    classDef awaited fill:#ffe9a8
    classDef closing fill:#ffd9c0
    classDef undoing fill:#ffc98f
    classDef done fill:#c9efcb
    classDef refused fill:#f6c6c6
    classDef undone fill:#dddddd
    classDef skipped fill:#f2f2f2
"##;
const BEGUN_IN_DOT: &str = r##"digraph "order version 1 00000000-0000-0000-0000-000000000007" {
    node [shape=box style=filled fillcolor="#ffffff"]
    start [label="began 1970-01-01T00:00:00Z" shape=oval]
    step0_0 [label="reserve\nshop\nundo: release\nasked, attempt 1" fillcolor="#ffe9a8"]
    step1 [label="pick\nshop\nfor each item, 2 at once\nundo: put-back\nnot reached" fillcolor="#ffffff"]
    step2 [label="pay\nshop\npivot\nnot reached" fillcolor="#ffffff"]
    step3 [label="ship\nshop\nretriable\nnot reached" fillcolor="#ffffff"]
    start -> step0_0
    step0_0 -> step1
    step1 -> step2
    step2 -> step3
    step3 -> outcome
    outcome [label="running" shape=oval]
}
"##;
