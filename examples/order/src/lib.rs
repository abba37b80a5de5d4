//! Three services that place orders together: `order` (HTTP API and orchestrator), `payment` and `inventory`.
//!
//! ```text
//!  POST /orders ──▶ order ──── reserve-stock, ship-item ────▶ inventory ──▶ stock, reservations
//!                     │ ▲ ◀────────── replies ──────────────────┘
//!                     │ │
//!                     │ └◀────────── replies ──────────────── payment ───▶ accounts, holds
//!                     └── authorize-payment, capture-payment ───▶
//! ```
//!
//! Each has a database of its own, and they share nothing but [`contract`]. Read that first, then [`saga`], then the
//! handlers in [`payment`] and [`inventory`]; the rest is what any service needs.

pub mod audit;
pub mod broker;
pub mod client;
pub mod config;
pub mod contract;
pub mod database;
pub mod faults;
pub mod http;
pub mod inventory;
pub mod orders;
pub mod payment;
pub mod saga;
pub mod service;
pub mod telemetry;
