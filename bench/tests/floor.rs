//! The floor over real servers, small: each run checks its own tables, and its figures must add up.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn the_floor_runs_over_rabbitmq() {
    check("rabbitmq", "SAGA_AMQP_URL");
}

#[test]
fn the_floor_runs_over_kafka() {
    check("kafka", "SAGA_KAFKA_BROKERS");
}

/// 500 sagas of 3 steps, a fifth of them refused at the last and taken back in two.
fn check(transport: &str, broker: &'static str) {
    if !are_set(&["SAGA_POSTGRES_URL", broker]) {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["floor", "--transport", transport, "--sagas", "500", "--in-flight", "50"])
        .args(["--refuse", "20", "--json"])
        .stderr(Stdio::inherit())
        .output()
        .expect("the bench starts");
    assert!(output.status.success(), "{}", output.status);
    let lines = String::from_utf8(output.stdout).expect("the report is text");
    assert_eq!(lines.lines().count(), 1, "{lines:?}");
    check_figures(&serde_json::from_str(&lines).expect("the report is JSON"), transport);
}

fn check_figures(report: &Value, transport: &str) {
    let figure = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert_eq!((&report["system"], &report["store"]), (&"floor".into(), &"postgres".into()));
    assert_eq!(report["transport"], transport);
    assert_eq!((figure("sagas"), figure("in_flight")), (500.0, 50.0));
    // 3 commands and replies, and 2 more of each for the refused fifth.
    assert!((figure("messages_per_saga") - 6.8).abs() < 1e-9, "{report}");
    // Written in batches, but in more than one: a batch cannot be larger than what is in flight.
    let commits = figure("orchestrator_commits_per_saga");
    assert!((4.4 / 50.0..4.5).contains(&commits), "{report}");
    let commits = figure("participant_commits_per_command");
    assert!((1.0 / 50.0..1.1).contains(&commits), "{report}");
    assert!(figure("statements_per_saga") >= figure("orchestrator_commits_per_saga"), "{report}");
    assert!(figure("p99_ms") >= figure("p50_ms") && figure("p50_ms") > 0.0, "{report}");
    for name in ["sagas_per_s", "cpu_s_per_saga", "peak_rss_mib"] {
        assert!(figure(name) > 0.0, "{name}: {report}");
    }
    assert!(figure("wal_bytes_per_saga") > 1_000.0, "{report}");
}

fn are_set(variables: &[&'static str]) -> bool {
    let missing: Vec<_> = variables.iter().filter(|name| std::env::var(name).is_err()).collect();
    let required = std::env::var("SAGA_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
    assert!(missing.is_empty() || !required, "set {missing:?}");
    for name in &missing {
        eprintln!("skipped: set {name}");
    }
    missing.is_empty()
}
