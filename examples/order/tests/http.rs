//! What the order service answers.

mod common;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::World;
use saga_core::runtime::SagaLimits;
use serde_json::{Value, json};

fn order(customer: &str) -> Value {
    json!({ "customer": customer, "amount": 1999, "items": [{ "name": "pen", "quantity": 2 }] })
}

#[tokio::test]
async fn an_order_is_accepted_at_an_address_that_shows_its_state_and_timeline() {
    let Some(world) = World::start().await else { return };
    let address = world.place("ada", 1999, "pen", 2).await;
    let order = world.until(&address, "completed").await;
    assert_eq!((&order["customer"], &order["amount"]), (&json!("ada"), &json!(1999)));
    assert_eq!(order["items"], json!([{ "name": "pen", "quantity": 2 }]));
    let line = |line: &Value| line["event"].as_str().unwrap().to_owned();
    let events: Vec<_> = order["timeline"].as_array().unwrap().iter().map(line).collect();
    let [first, second] = match events[1].starts_with("reserve") {
        true => ["reserve-stock", "authorize-payment"],
        false => ["authorize-payment", "reserve-stock"],
    };
    let expected = [
        "started",
        &format!("{first} done"),
        &format!("{second} done, next step sent"),
        "capture-payment done, next step sent",
        "completed",
    ];
    assert_eq!(events, expected);

    let other = world.place("ada", 1, "lamp", 1).await;
    let (_, first) = world.get("/orders?limit=1").await;
    assert_eq!(first["orders"][0]["address"], other);
    let (_, second) = world.get(first["next"].as_str().unwrap()).await;
    assert_eq!(second["orders"][0]["address"], address);
    let (status, saga) = world.get(order["saga"].as_str().unwrap()).await;
    assert_eq!((status, &saga["status"]), (StatusCode::OK, &json!("completed")));
    let (status, health) = world.get("/health").await;
    assert_eq!((status, &health["status"]), (StatusCode::OK, &json!("ok")));
}

