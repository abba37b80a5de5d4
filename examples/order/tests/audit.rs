//! The audit: clean books pass, and whatever is doctored is reported.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{World, run};
use order::audit::{Databases, audit};

/// One world with an order of every outcome; then each way to doctor its databases, one after the other.
#[tokio::test]
async fn clean_books_pass_and_whatever_is_doctored_is_reported() {
    let Some(world) = World::start().await else { return };
    place_every_outcome(&world).await;
    let mut databases = world.databases().await;
    assert_eq!(audit(&mut databases).await.unwrap(), []);
    for (place, statement, rule) in DOCTORED {
        let rules = rules_broken_by(&mut databases, *place, statement).await;
        assert!(rules.contains(rule), "{statement}\nbreaks {rules:?}, and not {rule:?}");
    }
    assert_eq!(audit(&mut databases).await.unwrap(), [], "doctoring was rolled back");
}

async fn place_every_outcome(world: &World) {
    let completed = world.place("ada", 1999, "pen", 2).await;
    let too_poor = world.place("bob", 1999, "pen", 2).await;
    let frozen = world.place("eve", 1999, "lamp", 1).await;
    let unknown = world.place("zoe", 1999, "pen", 2).await;
    let out_of_stock = world.place("ada", 1999, "piano", 2).await;
    let panicked = world.place("ada", 1999, "faulty-panics", 1).await;
    let hung = world.place("ada", 1999, "faulty-hangs", 1).await;
    let parked = world.place("ada", 1999, "faulty-broken", 1).await;
    let order = world.until(&parked, "needs attention").await;
    let compensate = format!("{}/compensate", order["saga"].as_str().unwrap());
    world.post(&compensate, &serde_json::json!({ "reason": "the scale stays broken" })).await;
    world.until(&completed, "completed").await;
    for cancelled in [too_poor, frozen, unknown, out_of_stock, panicked, hung, parked] {
        world.until(&cancelled, "cancelled").await;
    }
    world.until_quiet().await;
}

#[derive(Clone, Copy)]
enum Place {
    Order,
    Payment,
    Inventory,
}

/// The rules that the audit finds broken while `statement` is in effect.
async fn rules_broken_by(
    databases: &mut Databases,
    place: Place,
    statement: &'static str,
) -> Vec<&'static str> {
    let connection = async |databases: &mut Databases, statement: &'static str| {
        let connection = match place {
            Place::Order => &mut databases.order,
            Place::Payment => &mut databases.payment,
            Place::Inventory => &mut databases.inventory,
        };
        run(connection, statement).await
    };
    connection(databases, "BEGIN").await;
    assert!(connection(databases, statement).await > 0, "{statement}\nchanges nothing");
    let findings = audit(databases).await.unwrap();
    connection(databases, "ROLLBACK").await;
    findings.into_iter().map(|finding| finding.rule).collect()
}

const TOGETHER: &str = "an order and its saga begin together";
const JOURNAL: &str = "a journal gives its saga's state, version by version";
const ENDS: &str = "every saga ends";
const ONCE: &str = "an effect happens at most once, and its undo only after it";
const AS_IT_SAYS: &str = "a saga ended as it says";
const FENCE: &str = "a fence row and the ledger agree";
const SET_ASIDE: &str = "nothing stays set aside";
const CONSERVED: &str = "money and goods are conserved";
const LEFT: &str = "nothing waits to be sent or done";

