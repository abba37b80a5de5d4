//! What is decided once, when a saga comes to a step: whether it is run, for which items, and what others are told.

use saga_core::definition::{StepPlan, Work};
use saga_core::machine::{Instance, StepRecord, StepState};

use super::orchestrator::Standing;
use super::rules::Rules;
use super::world::{Cell, Local, Message};

impl<M> Rules<M> {
    /// Whether a step is run, and for which items, stays as it was decided when the saga came to it, whatever has become
    /// of the data since.
    pub(super) fn decided_again(&self, before: &Instance, after: &Instance) -> Option<String> {
        let (earlier, later) = (before.state.steps(), after.state.steps());
        let now = |record: &StepRecord| later.iter().find(|now| now.name == record.name);
        let is_kept = |record: &StepRecord| now(record).is_some_and(|now| goes_on(record, now));
        if let Some(lost) = earlier.iter().find(|record| !is_kept(record)) {
            return Some(format!("whether {} is run is decided again [decided]", lost.name));
        }
        let is_new = |record: &&StepRecord| !earlier.iter().any(|known| known.name == record.name);
        let (_, plan) = self.plan_of(after);
        let (item, step) = later.iter().filter(is_new).find_map(|record| {
            let step = plan.steps().iter().find(|step| step.is_item(&record.name))?;
            earlier.iter().any(|known| belongs(known, step)).then_some((record, step))
        })?;
        Some(format!("{} becomes an item of {} after that was entered [decided]", item.name, step.name))
    }

    /// No more items of a step are under way than it says, to be done or to be undone.
    pub(super) fn wrong_width(&self, saga: &Instance) -> Option<String> {
        let (_, plan) = self.plan_of(saga);
        plan.steps().iter().find_map(|step| {
            let width = step.items_at_once?;
            let items = saga.state.steps().iter().filter(|record| step.is_item(&record.name));
            let under_way = items.filter(|record| record.state.is_awaited()).count();
            (under_way > width).then(|| {
                format!(
                    "{under_way} items of {} are under way at once, and {width} may be [width]",
                    step.name
                )
            })
        })
    }

    pub(super) fn tells(&self, step: u32) -> bool {
        matches!(self.step(step).work, Work::Notification(_))
    }

    /// Others are told once.
    pub(super) fn tell(&self, local: &mut Local, step: u32) -> Result<(), String> {
        let cell = local.cell_mut(step);
        if cell.has(Message::Told) {
            return Err(format!("{} is told twice [told]", self.name(step)));
        }
        *cell = cell.with(Message::Told);
        Ok(())
    }

    /// What a saga has come to is told, and nothing else is.
    pub(super) fn wrong_telling(&self, local: &Local, standing: &Standing) -> Option<String> {
        let is_told = |step: &u32| local.cell(*step).is_some_and(|cell| cell.has(Message::Told));
        if let Some(untold) = standing.told.iter().find(|step| !is_told(step)) {
            return Some(format!("the saga has come to {}, and nobody is told [told]", self.name(*untold)));
        }
        let is_early = |cell: &&Cell| cell.has(Message::Told) && !standing.told.contains(&cell.step);
        let early = local.cells.iter().find(is_early)?;
        Some(format!("{} is told, and the saga has not come to it [told]", self.name(early.step)))
    }
}

/// Whether a record goes on as what it was: what is skipped stays so, and nothing else comes to be skipped but what was
/// not entered yet.
const fn goes_on(record: &StepRecord, now: &StepRecord) -> bool {
    let skipped = matches!(now.state, StepState::Skipped);
    match record.state {
        StepState::Early(_) => true,
        StepState::Skipped => skipped,
        StepState::Queued | StepState::Doing(_) | StepState::Closing(_) | StepState::Done(_) => !skipped,
        StepState::Waiting { .. } | StepState::Pausing { .. } | StepState::Refused => !skipped,
        StepState::Undoing { .. } | StepState::Undone => !skipped,
    }
}

/// Whether a record is that of a step, or of one of its items.
fn belongs(record: &StepRecord, step: &StepPlan) -> bool {
    record.name == step.name || step.is_item(&record.name)
}
