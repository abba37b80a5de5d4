//! For operators: `GET /sagas`, `GET /sagas/{id}`, and `POST /sagas/{id}/{retry|resolve|compensate}`.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use saga_core::id::{BusinessKey, SagaId, SagaName, StepName};
use saga_core::machine::{Instance, Resolution, StepRecord, StepState};
use saga_core::message::Payload;
use saga_core::port::{ArmedTimer, SagaFilter, SagaSummary, Status};
use saga_core::runtime::{ChildElsewhere, OperateError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Problem;
use super::ops::millis;
use super::orders::timeline;
use crate::orders::Orders;

pub(super) fn router() -> Router<Orders> {
    Router::new()
        .route("/sagas", get(list))
        .route("/sagas/{id}", get(show))
        .route("/sagas/{id}/retry", post(retry))
        .route("/sagas/{id}/compensate", post(compensate))
        .route("/sagas/{id}/resolve", post(resolve))
}

/// Which sagas, and which page of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    name: Option<SagaName>,
    status: Option<Status>,
    key: Option<String>,
    older_than_s: Option<u64>,
    younger_than_s: Option<u64>,
    unmoved_for_s: Option<u64>,
    after: Option<SagaId>,
    limit: Option<usize>,
}

impl Search {
    fn filter(self) -> Result<SagaFilter, Problem> {
        let seconds = |age: Option<u64>| age.map(Duration::from_secs);
        let key = self.key.map(BusinessKey::new).transpose();
        Ok(SagaFilter {
            name: self.name,
            status: self.status,
            key: key.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error))?,
            older_than: seconds(self.older_than_s),
            younger_than: seconds(self.younger_than_s),
            unmoved_for: seconds(self.unmoved_for_s),
            after: self.after,
        })
    }
}

async fn list(
    State(orders): State<Orders>,
    search: Result<Query<Search>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(search) = search?;
    let limit = search.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let sagas = orders.orchestrator().list(&search.filter()?, limit).await?;
    Ok(Json(json!({ "sagas": sagas.iter().map(view).collect::<Vec<_>>() })))
}

async fn show(
    State(orders): State<Orders>,
    id: Result<Path<SagaId>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id?;
    let saga = orders.orchestrator().show(id).await?;
    let saga = saga.ok_or_else(|| Problem::not_found(format!("there is no saga {id}")))?;
    let mut view = view(&saga.summary);
    view["timeline"] = timeline(&saga.journal);
    view["timers"] = saga.timers.iter().map(timer).collect();
    view["children"] = saga.children.iter().map(self::view).collect();
    let elsewhere = orders.orchestrator().children_elsewhere(&saga);
    view["children_elsewhere"] = elsewhere.iter().map(child_elsewhere).collect();
    view["steps"] = match Instance::decode(saga.stored) {
        Ok(instance) => instance.state.steps().iter().map(step).collect(),
        Err(error) => json!(error.to_string()),
    };
    Ok(Json(view))
}

fn child_elsewhere(child: &ChildElsewhere) -> Value {
    let ChildElsewhere { step, saga, orchestrator } = child;
    json!({ "step": step, "saga": saga, "orchestrator": orchestrator.as_str() })
}

fn view(saga: &SagaSummary) -> Value {
    json!({
        "id": saga.id, "address": format!("/sagas/{}", saga.id), "definition": saga.definition.to_string(),
        "key": saga.key.as_ref().map(|key| key.as_str()), "status": saga.status, "parked": saga.parked,
        "version": saga.version, "age_ms": millis(saga.moved.since(saga.started)),
        "parent": saga.parent.as_ref().map(|(saga, step)| json!({ "saga": saga, "step": step })),
    })
}

fn timer(timer: &ArmedTimer) -> Value {
    let ArmedTimer { step, direction, attempt, due } = timer;
    json!({ "step": step, "direction": direction, "attempt": attempt, "due_ms": due.as_micros() / 1000 })
}

fn step(record: &StepRecord) -> Value {
    let state = match &record.state {
        StepState::Early(_) => "its signal came early".into(),
        StepState::Waiting { .. } => "waits for its signal".into(),
        StepState::Pausing { .. } => "pauses".into(),
        StepState::Queued => "its turn has not come".into(),
        StepState::Doing(asked) => format!("asked to be done, attempt {}", asked.attempt),
        StepState::Closing(asked) => format!("asked to be closed, attempt {}", asked.attempt),
        StepState::Undoing { asked, .. } => format!("asked to be undone, attempt {}", asked.attempt),
        StepState::Done(_) => "done".into(),
        StepState::Refused => "not done".into(),
        StepState::Undone => "undone".into(),
        StepState::Skipped => "skipped".into(),
    };
    json!({ "step": record.name, "state": state })
}

/// Why an operator steps in. The journal keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Because {
    reason: String,
}

/// What an operator knows of a step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    reason: String,
    step: StepName,
    done: bool,
    /// What the participant would have answered, if the step is done.
    #[serde(default)]
    reply: Value,
}

async fn retry(
    State(orders): State<Orders>,
    id: Result<Path<SagaId>, PathRejection>,
    body: Result<Json<Because>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let (Path(id), Json(Because { reason })) = (id?, body?);
    answer(orders.orchestrator().retry(id, checked(reason)?).await)
}

async fn compensate(
    State(orders): State<Orders>,
    id: Result<Path<SagaId>, PathRejection>,
    body: Result<Json<Because>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let (Path(id), Json(Because { reason })) = (id?, body?);
    answer(orders.orchestrator().compensate(id, checked(reason)?).await)
}

async fn resolve(
    State(orders): State<Orders>,
    id: Result<Path<SagaId>, PathRejection>,
    body: Result<Json<Finding>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let (Path(id), Json(Finding { reason, step, done, reply })) = (id?, body?);
    let reply =
        Payload::encode(&reply).map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    let resolution = if done { Resolution::Done(reply) } else { Resolution::NotDone };
    answer(orders.orchestrator().resolve(id, step, resolution, checked(reason)?).await)
}

fn checked(reason: String) -> Result<String, Problem> {
    match reason.trim().len() {
        1..=REASON_BYTES_MAX => Ok(reason),
        _ => {
            let detail = format!("the reason must be 1 to {REASON_BYTES_MAX} bytes");
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
    }
}

fn answer(outcome: Result<Status, OperateError>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "status": outcome? })))
}

/// One page, one small query.
const PAGE_MAX: usize = 100;

/// A sentence or two.
const REASON_BYTES_MAX: usize = 500;
