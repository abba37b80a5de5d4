//! The subscriber: reads the notifications of a topic for one service, at least once each.

mod builder;
mod hearing;
mod listener;

pub use builder::{SubscriberBuilder, SubscriberError, Subscribing, subscriber};
pub use hearing::Hear;
