//! `POST /orders`, `GET /orders`, `GET /orders/{id}`, `POST /orders/{id}/decision`.

use std::collections::HashSet;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use saga_core::id::SagaId;
use saga_core::machine::{Instance, StepState};
use saga_core::port::{IdSource, JournalLine, RandomIds, SagaDetails, SagaSummary, Status};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ops::millis;
use super::{FieldProblem, Problem};
use crate::contract::{Item, OrderId};
use crate::orders::{Order, Orders};
use crate::saga::{Decision, PlaceOrder};

pub(super) fn router() -> Router<Orders> {
    Router::new()
        .route("/orders", post(place).get(list))
        .route("/orders/{id}", get(show))
        .route("/orders/{id}/decision", post(decide))
}

/// What a customer sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    customer: String,
    amount: i64,
    items: Vec<Item>,
}

async fn place(
    State(orders): State<Orders>,
    headers: HeaderMap,
    body: Result<Json<Request>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(Request { customer, amount, items }) = body?;
    let order = PlaceOrder { order: order_id(&headers)?, customer, amount, items, hold: None };
    let names: Vec<&str> =
        order.items.iter().map(|item| item.name.as_str()).filter(|name| is_name(name)).collect();
    let mistakes = mistakes(&order, &orders.known_items(&names).await?);
    if !mistakes.is_empty() {
        return Err(Problem::of_fields(mistakes));
    }
    let id = order.order;
    orders.place(order).await?;
    let address = format!("/orders/{id}");
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, address.clone())],
        Json(json!({ "id": id, "address": address })),
    ))
}

/// A fresh id, or the one that belongs to the request's `Idempotency-Key`: sent twice, it is one order.
fn order_id(headers: &HeaderMap) -> Result<OrderId, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(OrderId(RandomIds.uuid())) };
    match key.to_str() {
        Ok(key) if is_name(key) => Ok(OrderId(Uuid::new_v5(&KEYS, key.as_bytes()))),
        Ok(_) | Err(_) => {
            let detail = format!("the Idempotency-Key must be 1 to {NAME_LENGTH_MAX} visible characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, detail))
        }
    }
}

/// All that is wrong with an order, given which of its items the catalogue has.
fn mistakes(order: &PlaceOrder, catalogue: &[String]) -> Vec<FieldProblem> {
    let mut mistakes = Vec::new();
    let mut mistake = |is_wrong: bool, pointer: String, detail: String| {
        if is_wrong {
            mistakes.push(FieldProblem { pointer, detail });
        }
    };
    let PlaceOrder { customer, amount, items, .. } = order;
    mistake(
        !is_name(customer),
        "/customer".into(),
        format!("must be 1 to {NAME_LENGTH_MAX} visible characters"),
    );
    mistake(!(1..=AMOUNT_MAX).contains(amount), "/amount".into(), format!("must be 1 to {AMOUNT_MAX} cents"));
    mistake(
        !(1..=ITEMS_MAX).contains(&items.len()),
        "/items".into(),
        format!("must be 1 to {ITEMS_MAX} items"),
    );
    let mut seen = HashSet::new();
    for (place, Item { name, quantity }) in items.iter().enumerate() {
        let pointer = |field: &str| format!("/items/{place}/{field}");
        let in_range = (1..=QUANTITY_MAX).contains(quantity);
        mistake(!catalogue.contains(name), pointer("name"), "is not in the catalogue".into());
        mistake(!seen.insert(name), pointer("name"), "occurs twice; add the quantities up".into());
        mistake(!in_range, pointer("quantity"), format!("must be 1 to {QUANTITY_MAX}"));
    }
    mistakes
}

/// Whether every table and message can carry it.
fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

async fn show(
    State(orders): State<Orders>,
    id: Result<Path<OrderId>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id?;
    let (order, saga) =
        orders.find(id).await?.ok_or_else(|| Problem::not_found(format!("there is no order {id}")))?;
    let mut view = view(&order, &saga.summary);
    view["reason"] = reason(&saga).into();
    view["awaits_decision"] = awaits_decision(&saga).into();
    view["timeline"] = timeline(&saga.journal);
    Ok(Json(view))
}

