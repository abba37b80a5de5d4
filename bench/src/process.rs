//! The bench's own binary in a hidden role, as a process of its own, and how the two talk.
//!
//! The child writes one line of JSON for each [`Note`] to its standard output. The parent writes one line, which
//! says "go", and closes the child's standard input to say "stop". So a child whose parent died stops too.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin, Stdout};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use crate::measure::Cost;
use crate::statements::{self, Counts};
use crate::usage::Usage;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    /// Connected; waits for "go".
    Ready,
    /// So many sagas have ended.
    Progress(u64),
    /// All is done and stored.
    Ended(Cost),
}

/// A child, as its parent sees it.
pub(crate) struct Child {
    role: &'static str,
    process: tokio::process::Child,
    input: Option<ChildStdin>,
    notes: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts the binary that is running once more, in `role`, with `job` as its argument.
    pub(crate) fn start(role: &'static str, job: &impl Serialize) -> Result<Child> {
        let program = std::env::current_exe().context("cannot find the bench's own binary")?;
        let mut process = Command::new(program)
            .args([role, &serde_json::to_string(job)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {role}"))?;
        let output = process.stdout.take().context("the child has no output")?;
        Ok(Child { role, input: process.stdin.take(), process, notes: BufReader::new(output).lines() })
    }

    /// Waits until the child is connected.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        match self.note().await? {
            Note::Ready => Ok(()),
            note => bail!("{} is not ready but says {note:?}", self.role),
        }
    }

    /// Lets the child begin. It goes on until [`Going`] is dropped.
    pub(crate) async fn go(&mut self) -> Result<Going> {
        let mut input = self.input.take().context("the child was let go before")?;
        input.write_all(b"go\n").await?;
        input.flush().await?;
        Ok(Going { _input: input })
    }

    /// Waits until the child has done its work and ended.
    pub(crate) async fn ended(mut self, mut progress: impl FnMut(u64)) -> Result<Cost> {
        loop {
            match self.note().await? {
                Note::Progress(sagas) => progress(sagas),
                Note::Ended(cost) => {
                    self.process.wait().await?;
                    return Ok(cost);
                }
                Note::Ready => bail!("{} says twice that it is ready", self.role),
            }
        }
    }

    async fn note(&mut self) -> Result<Note> {
        match self.notes.next_line().await? {
            Some(line) => serde_json::from_str(&line).with_context(|| format!("{} says {line:?}", self.role)),
            None => bail!("{} ended: {}", self.role, self.process.wait().await?),
        }
    }
}

/// Tells a child to finish what it has and to end, when this is dropped.
pub(crate) struct Going {
    _input: ChildStdin,
}

/// The parent, as a child sees it.
pub(crate) struct Parent {
    input: Lines<BufReader<Stdin>>,
    output: Stdout,
    told: Instant,
    usage: Usage,
    counts: Counts,
}

impl Parent {
    /// Says "ready", waits for "go", and begins to measure this process.
    pub(crate) async fn ready() -> Result<Parent> {
        statements::count()?;
        let mut parent = Parent {
            input: BufReader::new(tokio::io::stdin()).lines(),
            output: tokio::io::stdout(),
            told: Instant::now(),
            usage: Usage::default(),
            counts: Counts::default(),
        };
        parent.tell(&Note::Ready).await?;
        if parent.input.next_line().await?.is_none() {
            bail!("the parent process ended before the run began");
        }
        parent.usage = Usage::now()?;
        parent.counts = Counts::now();
        Ok(parent)
    }

    /// Tells how many sagas have ended, now and then.
    pub(crate) async fn progress(&mut self, sagas: u64) -> Result<()> {
        if self.told.elapsed() < PROGRESS_EVERY {
            return Ok(());
        }
        self.told = Instant::now();
        self.tell(&Note::Progress(sagas)).await
    }

    /// Waits until the parent says "stop". Cancel safe.
    pub(crate) async fn stopped(&mut self) -> Result<()> {
        while self.input.next_line().await?.is_some() {}
        Ok(())
    }

    /// What this process has cost since "go", but for the messages and the pace.
    pub(crate) fn cost(&self) -> Result<Cost> {
        Ok(Cost {
            usage: Usage::now()?.since(self.usage),
            counts: Counts::now().since(self.counts),
            ..Cost::default()
        })
    }

    /// Says that all is done.
    pub(crate) async fn ended(mut self, cost: &Cost) -> Result<()> {
        self.tell(&Note::Ended(*cost)).await
    }

    async fn tell(&mut self, note: &Note) -> Result<()> {
        let line = serde_json::to_string(note)? + "\n";
        self.output.write_all(line.as_bytes()).await?;
        Ok(self.output.flush().await?)
    }
}

/// Smooth to the eye, and nothing beside the work.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
