//! Random sagas, random trouble.

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::network::{Move, Verb, World};
use super::participants::Handler;
use super::topology::shapes;

fn moves() -> impl Strategy<Value = Move> {
    let which = || 0..8_usize;
    let handler = prop_oneof![
        12 => Just(Handler::Does),
        2 => Just(Handler::Refuses),
        2 => Just(Handler::Fails),
        1 => Just(Handler::FailsForGood),
    ];
    let verb = prop_oneof![
        Just(Verb::Retry),
        Just(Verb::Compensate),
        Just(Verb::ResolveDone),
        Just(Verb::ResolveNotDone),
    ];
    prop_oneof![
        12 => (which(), any::<bool>(), handler)
            .prop_map(|(which, copied, handler)| Move::Command { which, copied, handler }),
        12 => (which(), any::<bool>()).prop_map(|(which, copied)| Move::Reply { which, copied }),
        5 => which().prop_map(|which| Move::Timer { which }),
        2 => which().prop_map(|which| Move::LoseCommand { which }),
        2 => which().prop_map(|which| Move::LoseReply { which }),
        3 => (0..3_usize, prop::bool::weighted(0.8)).prop_map(|(which, yes)| Move::Signal { which, yes }),
        1 => Just(Move::Cancel),
        2 => (verb, which()).prop_map(|(verb, which)| Move::Operator { verb, which }),
    ]
}

/// The same runs every time; `PROPTEST_CASES=100000` makes more of them.
#[test]
fn whatever_the_network_does_a_saga_ends_and_its_end_is_true() {
    let seen = RefCell::new(BTreeSet::new());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let runs = (shapes(), prop::collection::vec(moves(), 0..80));
    let outcome = runner.run(&runs, |(shape, moves)| {
        let mut world = World::of(&shape);
        moves.iter().for_each(|happening| world.make(happening));
        world.settle();
        seen.borrow_mut().append(&mut world.seen);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let missed: Vec<_> = SITUATIONS.iter().filter(|what| !seen.borrow().contains(*what)).collect();
    assert!(missed.is_empty(), "these runs prove nothing about: {missed:?}");
}

/// What must have come up in a run of this test, or it proves less than it says.
const SITUATIONS: [&str; 11] = [
    "a deadline passed",
    "an undo overtook its command",
    "a command came after its undo",
    "a close found its step done",
    "a late done was ignored",
    "an operator took care of a parked saga",
    "a step was skipped",
    "items came after others",
    "a signal came early",
    "a saga completed",
    "a saga was compensated",
];
