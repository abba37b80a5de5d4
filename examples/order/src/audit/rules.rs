//! The rules. Each is a function of the evidence alone.

use std::collections::{BTreeMap, HashMap};

use saga_core::id::Direction;
use uuid::Uuid;

use super::Finding;
use super::evidence::{Book, Evidence, Order, Saga};
use super::replay::replay;
use crate::contract::Item;
use crate::saga::place_order;

/// Everything that breaks a rule.
pub(super) fn broken(evidence: &Evidence) -> Vec<Finding> {
    let run = |(rule, look): &(&'static str, Rule)| {
        let rule = *rule;
        look(evidence).into_iter().map(move |what| Finding { rule, what }).collect::<Vec<_>>()
    };
    RULES.iter().flat_map(run).collect()
}

/// Looks for whatever breaks a rule.
type Rule = fn(&Evidence) -> Vec<String>;

const RULES: [(&str, Rule); 9] = [
    ("an order and its saga begin together", orders_without_sagas),
    ("a journal gives its saga's state, version by version", journals_that_lie),
    ("every saga ends", unfinished),
    ("an effect happens at most once, and its undo only after it", doubled),
    ("a saga ended as it says", lying_sagas),
    ("a fence row and the ledger agree", lying_fences),
    ("nothing stays set aside", still_held),
    ("money and goods are conserved", lost_or_made),
    ("nothing waits to be sent or done", left_behind),
];

fn orders_without_sagas(evidence: &Evidence) -> Vec<String> {
    let has_saga = |order: &Order| {
        let key = evidence.sagas.get(&order.saga).and_then(|saga| saga.key.as_deref());
        key == Some(&order.id.to_string())
    };
    let without_saga = evidence.orders.iter().filter(|order| !has_saga(order));
    let orders = orders_by_saga(evidence);
    let without_order = evidence.sagas.keys().filter(|saga| !orders.contains_key(saga));
    let mut found: Vec<_> =
        without_saga.map(|order| format!("order {} has no saga of its own", order.id)).collect();
    found.extend(without_order.map(|saga| format!("saga {saga} has no order")));
    found
}

/// Also finds commands that were decided, and that their participant's fence has not seen. Sagas of an earlier
/// definition are passed over: only its own code can say what their journals mean.
fn journals_that_lie(evidence: &Evidence) -> Vec<String> {
    let Ok(definition) = place_order() else { return vec!["the definition cannot be built".into()] };
    let mut found = Vec::new();
    let known = definition.plan().reference().fingerprint.as_uuid();
    for (order, saga) in orders_with_sagas(evidence).filter(|(_, saga)| saga.fingerprint == known) {
        let journal = evidence.journals.get(&order.saga).map_or(&[][..], Vec::as_slice);
        match replay(definition.plan(), order.saga, order, saga, journal) {
            Err(why) => found.push(format!("saga {}: {why}", order.saga)),
            Ok(sent) => {
                let lost =
                    sent.into_iter().filter(|(step, direction)| !arrived(evidence, order, step, *direction));
                found.extend(lost.map(|(step, direction)| {
                    format!("saga {}: the command to {direction} {step} never arrived", order.saga)
                }));
            }
        }
    }
    found
}

fn arrived(evidence: &Evidence, order: &Order, step: &str, direction: Direction) -> bool {
    let state = evidence.fence.get(&(order.saga, step.to_owned())).map(String::as_str);
    match direction {
        Direction::Do | Direction::Close => state.is_some(),
        Direction::Undo => matches!(state, Some("compensated" | "closed" | "refused")),
    }
}

fn unfinished(evidence: &Evidence) -> Vec<String> {
    let open = evidence
        .sagas
        .iter()
        .filter(|(_, saga)| !matches!(saga.status.as_str(), "completed" | "compensated"));
    open.map(|(id, saga)| format!("saga {id} is {}", saga.status)).collect()
}

fn doubled(evidence: &Evidence) -> Vec<String> {
    let mut found: Vec<String> = evidence
        .ledger
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|((order, effect), times)| format!("order {order}: {effect} happened {times} times"))
        .collect();
    for order in &evidence.orders {
        let steps = steps(order).into_iter();
        let undone_only = steps.filter(|step| step.undone(evidence, order) > step.done(evidence, order));
        found.extend(
            undone_only.map(|step| format!("order {}: {} was taken back, and not done", order.id, step.name)),
        );
    }
    found
}

fn lying_sagas(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for (order, saga) in orders_with_sagas(evidence) {
        for step in steps(order) {
            let (done, undone) = (step.done(evidence, order), step.undone(evidence, order));
            let as_it_says = match saga.status.as_str() {
                "completed" => (done, undone) == (1, 0),
                "compensated" => done == undone,
                _ => true,
            };
            if !as_it_says {
                let (name, status) = (step.name, &saga.status);
                found.push(format!(
                    "order {} is {status}: {name} was done {done} times, undone {undone} times",
                    order.id
                ));
            }
        }
    }
    found
}