/// Where, what, and which rule that breaks.
const DOCTORED: &[(Place, &str, &str)] = &[
    (Place::Order, "DELETE FROM orders WHERE customer = 'ada' AND items LIKE '%pen%'", TOGETHER),
    (Place::Order, "UPDATE orders SET saga = gen_random_uuid() WHERE customer = 'bob'", TOGETHER),
    (Place::Order, "DELETE FROM saga.business_key", TOGETHER),
    (Place::Order, "DELETE FROM saga.journal WHERE decision = 'completed'", JOURNAL),
    (Place::Order, "DELETE FROM saga.journal WHERE version = 2", JOURNAL),
    (Place::Order, "UPDATE saga.journal SET decision = 'completed' WHERE decision = 'compensated'", JOURNAL),
    (
        Place::Order,
        "INSERT INTO saga.journal (saga, version, batch, now, writer, decision, event)
         SELECT saga, version + 1, batch, now, writer, decision, event FROM saga.journal WHERE decision = 'completed'",
        JOURNAL,
    ),
    (Place::Order, "UPDATE saga.instance SET version = version + 1 WHERE status = 'completed'", JOURNAL),
    (Place::Order, "UPDATE saga.instance SET data = '{}' WHERE status = 'completed'", JOURNAL),
    (Place::Order, "UPDATE orders SET amount = amount + 1 WHERE customer = 'eve'", JOURNAL),
    (Place::Order, "UPDATE saga.instance SET status = 'running', ended_at = NULL WHERE status = 'completed'", ENDS),
    (Place::Order, "UPDATE saga.instance SET status = 'parked', parked = 'x', ended_at = NULL WHERE status = 'completed'", ENDS),
    (Place::Order, "UPDATE saga.instance SET status = 'completed' WHERE status = 'compensated'", AS_IT_SAYS),
    (Place::Order, "UPDATE saga.instance SET status = 'compensated' WHERE status = 'completed'", AS_IT_SAYS),
    (
        Place::Order,
        "INSERT INTO saga.outbox (id, due_at, message, key, destination, headers, body)
         SELECT id, now(), id, id, 'inventory', '', '' FROM saga.instance LIMIT 1",
        LEFT,
    ),
    (
        Place::Order,
        "INSERT INTO saga.timer (saga, step, due_at, attempt, definition, direction)
         SELECT id, 'capture-payment', now(), 1, definition, 'do' FROM saga.instance LIMIT 1",
        LEFT,
    ),
    (Place::Payment, "DELETE FROM ledger WHERE effect = 'void'", AS_IT_SAYS),
    (Place::Payment, "DELETE FROM ledger WHERE effect = 'capture'", AS_IT_SAYS),
    (Place::Payment, "DELETE FROM ledger WHERE effect = 'authorize'", ONCE),
    (Place::Payment, "INSERT INTO ledger SELECT * FROM ledger WHERE effect = 'capture'", ONCE),
    (Place::Payment, "INSERT INTO ledger SELECT * FROM ledger WHERE effect = 'void'", ONCE),
    (
        Place::Payment,
        "INSERT INTO hold (order_id, customer, amount) SELECT order_id, 'eve', 5 FROM ledger WHERE effect = 'void'",
        SET_ASIDE,
    ),
    (Place::Payment, "UPDATE account SET balance = balance - 1 WHERE customer = 'bob'", CONSERVED),
    (
        Place::Payment,
        "UPDATE account SET balance = balance - 1999, captured = captured + 1999 WHERE customer = 'ada'",
        CONSERVED,
    ),
    (Place::Payment, "DELETE FROM saga.fence WHERE step = 'capture-payment'", JOURNAL),
    (Place::Payment, "DELETE FROM saga.fence WHERE step = 'capture-payment'", FENCE),
    (Place::Payment, "UPDATE saga.fence SET state = 'closed', payload = NULL WHERE state = 'compensated'", FENCE),
    (Place::Inventory, "DELETE FROM ledger WHERE effect = 'release'", AS_IT_SAYS),
    (Place::Inventory, "DELETE FROM ledger WHERE effect = 'ship'", AS_IT_SAYS),
    (Place::Inventory, "INSERT INTO ledger SELECT * FROM ledger WHERE effect = 'reserve' LIMIT 1", ONCE),
    (
        Place::Inventory,
        "INSERT INTO reservation SELECT order_id, 'pen', 1 FROM ledger WHERE effect = 'release' LIMIT 1",
        SET_ASIDE,
    ),
    (Place::Inventory, "UPDATE stock SET available = available - 1 WHERE item = 'pen'", CONSERVED),
    (Place::Inventory, "UPDATE stock SET available = available - 1, shipped = shipped + 1 WHERE item = 'lamp'", CONSERVED),
    (
        Place::Inventory,
        "INSERT INTO saga.outbox (id, due_at, message, key, destination, headers, body)
         SELECT saga, now(), saga, saga, 'order.replies', '', '' FROM saga.fence LIMIT 1",
        LEFT,
    ),
];
