//! What went wrong, in the words of RFC 9457.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use saga_core::port::StoreError;
use saga_core::runtime::{OperateError, StartError};
use saga_postgres::sqlx;
use serde::Serialize;

use crate::orders::OrdersError;

/// An answer that says what went wrong: `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    title: String,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Which field, as a JSON pointer.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem of a kind that its status says, and a sentence about this one.
    pub fn new(status: StatusCode, detail: impl ToString) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem").to_owned();
        Problem { status, title, detail: detail.to_string(), errors: Vec::new() }
    }

    /// A request that can be read, and cannot be carried out for what it says.
    pub fn of_fields(errors: Vec<FieldProblem>) -> Self {
        let detail = "some fields of the request make no sense; `errors` names them";
        Problem { errors, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// Something that is not there.
    pub fn not_found(what: impl ToString) -> Self {
        Problem::new(StatusCode::NOT_FOUND, what)
    }

    fn unavailable(why: impl ToString) -> Self {
        tracing::warn!(why = why.to_string(), "a request could not be answered for now");
        let detail = "the service cannot do this now; the same request may succeed later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    fn internal(why: impl ToString) -> Self {
        tracing::error!(why = why.to_string(), "a request failed");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed; its log says why")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/problem+json");
        (self.status, [(header::CONTENT_TYPE, kind)], Json(self)).into_response()
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() { Problem::unavailable(error) } else { Problem::internal(error) }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Problem::unavailable(error)
            }
            // The server is going down, or coming up.
            sqlx::Error::Database(ref database)
                if database.code().is_some_and(|code| code.starts_with("57P")) =>
            {
                Problem::unavailable(error)
            }
            _ => Problem::internal(error),
        }
    }
}

impl From<OrdersError> for Problem {
    fn from(error: OrdersError) -> Self {
        match error {
            OrdersError::Start(error) => error.into(),
            OrdersError::Decide(error) => error.into(),
            OrdersError::Tables(error) => error.into(),
            OrdersError::Sagas(error) => error.into(),
            OrdersError::Name(_) | OrdersError::Items(_) => Problem::internal(error),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::KeyTaken(_) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key came with another order before",
            ),
            StartError::Store(error) => error.into(),
            StartError::Stopping => Problem::unavailable(error),
            StartError::Busy(busy) => {
                let detail = format!("{busy}; the same request may succeed later");
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            error => Problem::internal(error),
        }
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::NotFound(_) => Problem::not_found(error),
            OperateError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error),
            OperateError::Refused(_) | OperateError::UnknownDefinition(_) | OperateError::Unreadable(_) => {
                Problem::new(StatusCode::CONFLICT, error)
            }
            OperateError::Store(error) => error.into(),
            OperateError::Stopping => Problem::unavailable(error),
            error => Problem::internal(error),
        }
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
