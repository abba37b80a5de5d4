//! The smallest saga, and every way it can go: few enough to count by hand.

use saga_core::message::Payload;
use saga_core::{Command, NothingToUndo, Participant, Saga, Step, saga};
use saga_testkit::explore::{Faults, explore};
use serde::{Deserialize, Serialize};

struct Oracle;
impl Participant for Oracle {
    const NAME: &'static str = "oracle";
}

#[derive(Serialize, Deserialize)]
struct Ask;
impl Command for Ask {
    const TYPE: &'static str = "ask";
    type Participant = Oracle;
    type Reply = String;
    type Refusal = u8;
}

#[derive(Serialize, Deserialize)]
struct Question(Option<String>);
impl Saga for Question {
    const NAME: &'static str = "question";
}
impl Step<Question> for Ask {
    fn command(_: &Question) -> Self {
        Ask
    }

    fn on_reply(question: &mut Question, reply: String) {
        question.0 = Some(reply);
    }
}
impl NothingToUndo<Question> for Ask {}

#[test]
fn without_faults_there_is_one_way() {
    let question = saga::<Question>(1).check::<Ask>().build().unwrap();
    let report = explore(&question).faults(Faults::none()).run();
    report.assert_ok();
    // Asked; answered; completed.
    assert_eq!((report.states, report.transitions, report.depth, report.ends), (3, 2, 2, 1));
}

#[test]
fn each_answer_that_is_listed_is_a_way_of_its_own() {
    let question = saga::<Question>(1).check::<Ask>().build().unwrap();
    let explorer = explore(&question).faults(Faults::REFUSAL);
    let explorer = explorer.reply::<Ask>(&"yes".into()).reply::<Ask>(&"perhaps".into()).refusal::<Ask>(&7);
    let report = explorer
        .invariant("an answer is known once it is completed", |scene| {
            let answers = [r#"["yes"]"#, r#"["perhaps"]"#, r#""yes""#, r#""perhaps""#, "null"];
            scene.sagas.iter().map(|saga| &saga.data).all(|data: &Payload| answers.contains(&data.as_text()))
        })
        .run();
    report.assert_ok();
    assert_eq!((report.states, report.transitions, report.depth, report.ends), (7, 6, 2, 3));
}
