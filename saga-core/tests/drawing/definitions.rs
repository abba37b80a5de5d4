//! All that a definition says.

use std::time::Duration;

use saga_core::drawing::Drawing;
use saga_core::{Definition, Run, saga};

use crate::shop::{
    Approval, Charge, Delivery, Hold, Invoice, Look, Note, Order, Pack, Pay, Pick, Placed, Reserve, Rest,
    Ship, Weigh,
};

fn third() -> Definition<Order> {
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

fn fourth() -> Definition<Order> {
    let second = saga::<Order>(2).step::<Reserve>().build().unwrap();
    saga(4)
        .check::<Look>()
        .check::<Weigh>()
        .pause::<Rest>()
        .step::<Note>()
        .step::<Run<Delivery>>()
        .pivot::<Charge>()
        .then_parallel::<(Ship, Invoice)>()
        .then_for_each::<Pack>()
        .deadline(Duration::from_secs(3600))
        .upgrade_from(&second)
        .upgrade_from(&third())
        .build()
        .unwrap()
}

#[test]
fn a_definition_is_drawn_with_all_that_it_says() {
    let drawn = Drawing::of_definition(third().plan());
    assert_eq!(drawn.mermaid(), THIRD_IN_MERMAID);
    assert_eq!(drawn.dot(), THIRD_IN_DOT);
}

#[test]
fn sub_sagas_local_steps_checks_deadlines_retries_and_upgrades_are_drawn() {
    let drawn = Drawing::of_definition(fourth().plan());
    assert_eq!(drawn.mermaid(), FOURTH_IN_MERMAID);
}

#[test]
fn a_saga_without_a_pivot_has_its_deadline_for_the_whole_way() {
    let definition = saga::<Order>(1).step::<Reserve>().deadline(Duration::from_secs(9)).build().unwrap();
    let drawn = Drawing::of_definition(definition.plan()).dot();
    let start = r#"start [label="compensated if it is not through within 9s" shape=oval]"#;
    assert!(drawn.contains(start), "{drawn}");
}

const THIRD_IN_MERMAID: &str = r##"---
title: "order version 3"
---
flowchart TD
    subgraph group0[" "]
        step0["reserve<br>shop<br>undo: release"]
        step1["hold<br>shop<br>undo: void, 1 attempt"]
    end
    step2["pick<br>shop<br>for each item, 2 at once<br>undo: put-back"]
    step3["approval<br>waits for a signal, at most 60s<br>then the signal of at_deadline counts, or it is compensated<br>if its condition holds"]
    step4["pay<br>shop<br>pivot"]
    step5["ship<br>shop<br>retriable"]
    step6["placed<br>tells mailing, statistics<br>notification: orders.placed.v1"]
    step7["rest<br>pauses<br>retriable"]
    step0 --> step2
    step1 --> step2
    step2 --> step3
    step3 --> step4
    step4 --> step5
    step5 --> step6
    step6 --> step7
"##;
const THIRD_IN_DOT: &str = r##"digraph "order version 3" {
    node [shape=box style=filled fillcolor="#ffffff"]
    subgraph cluster0 {
        step0 [label="reserve\nshop\nundo: release"]
        step1 [label="hold\nshop\nundo: void, 1 attempt"]
    }
    step2 [label="pick\nshop\nfor each item, 2 at once\nundo: put-back"]
    step3 [label="approval\nwaits for a signal, at most 60s\nthen the signal of at_deadline counts, or it is compensated\nif its condition holds"]
    step4 [label="pay\nshop\npivot"]
    step5 [label="ship\nshop\nretriable"]
    step6 [label="placed\ntells mailing, statistics\nnotification: orders.placed.v1"]
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
const FOURTH_IN_MERMAID: &str = r##"---
title: "order version 4"
---
flowchart TD
    start(["compensated if it is not at its pivot within 3600s<br>sagas of version 2 and 3 may move to it"])
    step0["look<br>shop<br>1 attempt<br>a check: nothing to undo"]
    step1["weigh<br>shop<br>command: scales:weigh.v2<br>a check: nothing to undo"]
    step2["rest<br>pauses"]
    step3["note<br>local: in the orchestrator's own database<br>undo: erase"]
    step4["deliver<br>shipping runs the saga delivery<br>undo: compensates it"]
    step5["charge<br>shop<br>9 attempts, 1s for each, pauses from 1s to 60s, 60s for all<br>pivot, closed if it stays unknown"]
    subgraph group6[" "]
        step6["ship<br>shop<br>retriable"]
        step7["invoice<br>shop<br>1s for each, pauses from 1s to 60s<br>retriable"]
    end
    step8["pack<br>shop<br>for each item, 3 at once<br>retriable"]
    start --> step0
    step0 --> step1
    step1 --> step2
    step2 --> step3
    step3 --> step4
    step4 --> step5
    step5 --> step6
    step5 --> step7
    step6 --> step8
    step7 --> step8
"##;
