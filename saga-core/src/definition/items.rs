//! Steps that are run once for each of several items.

use super::script::ScriptError;
use super::{Outcome, Saga};
use crate::id::StepName;
use crate::message::{Command, Undoes};
use crate::policy::Retry;

/// A command that the saga `S` sends once for each of several items, each of which is a step of its own.
///
/// An item is known by its key, from which the saga writes its command. Its step is named `NAME#key`, so that a
/// message belongs to its item whatever becomes of the others.
///
/// # Example: the lines of an order, three at a time
///
/// ```
/// # use std::collections::BTreeMap;
/// # use saga_core::{Command, CompensateEach, Each, Outcome, Participant, Saga, Undoes, saga};
/// # use serde::{Deserialize, Serialize};
/// # struct Inventory;
/// # impl Participant for Inventory { const NAME: &'static str = "inventory"; }
/// # macro_rules! command {
/// #     ($name:ident { $($field:ident: $kind:ty),* } $type:literal) => {
/// #         #[derive(Serialize, Deserialize)]
/// #         struct $name { $($field: $kind),* }
/// #         impl Command for $name {
/// #             const TYPE: &'static str = $type;
/// #             type Participant = Inventory;
/// #             type Reply = ();
/// #             type Refusal = String;
/// #         }
/// #     };
/// # }
/// # command!(ReserveItem { item: String, quantity: u32 } "reserve-item");
/// # command!(ReleaseItem { item: String } "release-item");
/// # impl Undoes<ReserveItem> for ReleaseItem {}
/// #[derive(Serialize, Deserialize)]
/// struct PlaceOrder { lines: BTreeMap<String, u32> }
/// # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
///
/// impl Each<PlaceOrder> for ReserveItem {
///     const AT_ONCE: usize = 3;
///
///     fn items(order: &PlaceOrder) -> Vec<String> {
///         order.lines.keys().cloned().collect()
///     }
///
///     fn command(order: &PlaceOrder, item: &str) -> Self {
///         ReserveItem { item: item.to_owned(), quantity: order.lines[item] }
///     }
/// }
///
/// impl CompensateEach<PlaceOrder> for ReserveItem {
///     type Undo = ReleaseItem;
///
///     fn undo(_: &PlaceOrder, item: &str, _: Outcome<()>) -> ReleaseItem {
///         ReleaseItem { item: item.to_owned() }
///     }
/// }
///
/// let definition = saga::<PlaceOrder>(1).for_each::<ReserveItem>().build();
/// # definition.unwrap();
/// ```
pub trait Each<S: Saga>: Command {
    /// The step's name inside the saga, stable for ever. Its command's type unless it says otherwise.
    const NAME: &'static str = <Self as Command>::TYPE;

    /// How many items are under way at once, to be done or to be undone. At least 1, at most 64.
    const AT_ONCE: usize = 8;

    /// The keys of the items, each once. They are fixed when the saga comes to this step; without any it is skipped.
    ///
    /// A key is made of ASCII letters, digits, and some of `. _ - # : /`. The saga parks, and says why, if one is
    /// not, or occurs twice, or if there are more than 256.
    fn items(saga: &S) -> Vec<String>;

    /// The command to send for one item.
    fn command(saga: &S, item: &str) -> Self;

    /// Takes note of the reply for one item. Does nothing by default.
    ///
    /// The replies are noted once all items are done, in the order of [`items`](Each::items).
    fn on_reply(saga: &mut S, item: &str, reply: Self::Reply) {
        let _ = (saga, item, reply);
    }

    /// Takes note that one item was refused, before the saga compensates. Does nothing by default.
    fn on_refused(saga: &mut S, item: &str, refusal: Self::Refusal) {
        let _ = (saga, item, refusal);
    }

    /// How the command is retried while its outcome is unknown.
    fn retry() -> Retry {
        Retry::default()
    }
}

/// A command for each of several items that can be taken back.
#[diagnostic::on_unimplemented(
    message = "saga step `{Self}` has no compensation for its items, so it cannot stand before the pivot",
    label = "this step needs `impl CompensateEach<{S}> for {Self}`",
    note = "every step before the pivot must be undoable: implement `CompensateEach<{S}>` for `{Self}`",
    note = "or move it after the pivot with `.then_for_each::<{Self}>()`"
)]
pub trait CompensateEach<S: Saga>: Each<S> {
    /// The command that takes this one back. It belongs to the same participant, which `Undoes` checks.
    type Undo: Undoes<Self>;

    /// The command that takes back what was done for one item, given what is known of it.
    fn undo(saga: &S, item: &str, did: Outcome<Self::Reply>) -> Self::Undo;

    /// How the undo is retried. When its attempts are spent, the saga parks and waits for a human.
    fn undo_retry() -> Retry {
        Retry::for_undo()
    }
}

/// A command for each of several items that succeeds in the end, so that it may stand after the pivot.
#[diagnostic::on_unimplemented(
    message = "saga step `{Self}` is not marked retriable for its items, so it cannot stand after the pivot",
    label = "after the pivot nothing is undone: every step must succeed in the end",
    note = "if this step can be retried until it succeeds: `impl RetriableEach<{S}> for {Self} {{}}`",
    note = "if it may be refused, it belongs before the pivot: `.for_each::<{Self}>()`"
)]
pub trait RetriableEach<S: Saga>: Each<S> {}

/// The names of the steps for these items.
pub(super) fn named(step: &'static str, items: &[String]) -> Result<Vec<StepName>, ScriptError> {
    let unfit = |why| ScriptError::Items { of: step, why };
    if items.len() > ITEMS_MAX {
        return Err(unfit(format!("{} items, and the limit is {ITEMS_MAX}", items.len())));
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = items.iter().find(|item| !seen.insert(*item)) {
        return Err(unfit(format!("the item {twice:?} twice")));
    }
    let name = |item: &String| StepName::new(format!("{step}{ITEM_MARK}{item}"));
    items.iter().map(name).collect::<Result<_, _>>().map_err(|error| unfit(format!("a bad key: {error}")))
}

/// The key of the item that a step's name is for; nothing if it is for the whole step.
pub(super) fn item_of(name: &StepName) -> &str {
    name.as_str().split_once(ITEM_MARK).map_or("", |(_, item)| item)
}

/// The name of the step that `name` is a part of: without the key of an item.
pub(crate) fn step_of(name: &StepName) -> StepName {
    match name.as_str().split_once(ITEM_MARK) {
        Some((step, _)) => StepName::new(step).unwrap_or_else(|_| name.clone()),
        None => name.clone(),
    }
}

/// What stands between a step's name and the key of an item.
pub(crate) const ITEM_MARK: char = '#';

/// A saga's state is read and written whole at every transition, and each item is a line of it and a transition.
const ITEMS_MAX: usize = 256;
