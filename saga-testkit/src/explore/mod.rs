//! Explores every failure of a saga, in a test.
//!
//! A story tells one way that a saga may go. An exploration goes all of them: every message is lost, doubled, delayed
//! and overtaken, every process crashes at every point, every answer is yes or no or none, somebody cancels, an
//! operator steps in. It runs the machine and the fence of production, and nothing that imitates them.
//!
//! `docs/explorer.md` says what is searched, why that is all, and what is left out.

mod beginning;
mod children;
mod entries;
mod explorer;
mod external;
mod faults;
mod invariants;
mod orchestrator;
mod participants;
mod reach;
mod report;
mod rules;
mod scene;
mod search;
mod table;
mod trace;
mod walker;
mod world;

#[cfg(test)]
mod tests;

pub use explorer::{Explorer, explore};
pub use faults::Faults;
pub use report::{Report, Violation};
pub use scene::Scene;
