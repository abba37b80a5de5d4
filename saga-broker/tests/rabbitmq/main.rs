//! RabbitMQ as it is: what the client library and the broker are known to get wrong, each tried on a real broker.
//!
//! What every transport must do is in `rabbitmq_conformance.rs`.

#[cfg(test)]
mod common;
#[cfg(test)]
mod consuming;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod own_broker;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod reconnecting;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod topology;