#[tokio::test]
async fn an_order_with_an_idempotency_key_is_placed_once() {
    let Some(world) = World::start().await else { return };
    let place = async |order: Value| {
        let request = Request::post("/orders").header("content-type", "application/json");
        let request = request.header("idempotency-key", "cart 7").body(Body::from(order.to_string()));
        world.call(request.unwrap()).await
    };
    let (first, again) = tokio::join!(place(order("ada")), place(order("ada")));
    assert_eq!(first.0, StatusCode::ACCEPTED);
    assert_eq!(first, again);
    let (status, problem) = place(order("bob")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"), "{problem}");
    let (_, list) = world.get("/orders").await;
    assert_eq!(list["orders"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_bad_request_gets_a_problem_description_that_says_what_is_wrong() {
    let Some(world) = World::start().await else { return };
    let json = |body: &str| {
        Request::post("/orders").header("content-type", "application/json").body(body.to_owned())
    };
    let changed = |field: &str, value: Value| {
        let mut order = order("ada");
        order[field] = value;
        json(&order.to_string())
    };
    let long = format!("{{\"customer\":\"{}\"}}", "x".repeat(20_000));
    let unknown = "/orders/01890000-0000-7000-8000-000000000000";
    let bad = [
        (json("{\"customer\""), 400, "JSON"),
        (json("[]"), 422, "invalid"),
        (json("{}"), 422, "missing field"),
        (json(&long), 413, "length limit"),
        (changed("amount", json!(-1)), 422, "/amount"),
        (changed("amount", json!(0)), 422, "/amount"),
        (changed("amount", json!("free")), 422, "amount"),
        (changed("amount", json!(1e30)), 422, "amount"),
        (changed("customer", json!("")), 422, "/customer"),
        (changed("customer", json!("a\u{0}b")), 422, "/customer"),
        (changed("items", json!([])), 422, "/items"),
        (changed("items", json!([{ "name": "unicorn", "quantity": 1 }])), 422, "catalogue"),
        (changed("items", json!([{ "name": "pen\u{0}", "quantity": 1 }])), 422, "catalogue"),
        (changed("items", json!([{ "name": "pen", "quantity": -1 }])), 422, "/items/0/quantity"),
        (changed("items", json!([{ "name": "pen", "quantity": 1, "colour": 1 }])), 422, "colour"),
        (changed("voucher", json!(1)), 422, "voucher"),
        (Request::post("/orders").body(order("ada").to_string()), 415, "application/json"),
        (Request::delete("/orders").body(String::new()), 405, "method"),
        (Request::get("/nothing").body(String::new()), 404, "address"),
        (Request::get("/orders/7").body(String::new()), 400, "UUID"),
        (Request::get(unknown).body(String::new()), 404, "no order"),
        (Request::get("/orders?limit=many").body(String::new()), 400, "limit"),
        (Request::get("/sagas?status=stuck").body(String::new()), 400, "unknown variant"),
        (Request::get("/sagas?older_than_s=long").body(String::new()), 400, "older_than_s"),
        (Request::get("/sagas?key=").body(String::new()), 400, "empty"),
        (Request::get("/sagas/7").body(String::new()), 400, "UUID"),
    ];
    for (request, status, detail) in bad {
        let request = request.unwrap().map(Body::from);
        let told = format!("{request:?}");
        let (given, problem) = world.call(request).await;
        assert_eq!((given.as_u16(), &problem["status"]), (status, &json!(status)), "{told}: {problem}");
        assert!(problem.to_string().contains(detail), "{told}: {problem}");
    }
    let (_, list) = world.get("/orders").await;
    assert_eq!(list["orders"], json!([]));
}

#[tokio::test]
async fn an_order_beyond_the_limit_is_refused_until_another_has_ended() {
    let Some(mut world) = World::with_limits(SagaLimits::default().in_flight(1)).await else { return };
    let first = world.place("ada", 100, "pen", 1).await;
    let order = json!({ "customer": "ada", "amount": 100, "items": [{ "name": "pen", "quantity": 1 }] });
    let (status, problem) = world.post("/orders", &order).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let detail = "1 sagas of place-order may be under way, and are; the same request may succeed later";
    assert_eq!(problem["detail"], detail);
    let (_, list) = world.get("/orders").await;
    assert_eq!(list["orders"].as_array().unwrap().len(), 1, "nothing of the refused one is stored");
    world.start_payment().await;
    world.until(&first, "completed").await;
    while world.post("/orders", &order).await.0 == StatusCode::SERVICE_UNAVAILABLE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.until_quiet().await;
    assert_eq!(order::audit::audit(&mut world.databases().await).await.unwrap(), []);
}

#[tokio::test]
async fn a_problem_has_the_media_type_of_rfc_9457() {
    use axum::http::header::CONTENT_TYPE;
    use axum::response::IntoResponse;
    let response = order::http::Problem::not_found("it is not here").into_response();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn a_parked_order_is_seen_and_released_by_an_operator_with_a_reason() {
    let Some(world) = World::start().await else { return };
    let address = world.place("ada", 100, "faulty-broken", 1).await;
    let order = world.until(&address, "needs attention").await;
    assert!(order["reason"].as_str().unwrap().contains("the scale is broken"), "{order}");
    let saga = order["saga"].as_str().unwrap();
    let (_, parked) = world.get("/sagas?status=parked").await;
    assert_eq!(parked["sagas"][0]["address"], saga);
    let found = async |search: &str| world.get(&format!("/sagas?{search}")).await.1["sagas"].clone();
    assert_eq!(found("name=place-order&older_than_s=0&unmoved_for_s=0").await[0]["address"], saga);
    for nothing in
        ["name=nobody", "key=nobody", "older_than_s=3600", "younger_than_s=0", "unmoved_for_s=3600"]
    {
        assert_eq!(found(nothing).await, json!([]), "{nothing}");
    }
    assert_eq!(world.get("/health").await.1["sagas"]["parked"], 1);

    let verb = async |verb: &str, body: Value| world.post(&format!("{saga}/{verb}"), &body).await;
    assert_eq!(verb("compensate", json!({})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(verb("compensate", json!({ "reason": " " })).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let not_awaited = json!({ "reason": "r", "step": "capture-payment", "done": true });
    assert_eq!(verb("resolve", not_awaited).await.0, StatusCode::CONFLICT);
    assert_eq!(verb("retry", json!({ "reason": "the scale is mended" })).await.1["status"], "running");
    world.until(&address, "needs attention").await;
    let (status, _) = verb("compensate", json!({ "reason": "it was not mended" })).await;
    assert_eq!(status, StatusCode::OK);
    let order = world.until(&address, "cancelled").await;
    assert!(order["timeline"].to_string().contains("it was not mended"), "{order}");
    let (status, _) = verb("retry", json!({ "reason": "too late" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let unknown = "/sagas/01890000-0000-7000-8000-000000000000/retry";
    assert_eq!(world.post(unknown, &json!({ "reason": "r" })).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_operator_resolves_a_step_as_not_done() {
    let Some(world) = World::start().await else { return };
    let address = world.place("ada", 100, "faulty-broken", 1).await;
    let order = world.until(&address, "needs attention").await;
    let resolve = format!("{}/resolve", order["saga"].as_str().unwrap());
    let finding = json!({ "reason": "nobody weighed it", "step": "reserve-stock", "done": false });
    assert_eq!(world.post(&resolve, &finding).await.0, StatusCode::OK);
    world.until(&address, "cancelled").await;
}

#[tokio::test]
async fn a_manager_decides_about_an_order_for_much_money_once() {
    let Some(world) = World::start().await else { return };
    let decide = async |address: &str, decision: Value| {
        let (status, answer) = world.post(&format!("{address}/decision"), &decision).await;
        (status.as_u16(), answer)
    };
    let says = |approved: bool| json!({ "approved": approved, "by": "grace" });

    let rejected = world.place("ada", 600_000, "pen", 1).await;
    let waiting = async {
        while world.get(&rejected).await.1["awaits_decision"] != true {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
    assert_eq!(decide(&rejected, says(false)).await, (200, json!({ "state": "being cancelled" })));
    let order = world.until(&rejected, "cancelled").await;
    assert!(order["reason"].as_str().unwrap().contains("decision was refused with"), "{order}");
    assert!(order["reason"].as_str().unwrap().contains("grace"), "{order}");

    let approved = world.place("ada", 600_000, "pen", 1).await;
    assert_eq!(decide(&approved, says(true)).await.0, 200, "early or in time");
    world.until(&approved, "completed").await;
    assert_eq!(decide(&approved, says(true)).await.0, 200, "once more");
    let (status, problem) = decide(&approved, says(false)).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("another signal"), "{problem}");

    assert_eq!(decide(&approved, json!({ "approved": true, "by": "" })).await.0, 422);
    assert_eq!(decide(&approved, json!({ "approved": "yes", "by": "grace" })).await.0, 422);
    let unknown = "/orders/01890000-0000-7000-8000-000000000000";
    assert_eq!(decide(unknown, says(true)).await.0, 404);
    world.until_quiet().await;
    assert_eq!(order::audit::audit(&mut world.databases().await).await.unwrap(), []);
}
