//! Somebody who gives sagas what they wait for: early or late, twice, something else afterwards, or never.

use std::sync::Arc;

use saga_core::id::{BusinessKey, SagaId, StepName};
use saga_core::machine::Status;
use saga_core::message::Payload;
use saga_core::runtime::OperateError;
use saga_core::{Saga, Signal};

use super::counters::Seen;
use super::stage::Stage;
use crate::suite::Dice;

type Draw = Box<dyn Fn(&mut Dice) -> Option<Payload> + Send + Sync>;

/// Signals for one step, with their types erased.
pub(super) struct Signals {
    step: StepName,
    draw: Draw,
}

impl Signals {
    /// `None` if the step has no name that a definition could have.
    pub(super) fn of<S: Saga, G: Signal<S>>(
        draw: impl Fn(&mut Dice) -> G + Send + Sync + 'static,
    ) -> Option<Self> {
        let draw = move |dice: &mut Dice| Payload::encode(&draw(dice)).ok();
        Some(Signals { step: StepName::new(G::NAME).ok()?, draw: Box::new(draw) })
    }

    /// What one saga is given, one after the other: often the same twice, and sometimes nothing.
    fn for_one(&self, dice: &mut Dice) -> Vec<Payload> {
        let first = (self.draw)(dice);
        let second = match dice.roll(3) {
            0 => (self.draw)(dice),
            _ => first.clone(),
        };
        first.into_iter().chain(second).take(dice.roll(4).min(2)).collect()
    }
}

impl<S: Saga> Stage<S> {
    /// Gives a caller's saga its signals, each until it is taken or refused.
    pub(super) async fn give(self: Arc<Self>, number: usize, signals: Arc<Signals>) {
        let Ok(key) = BusinessKey::new(format!("order {number}")) else { return };
        let given = self.world.with_dice(|dice| signals.for_one(dice));
        let mut saga = None;
        for signal in given {
            tokio::time::sleep(self.world.millis(0..GIVEN_WITHIN_MS)).await;
            for _ in 0..TRIES_MAX {
                // First by its key, and then by its id.
                saga = match saga {
                    Some(saga) => Some(saga),
                    None => self.find(&key).await,
                };
                let said = match saga {
                    Some(saga) => self.give_once(saga, &signals.step, &signal).await,
                    None => None,
                };
                if said.is_some() {
                    break;
                }
                tokio::time::sleep(self.world.millis(20..200)).await;
            }
        }
    }

    async fn find(&self, key: &BusinessKey) -> Option<SagaId> {
        let (process, orchestrator) = self.some_orchestrator()?;
        let found = process.unless_it_dies(orchestrator.find::<S>(key)).await?;
        Some(found.ok()??.id())
    }

    /// `None` if it has to be given again.
    async fn give_once(&self, saga: SagaId, step: &StepName, signal: &Payload) -> Option<()> {
        let (process, orchestrator) = self.some_orchestrator()?;
        let giving = orchestrator.signal(saga, step.clone(), signal.clone());
        let said: Result<Status, OperateError> = process.unless_it_dies(giving).await?;
        self.world.note(format_args!("somebody signals {} to {saga}: {said:?}", signal.as_text()));
        match said {
            Ok(_) => self.world.witness(|witness, _| witness.signalled(saga, step, signal)),
            Err(OperateError::Refused(_)) => self.world.count(Seen::SignalRefused),
            Err(_) => return None,
        }
        Some(())
    }
}

/// From before the saga is started until long after it has given up to wait.
const GIVEN_WITHIN_MS: u64 = 2_500;

/// Then whoever gives it has lost patience.
const TRIES_MAX: usize = 20;
