//! HTTP: orders for customers, sagas for operators, health and metrics for machines. Errors are problem
//! descriptions (RFC 9457).

pub mod ops;
mod orders;
mod problem;
mod sagas;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;

use crate::orders::Orders;
pub use problem::{FieldProblem, Problem};

/// Everything that the order service answers; `ops` as every service has it.
pub fn router(orders: Orders, ops: Router) -> Router {
    Router::new()
        .merge(orders::router())
        .merge(sagas::router())
        .with_state(orders)
        .merge(ops)
        .fallback(async || Problem::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take this method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Several times the largest order.
const BODY_BYTES_MAX: usize = 16 * 1024;
