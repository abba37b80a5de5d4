//! saga-broker
