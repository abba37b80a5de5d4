//! What is counted of starts that are refused or wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use saga_core::memory::MemoryTransport;
use saga_core::runtime::{ParticipantLimits, SagaLimits};

use crate::errands::{Errand, Warehouse, busy, count, fetching, limited, over};

#[tokio::test(start_paused = true)]
async fn refused_starts_are_counted_by_their_reason() {
    let metrics = Metrics::default();
    let _recording = metrics::set_default_local_recorder(&metrics);
    let full = limited(SagaLimits::default().in_flight(1)).await;
    let fast = limited(SagaLimits::default().per_second(2)).await;
    let builder = over(&MemoryTransport::default()).register(&fetching::<Errand>());
    let limits = ParticipantLimits::default().in_flight(1);
    let asked = builder.limit_participant::<Warehouse>(limits).start().await.unwrap();
    let limits = ParticipantLimits::default().per_second(1);
    let builder = over(&MemoryTransport::default()).register(&fetching::<Errand>());
    let asked_fast = builder.limit_participant::<Warehouse>(limits).start().await.unwrap();
    for orchestrator in [&full, &fast, &asked, &asked_fast] {
        join_all((0..4).map(|_| busy(orchestrator))).await;
    }
    let refused = |reason| metrics.count(&format!("saga_starts_refused_total {reason}"));
    let reasons = ["sagas", "rate", "participant", "participant_rate", "unanswered", "broker"];
    assert_eq!(reasons.map(refused), [3, 2, 3, 3, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn it_is_known_how_many_starts_wait() {
    let metrics = Metrics::default();
    let _recording = metrics::set_default_local_recorder(&metrics);
    let patient = SagaLimits::default().in_flight(1).wait(Duration::from_secs(5));
    let orchestrator = limited(patient).await;
    let look = async {
        count().await;
        assert_eq!(metrics.level("saga_starts_waiting"), 3.0, "of four, one has begun");
        assert_eq!(metrics.count("saga_starts_refused_total sagas"), 0);
    };
    tokio::join!(join_all((0..4).map(|_| busy(&orchestrator))), look);
    count().await;
    assert_eq!(metrics.level("saga_starts_waiting"), 0.0);
    assert_eq!(metrics.count("saga_starts_refused_total sagas"), 3);
}

/// Counters and gauges of this thread, each by its name and its labels.
#[derive(Default)]
struct Metrics(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Metrics {
    fn count(&self, name: &str) -> u64 {
        self.of(name).load(Relaxed)
    }

    fn level(&self, name: &str) -> f64 {
        f64::from_bits(self.of(name).load(Relaxed))
    }

    fn of(&self, name: &str) -> Arc<AtomicU64> {
        self.0.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }
}

fn name(key: &Key) -> String {
    let labels = key.labels().map(|label| format!(" {}", label.value()));
    format!("{}{}", key.name(), labels.collect::<String>())
}

impl Recorder for Metrics {
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(&name(key)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(&name(key)))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }

    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
}
