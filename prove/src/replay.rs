//! Replays recordings: what sagas of the order example went through on real servers.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use saga_testkit::replay;
use serde::Serialize;

use crate::args::ReplayArguments;
use crate::examples::order;
use crate::progress;

/// The line that `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Figures {
    recordings: usize,
    transitions: usize,
    differences: usize,
}

pub(crate) fn run(arguments: &ReplayArguments) -> anyhow::Result<()> {
    let order = order::place_order()?;
    let mut figures = Figures::default();
    let files = files(&arguments.files)?;
    let bar = progress::bar(files.len(), "replay {wide_bar} {pos} of {len} recordings");
    for file in files {
        figures.recordings += 1;
        let replayed = replay::replay(&file, &[order.plan()]);
        figures.transitions += replayed.as_ref().copied().unwrap_or_default();
        figures.differences += usize::from(replayed.is_err());
        match replayed {
            Ok(transitions) if !arguments.json => {
                bar.suspend(|| println!("{}: {transitions} transitions", file.display()));
            }
            Ok(_) => {}
            Err(difference) => bar.suspend(|| eprintln!("{difference}\n")),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let Figures { recordings, transitions, differences } = figures;
    match arguments.json {
        true => println!("{}", serde_json::to_string(&figures)?),
        false => println!("{recordings} recordings, {transitions} transitions, {differences} differences"),
    }
    if differences > 0 { bail!("{differences} recordings come out otherwise") } else { Ok(()) }
}

fn files(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let folder = Path::new(RECORDINGS);
    replay::files(folder).with_context(|| format!("cannot read {}", folder.display()))
}

/// Those of the order example, from where `scripts/prove` runs.
const RECORDINGS: &str = "examples/order/recordings";
