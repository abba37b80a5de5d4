//! Customers: they place orders of every kind, and repeat themselves until they are heard.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use order::faults::{BROKEN, HANGS, PANICS};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Options;
use crate::dice::Dice;
use crate::fleet::Fleet;

/// Customers at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    customers: JoinSet<()>,
}

struct Shared {
    fleet: Arc<Fleet>,
    stopping: AtomicBool,
    in_flight: AtomicI64,
    accepted: Mutex<HashMap<String, Kind>>,
}

/// The orders that were accepted, by id.
pub(crate) struct Placed(pub(crate) HashMap<String, Kind>);

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} orders are accepted", self.0.len())
    }
}

/// What an order is meant to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// It completes, unless something takes too long.
    Plain,
    TooPoor,
    Stranger,
    Frozen,
    OutOfStock,
    Broken,
    Panics,
    Hangs,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Plain,
        Kind::TooPoor,
        Kind::Stranger,
        Kind::Frozen,
        Kind::OutOfStock,
        Kind::Broken,
        Kind::Panics,
        Kind::Hangs,
    ];

    /// Mostly plain ones. A handler that hangs holds up others, so those are rare.
    fn roll(dice: &mut Dice) -> Kind {
        match dice.below(1000) {
            0..70 => Kind::TooPoor,
            70..120 => Kind::Stranger,
            120..200 => Kind::Frozen,
            200..270 => Kind::OutOfStock,
            270..280 => Kind::Broken,
            280..283 => Kind::Panics,
            283..285 => Kind::Hangs,
            _ => Kind::Plain,
        }
    }

    fn order(self, dice: &mut Dice) -> Value {
        let anyone = format!("customer-{}", dice.below(CUSTOMERS));
        let (customer, amount) = match self {
            Kind::TooPoor => ("bob".to_owned(), 501),
            Kind::Stranger => ("zoe".to_owned(), 100),
            Kind::Frozen => ("eve".to_owned(), 10),
            Kind::Plain | Kind::OutOfStock | Kind::Broken | Kind::Panics | Kind::Hangs => {
                (anyone, 1 + dice.below(100))
            }
        };
        let goods = match self {
            Kind::OutOfStock => "piano".to_owned(),
            Kind::Broken => BROKEN.to_owned(),
            Kind::Panics => PANICS.to_owned(),
            Kind::Hangs => HANGS.to_owned(),
            Kind::Plain | Kind::TooPoor | Kind::Stranger | Kind::Frozen => {
                format!("item-{}", dice.below(ITEMS))
            }
        };
        let other = format!("other-{}", dice.below(ITEMS));
        let items = json!([{ "name": goods, "quantity": 2 }, { "name": other, "quantity": 1 }]);
        json!({ "customer": customer, "amount": amount, "items": items })
    }
}

impl Load {
    pub(crate) fn start(fleet: Arc<Fleet>, options: &Options) -> Load {
        let shared = Arc::new(Shared {
            fleet,
            stopping: AtomicBool::new(false),
            in_flight: AtomicI64::new(0),
            accepted: Mutex::default(),
        });
        let mut customers = JoinSet::new();
        customers.spawn(shared.clone().watch());
        for number in 0..CONCURRENT {
            customers.spawn(shared.clone().order_again_and_again(
                options.seed,
                number,
                options.in_flight * 8 / 5,
            ));
        }
        Load { shared, customers }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.lock().unwrap().len()
    }

    pub(crate) async fn stop(self) -> Placed {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.customers.join_all().await;
        Placed(std::mem::take(&mut self.shared.accepted.lock().unwrap()))
    }
}

impl Shared {
    async fn watch(self: Arc<Self>) {
        while !self.stopping.load(Ordering::Relaxed) {
            if let Some(in_flight) = self.fleet.in_flight().await {
                self.in_flight.store(in_flight, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Places orders as long as there are not enough under way.
    async fn order_again_and_again(self: Arc<Self>, seed: u64, number: u64, enough: i64) {
        let mut dice = Dice::of(seed << 8 | number);
        for nth in 0.. {
            while self.in_flight.load(Ordering::Relaxed) >= enough && !self.stopping.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let kind = Kind::roll(&mut dice);
            let order = kind.order(&mut dice);
            let Some(id) = self.place(&format!("{seed}-{number}-{nth}"), &order, &mut dice).await else {
                return;
            };
            self.accepted.lock().unwrap().insert(id, kind);
        }
    }

    /// Asks either service until one has accepted the order; the key makes it one order. None if it is time to stop.
    async fn place(&self, key: &str, order: &Value, dice: &mut Dice) -> Option<String> {
        while !self.stopping.load(Ordering::Relaxed) {
            let service = &self.fleet.orders()[dice.below(2) as usize];
            if let Ok(answer) = service.client.post("/orders", key, order).await {
                match answer.status {
                    202 => return answer.json()["id"].as_str().map(ToOwned::to_owned),
                    500..600 => {}
                    status => panic!("{order} was answered with {status}: {}", answer.body),
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }
}

/// Customers who order at the same time.
const CONCURRENT: u64 = 12;

const CUSTOMERS: u64 = 200;
const ITEMS: u64 = 100;

pub(crate) const CATALOGUE: &str = "
INSERT INTO catalogue SELECT kind || n FROM unnest(ARRAY['item-', 'other-']) AS kind, generate_series(0, 99) AS n
";

pub(crate) const ACCOUNTS: &str = "
INSERT INTO account (customer, opening, balance)
SELECT 'customer-' || n, 100000000, 100000000 FROM generate_series(0, 199) AS n
";

pub(crate) const STOCK: &str = "
INSERT INTO stock (item, opening, available)
SELECT kind || n, 10000000, 10000000 FROM unnest(ARRAY['item-', 'other-']) AS kind, generate_series(0, 99) AS n;
UPDATE stock SET opening = 1000000, available = 1000000 WHERE item LIKE 'faulty-%'
";