async fn decide(
    State(orders): State<Orders>,
    id: Result<Path<OrderId>, PathRejection>,
    body: Result<Json<Decision>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let (Path(id), Json(decision)) = (id?, body?);
    if !is_name(&decision.by) {
        let detail = format!("must be 1 to {NAME_LENGTH_MAX} visible characters");
        return Err(Problem::of_fields(vec![FieldProblem { pointer: "/by".into(), detail }]));
    }
    let decided = orders.decide(id, decision).await?;
    let status = decided.ok_or_else(|| Problem::not_found(format!("there is no order {id}")))?;
    Ok(Json(json!({ "state": state(status) })))
}

/// Which page of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<SagaId>,
    limit: Option<usize>,
}

async fn list(
    State(orders): State<Orders>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Page { after, limit }) = page?;
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let page = orders.list(after, limit).await?;
    let next = page
        .last()
        .filter(|_| page.len() == limit)
        .map(|(_, saga)| format!("/orders?after={}&limit={limit}", saga.id));
    let views: Vec<Value> = page.iter().map(|(order, saga)| view(order, saga)).collect();
    Ok(Json(json!({ "orders": views, "next": next })))
}

fn view(order: &Order, saga: &SagaSummary) -> Value {
    let Order { id, customer, amount, items, placed_at, .. } = order;
    json!({
        "id": id, "address": format!("/orders/{id}"), "state": state(saga.status), "customer": customer, "amount": amount,
        "items": items, "placed_at": placed_at, "saga": format!("/sagas/{}", saga.id),
    })
}

/// How an order stands, in its customer's words.
fn state(status: Status) -> &'static str {
    match status {
        Status::Running | Status::Provisional => "pending",
        Status::Compensating => "being cancelled",
        Status::Parked => "needs attention",
        Status::Completed => "completed",
        Status::Compensated => "cancelled",
    }
}

/// Why the order is cancelled or needs attention, if it is or does.
fn reason(saga: &SagaDetails) -> Option<String> {
    let cause = |instance: Instance| instance.state.cause().map(ToString::to_string);
    saga.summary.parked.clone().or_else(|| Instance::decode(saga.stored.clone()).ok().and_then(cause))
}

/// Whether a manager has yet to decide about the order.
fn awaits_decision(saga: &SagaDetails) -> bool {
    let Ok(instance) = Instance::decode(saga.stored.clone()) else { return false };
    instance.state.steps().iter().any(|step| matches!(step.state, StepState::Waiting { .. }))
}

/// What happened to the order's saga, and how long after its start.
pub(super) fn timeline(journal: &[JournalLine]) -> Value {
    let start = journal.first().map(|line| line.at).unwrap_or_default();
    let line = |line: &JournalLine| json!({ "after_ms": millis(line.at.since(start)), "event": line.entry.decision, "by": line.writer });
    journal.iter().map(line).collect()
}

/// Makes order ids of idempotency keys; any fixed UUID would do.
const KEYS: Uuid = Uuid::from_u128(0x5a1c_3d6e_0f27_4b8a_9e14_7c62_d0b3_f585);

/// Fits every table, header and page.
const NAME_LENGTH_MAX: usize = 100;

/// A million, in cents; a typing error rather than an order beyond that.
const AMOUNT_MAX: i64 = 100_000_000;

/// An order's items travel in every message about them.
const ITEMS_MAX: usize = 20;

/// Far below what would overflow a sum.
const QUANTITY_MAX: i64 = 10_000;

/// One page, one small query.
const PAGE_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn order(customer: &str, amount: i64, items: &[(&str, i64)]) -> PlaceOrder {
        let items = items.iter().map(|(name, quantity)| Item { name: (*name).into(), quantity: *quantity });
        PlaceOrder {
            order: OrderId(Uuid::nil()),
            customer: customer.into(),
            amount,
            items: items.collect(),
            hold: None,
        }
    }

    #[test]
    fn an_order_that_makes_sense_has_no_mistakes() {
        let order = order("ada", 1, &[("pen", 1), ("lamp", QUANTITY_MAX)]);
        assert_eq!(mistakes(&order, &["lamp".into(), "pen".into()]), []);
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let order = order("a\0b", -5, &[("pen", 0), ("pen", 2), ("unicorn", 10_001)]);
        let pointers: Vec<_> =
            mistakes(&order, &["pen".into()]).into_iter().map(|mistake| mistake.pointer).collect();
        let expected = [
            "/customer",
            "/amount",
            "/items/0/quantity",
            "/items/1/name",
            "/items/2/name",
            "/items/2/quantity",
        ];
        assert_eq!(pointers, expected);
        let empty = super::tests::order("ada", 1, &[]);
        assert_eq!(mistakes(&empty, &[]).len(), 1);
    }
}
