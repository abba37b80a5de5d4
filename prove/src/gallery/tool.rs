//! The tools, each as processes in which one bug is planted: it may hang them or take them down.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, bail};
use saga_testkit::simulate::Report;
use serde::Deserialize;

use crate::args::Trial;

/// What looks for bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// The unit tests of `saga-core`: every state with every event, every cell of the fence's tables, the rooms alone.
    Unit,
    /// The search through all states.
    Explorer,
    /// The seeded runs.
    Simulator,
    /// The tests that tell sagas as stories.
    Story,
    /// The conformance suite of the runtimes and their other tests, over the adapters in memory.
    Suites,
}

/// The tools, built.
pub(crate) struct Tools {
    tests: Vec<Test>,
}

/// A binary of tests, and the tool that it belongs to.
struct Test {
    tool: Tool,
    program: PathBuf,
}

/// What cargo says of something that it has built.
#[derive(Deserialize)]
struct Built {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Tool {
    pub(crate) const ALL: [Tool; 5] =
        [Tool::Unit, Tool::Explorer, Tool::Simulator, Tool::Story, Tool::Suites];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Tool::Unit => "unit",
            Tool::Explorer => "explorer",
            Tool::Simulator => "simulator",
            Tool::Story => "story",
            Tool::Suites => "suites",
        }
    }

    /// The tool that a binary of tests belongs to.
    fn of_tests(name: &str) -> Option<Tool> {
        match name {
            "saga_core" => Some(Tool::Unit),
            "story" => Some(Tool::Story),
            _ if SUITES.contains(&name) => Some(Tool::Suites),
            _ => None,
        }
    }
}

impl Tools {
    /// Builds the tests like this program.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let mut tests = built(&["-p", "saga-core", "--lib"])?;
        let suites = SUITES.iter().flat_map(|suite| ["--test", suite]);
        let arguments = ["-p", "saga-core", "-p", "saga-testkit", "--test", "story"];
        tests.extend(built(&arguments.into_iter().chain(suites).collect::<Vec<_>>())?);
        Ok(Tools { tests })
    }

    /// What a tool says if this bug is planted; nothing if it does not find it.
    pub(crate) fn look(&self, tool: Tool, bug: &str) -> anyhow::Result<Option<String>> {
        match tool {
            Tool::Explorer => tried(Trial::Explorer, bug),
            Tool::Simulator => tried(Trial::Simulator, bug),
            Tool::Unit | Tool::Story | Tool::Suites => self.tested(tool, bug),
        }
    }

    fn tested(&self, tool: Tool, bug: &str) -> anyhow::Result<Option<String>> {
        let (mut failed, mut hung) = (0, false);
        for test in self.tests.iter().filter(|test| test.tool == tool) {
            let within = if bug.is_empty() { PASSED_WITHIN } else { TESTED_WITHIN };
            let output = run(Command::new("timeout").arg(within).arg(&test.program), bug)?;
            let said = String::from_utf8_lossy(&output.stdout);
            let failures = said.lines().filter(|line| line.ends_with("... FAILED")).count();
            hung |= output.status.code() == Some(TIMED_OUT);
            // One that takes the process down is not listed.
            failed += match output.status.code() {
                Some(0 | TIMED_OUT) => failures,
                Some(_) | None => failures.max(1),
            };
        }
        let tests = match failed {
            0 => None,
            1 => Some("1 test".to_owned()),
            _ => Some(format!("{failed} tests")),
        };
        let hangs = hung.then(|| "hangs".to_owned());
        let said: Vec<String> = tests.into_iter().chain(hangs).collect();
        Ok(Some(said.join(", ")).filter(|said| !said.is_empty()))
    }
}

/// The tests that cargo has built.
fn built(arguments: &[&str]) -> anyhow::Result<Vec<Test>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--no-run", "--profile=planted", "--quiet", "--message-format=json"]).args(arguments);
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the tests cannot be built: {}", String::from_utf8_lossy(&output.stderr));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let built = said.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
    let test = |Built { target, executable }: Built| {
        Some(Test { tool: Tool::of_tests(&target.name)?, program: executable? })
    };
    Ok(built.filter_map(test).collect())
}

/// Has another process of this program try one tool.
fn tried(trial: Trial, bug: &str) -> anyhow::Result<Option<String>> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let output = run(Command::new("timeout").arg(TRIED_WITHIN).arg(this).args(["try", trial.name()]), bug)?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(match (output.status.code(), said) {
        (Some(0), said) if said.is_empty() => None,
        (Some(0), said) => Some(said),
        (Some(TIMED_OUT), _) => Some("does not end".into()),
        (Some(_) | None, _) => Some("panics".into()),
    })
}

fn run(command: &mut Command, bug: &str) -> anyhow::Result<Output> {
    command.env("SAGA_PLANTED", bug).env("RUST_BACKTRACE", "0").output().context("cannot run a tool")
}

/// The first promise that a simulation saw broken, and in which run.
pub(crate) fn broken(report: &Report) -> Option<String> {
    let first = report.first.as_ref()?;
    let broken = first.broken.first().map_or("", String::as_str);
    Some(format!("{} in run {}", broken.split(':').next().unwrap_or_default(), first.seed + 1))
}

/// The tests that run whole runtimes, all of them in memory.
const SUITES: [&str; 10] = [
    "memory_transport",
    "memory_fence",
    "order_saga",
    "poison",
    "model",
    "external",
    "sub_sagas",
    "admission",
    "outage",
    "retention",
];

/// In seconds, for tests: they take at most five, and those in which a bug hangs cost it all.
const TESTED_WITHIN: &str = "20";

/// In seconds, for tests where no bug is: as long as a slow machine takes.
const PASSED_WITHIN: &str = "300";

/// In seconds, for a search or a simulation: they take four.
const TRIED_WITHIN: &str = "60";

/// What `timeout` exits with if it had to end the program.
const TIMED_OUT: i32 = 124;
