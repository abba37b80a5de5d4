//! Places an order of every outcome, and prints what became of each. `scripts/demo` runs it.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use order::client::Client;
use order::service::{Fatal, run};
use saga_postgres::sqlx::Postgres;
use saga_postgres::sqlx::migrate::MigrateDatabase;
use serde_json::{Value, json};

/// Places an order of every outcome, and prints what became of each
#[derive(Parser)]
struct Options {
    /// Where the order service listens
    #[arg(long, env = "ORDER_SERVICE", default_value = "127.0.0.1:8080")]
    order_service: SocketAddr,
    /// Drop the database of an earlier demo, if there is one, and do nothing else
    #[arg(long, value_name = "URL")]
    forget: Option<String>,
}

fn main() -> ExitCode {
    let Options { order_service, forget } = Options::parse();
    match forget {
        Some(url) => run(async move { Ok(Postgres::force_drop_database(&url).await?) }),
        None => run(tell(Client::of(order_service))),
    }
}

/// The payment service is expected to start a few seconds after this does.
async fn tell(client: Client) -> Result<(), Fatal> {
    let late = order("ada", 1999, "pen", 2);
    show(&client, "An order is placed while the payment service is down", &late, "completed").await?;
    let mut healthy = order("ada", 4550, "lamp", 1);
    healthy["items"] = json!([{ "name": "lamp", "quantity": 1 }, { "name": "pen", "quantity": 2 }]);
    show(&client, "All services are there, and each item is shipped", &healthy, "completed").await?;
    let poor = order("bob", 4550, "lamp", 1);
    show(&client, "The customer has not enough money", &poor, "cancelled").await?;
    let out_of_stock = order("ada", 990_000, "piano", 2);
    show(&client, "There is only one piano", &out_of_stock, "cancelled").await?;
    let frozen = order("eve", 1999, "pen", 2);
    show(&client, "The account is frozen: money can be held, but not taken", &frozen, "cancelled").await?;
    let panics = order("ada", 100, "faulty-panics", 1);
    show(&client, "A handler panics whenever it is called", &panics, "cancelled").await?;
    decide(&client).await?;
    let broken = order("ada", 100, "faulty-broken", 1);
    let parked = show(&client, "A handler says that a human is needed", &broken, "needs attention").await?;
    release(&client, &parked).await
}

fn order(customer: &str, amount: i64, item: &str, quantity: i64) -> Value {
    json!({ "customer": customer, "amount": amount, "items": [{ "name": item, "quantity": quantity }] })
}

/// Places an order, waits until it is in a state, and prints it.
async fn show(client: &Client, title: &str, order: &Value, state: &str) -> Result<Value, Fatal> {
    let address = place(client, title, order).await?;
    let order = until(client, &address, state).await?;
    print_order(&order);
    Ok(order)
}

/// Places an order, and returns its address.
async fn place(client: &Client, title: &str, order: &Value) -> Result<String, Fatal> {
    println!("\n{title}\n  POST /orders {order}");
    let answer = client.post("/orders", "", order).await?;
    let placed = answer.json();
    let Some(address) = placed["address"].as_str() else {
        return Err(format!("the order was not accepted: {}", answer.body).into());
    };
    println!("  {} {address}", answer.status);
    Ok(address.to_owned())
}

/// An order for much money, and the manager who lets it go on.
async fn decide(client: &Client) -> Result<(), Fatal> {
    let large = order("ada", 600_000, "lamp", 1);
    let address = place(client, "A large order waits for a manager", &large).await?;
    let decision = json!({ "approved": true, "by": "grace" });
    println!("  POST {address}/decision {decision}");
    let answer = client.post(&format!("{address}/decision"), "", &decision).await?;
    println!("  {} {}", answer.status, answer.body);
    print_order(&until(client, &address, "completed").await?);
    Ok(())
}

/// What an operator does about a parked order.
async fn release(client: &Client, order: &Value) -> Result<(), Fatal> {
    let (saga, address) = (text(&order["saga"]), text(&order["address"]));
    let reason = json!({ "reason": "the scale cannot be mended today" });
    println!(
        "\nAn operator sees it in GET /sagas?status=parked, and has it undone\n  POST {saga}/compensate {reason}"
    );
    let answer = client.post(&format!("{saga}/compensate"), "", &reason).await?;
    println!("  {} {}", answer.status, answer.body);
    print_order(&until(client, &address, "cancelled").await?);
    Ok(())
}

async fn until(client: &Client, address: &str, state: &str) -> Result<Value, Fatal> {
    let looking = async {
        loop {
            let order = client.get(address).await?.json();
            if order["state"] == state {
                return Ok::<_, io::Error>(order);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let late = || format!("{address} is not {state:?} after {PATIENCE:?}");
    Ok(tokio::time::timeout(PATIENCE, looking).await.map_err(|_| late())??)
}

fn print_order(order: &Value) {
    println!(
        "  {}{}",
        text(&order["state"]),
        order["reason"].as_str().map_or(String::new(), |why| format!(": {why}"))
    );
    for line in order["timeline"].as_array().into_iter().flatten() {
        println!("    {:>6} ms  {}", line["after_ms"].as_u64().unwrap_or_default(), text(&line["event"]));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Longer than a service that is late plus all attempts of a handler that always fails.
const PATIENCE: Duration = Duration::from_secs(60);