fn lying_fences(evidence: &Evidence) -> Vec<String> {
    let orders = orders_by_saga(evidence);
    let mut found = Vec::new();
    for ((saga, name), state) in &evidence.fence {
        let order = orders.get(saga);
        let step = order.and_then(|order| steps(order).into_iter().find(|step| step.name == *name));
        let (Some(order), Some(step)) = (order, step) else {
            found.push(format!("a fence row is for {name} of saga {saga}, which no order has"));
            continue;
        };
        let noted = (step.done(evidence, order), step.undone(evidence, order));
        let expected = match state.as_str() {
            "applied" => (1, 0),
            "compensated" => (1, 1),
            _ => (0, 0),
        };
        if noted != expected {
            found.push(format!("order {}: the fence of {name} says {state}, the ledger {noted:?}", order.id));
        }
    }
    found.extend(unfenced(evidence));
    found
}

fn unfenced(evidence: &Evidence) -> impl Iterator<Item = String> {
    let orders: HashMap<Uuid, &Order> = evidence.orders.iter().map(|order| (order.id, order)).collect();
    let is_fenced = move |id: &Uuid, effect: &str| {
        let order = orders.get(id)?;
        let step =
            steps(order).into_iter().find(|step| step.effect == effect || step.undo == Some(effect))?;
        evidence.fence.get(&(order.saga, step.name))
    };
    let unfenced = evidence.ledger.keys().filter(move |(order, effect)| is_fenced(order, effect).is_none());
    unfenced.map(|(order, effect)| format!("order {order}: {effect} happened without a fence row"))
}

fn still_held(evidence: &Evidence) -> Vec<String> {
    evidence.held.iter().map(|(order, what)| format!("order {order} holds {what}")).collect()
}

fn lost_or_made(evidence: &Evidence) -> Vec<String> {
    let (mut paid, mut shipped) = (BTreeMap::<&str, i64>::new(), BTreeMap::<String, i64>::new());
    for (order, _) in orders_with_sagas(evidence).filter(|(_, saga)| saga.status == "completed") {
        *paid.entry(&order.customer).or_default() += order.amount;
        for Item { name, quantity } in items(order) {
            *shipped.entry(name).or_default() += quantity;
        }
    }
    let mut found = Vec::new();
    found.extend(evidence.accounts.iter().filter_map(|book| discrepancy(book, paid.get(book.name.as_str()))));
    found.extend(evidence.stock.iter().filter_map(|book| discrepancy(book, shipped.get(&book.name))));
    found
}

/// What is wrong with a book of which `sold` must be gone.
fn discrepancy(book: &Book, sold: Option<&i64>) -> Option<String> {
    let Book { name, opening, free, set_aside, gone } = book;
    let sold = sold.copied().unwrap_or_default();
    if *opening != free + set_aside + gone {
        Some(format!("{name}: {opening} at first, and now {free} free, {set_aside} set aside, {gone} gone"))
    } else if *gone != sold {
        Some(format!("{name}: {gone} gone, and completed orders account for {sold}"))
    } else {
        None
    }
}

fn left_behind(evidence: &Evidence) -> Vec<String> {
    let left = evidence.left.iter().filter(|(_, rows)| *rows > 0);
    left.map(|(table, rows)| format!("{table} has {rows} rows")).collect()
}

fn orders_by_saga(evidence: &Evidence) -> HashMap<Uuid, &Order> {
    evidence.orders.iter().map(|order| (order.saga, order)).collect()
}

fn orders_with_sagas(evidence: &Evidence) -> impl Iterator<Item = (&Order, &Saga)> {
    evidence.orders.iter().filter_map(|order| Some((order, evidence.sagas.get(&order.saga)?)))
}

/// A step, and what its participant's ledger calls it.
struct Step {
    name: String,
    effect: String,
    undo: Option<&'static str>,
}

impl Step {
    fn done(&self, evidence: &Evidence, order: &Order) -> i64 {
        times(evidence, order, &self.effect)
    }

    fn undone(&self, evidence: &Evidence, order: &Order) -> i64 {
        self.undo.map_or(0, |undo| times(evidence, order, undo))
    }
}

fn times(evidence: &Evidence, order: &Order, effect: &str) -> i64 {
    evidence.ledger.get(&(order.id, effect.to_owned())).copied().unwrap_or_default()
}

/// The steps of an order's saga; its goods are shipped item by item.
fn steps(order: &Order) -> Vec<Step> {
    let step = |name: &str, effect: &str, undo| Step { name: name.into(), effect: effect.into(), undo };
    let ship = |Item { name, .. }| step(&format!("ship-item#{name}"), &format!("ship {name}"), None);
    let mut steps = vec![
        step("reserve-stock", "reserve", Some("release")),
        step("authorize-payment", "authorize", Some("void")),
        step("capture-payment", "capture", None),
    ];
    steps.extend(items(order).into_iter().map(ship));
    steps
}

fn items(order: &Order) -> Vec<Item> {
    serde_json::from_str(&order.items).unwrap_or_default()
}
