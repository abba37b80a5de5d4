//! The limits in the README are those of the code.

use std::path::Path;

/// What a line of the table is about, the limit that it has, and the constant that says so, with its file.
const LIMITS: [(&str, &str, &str, &str); 16] = [
    ("body of a message", "256 KiB", "port/mod.rs", "BODY_BYTES_MAX: usize = 256 * 1024;"),
    ("steps of a saga", "256", "definition/builder.rs", "STEPS_MAX: usize = 256;"),
    ("items of a step", "256", "definition/items.rs", "ITEMS_MAX: usize = 256;"),
    ("steps in parallel", "64", "definition/builder.rs", "WIDTH_MAX: usize = 64;"),
    ("names of sagas", "120 ASCII", "id.rs", "NAME_LENGTH_MAX: usize = 120;"),
    ("business key", "200 characters", "id.rs", "KEY_LENGTH_MAX: usize = 200;"),
    ("message of a fault", "1 KiB", "message/answer.rs", "FAULT_BYTES_MAX: usize = 1024;"),
    (
        "attempts of a command",
        "5, of 10 seconds",
        "policy.rs",
        "attempts: 5,\n            timeout: Duration::from_secs(10),",
    ),
    ("attempts of an undo", "20,", "policy.rs", "Retry { attempts: 20, ..Retry::default() }"),
    (
        "time of a handler",
        "10 seconds",
        "runtime/participant/builder.rs",
        "HANDLER_TIMEOUT: Duration = Duration::from_secs(10);",
    ),
    ("runs of a command", "5 repeats", "runtime/participant/builder.rs", "RUNS_MAX: u32 = 5;"),
    (
        "commands in one transaction",
        "at most 256",
        "runtime/participant/builder.rs",
        "COMMANDS_MAX: usize = 256;",
    ),
    (
        "transactions of a participant",
        "8, at most 64",
        "runtime/participant/builder.rs",
        "WORKERS_MAX: usize = 64;",
    ),
    (
        "notifications that a subscriber hears",
        "16, at most 1,024",
        "runtime/subscriber/builder.rs",
        "AT_ONCE: usize = 16;",
    ),
    ("arrivals in one batch", "500", "runtime/orchestrator/feed.rs", "BATCH_MAX: usize = 500;"),
    ("rows that wait in memory", "20,000", "runtime/relay/hot.rs", "ROWS_MAX: usize = 20_000;"),
];

#[test]
fn the_limits_of_the_readme_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("../README.md")).unwrap();
    for (what, limit, file, constant) in LIMITS {
        let code = std::fs::read_to_string(root.join("src").join(file)).unwrap();
        assert!(code.contains(constant), "{file} no longer says `{constant}`, so look at the README: {what}");
        let line = readme.lines().find(|line| line.starts_with(&format!("| {what}")));
        let says = line.is_some_and(|line| line.split(" | ").nth(1).is_some_and(|cell| cell.contains(limit)));
        assert!(says, "the README should say {limit:?} of {what:?}, and says {line:?}");
    }
}
