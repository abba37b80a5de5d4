//! Plants bugs, one after another, and shows which tool finds which: inside the machine, the fence's table, the relay
//! and the runtimes, and at the ports of the simulation.

mod tool;

use std::collections::BTreeMap;
use std::thread;

use anyhow::bail;
use saga_testkit::simulate;
use serde_json::json;

use crate::args::{GalleryArguments, Trial};
use crate::{explore, progress, shop};
use tool::{Tool, Tools, broken};

/// A bug, and what each tool says that found it.
struct Picture {
    bug: String,
    found: BTreeMap<Tool, String>,
}

pub(crate) fn run(arguments: &GalleryArguments) -> anyhow::Result<()> {
    let tools = Tools::build()?;
    if let Some((tool, said)) = look(&tools, "")?.first_key_value() {
        bail!("without a bug, {} says: {said}", tool.name());
    }
    if !arguments.json {
        let names = Tool::ALL.map(Tool::name).join(" | ");
        println!("| bug | {names} |\n|---|{}", "---|".repeat(Tool::ALL.len()));
    }
    let bar = progress::bar(saga_core::Bug::ALL.len() + simulate::Bug::ALL.len(), TEMPLATE);
    let inside = saga_core::Bug::ALL.into_iter().map(|bug| inside(&tools, bug));
    let mut pictures = Vec::new();
    for picture in inside.chain(simulate::Bug::ALL.into_iter().map(at_a_port)) {
        let picture = picture?;
        if !arguments.json {
            bar.suspend(|| println!("{}", picture.line()));
        }
        pictures.push(picture);
        bar.inc(1);
    }
    bar.finish_and_clear();
    sum_up(&pictures, arguments.json)
}

fn inside(tools: &Tools, bug: saga_core::Bug) -> anyhow::Result<Picture> {
    let bug = format!("{bug:?}");
    Ok(Picture { found: look(tools, &bug)?, bug })
}

/// What the tools say to a bug, all at once.
fn look(tools: &Tools, bug: &str) -> anyhow::Result<BTreeMap<Tool, String>> {
    thread::scope(|scope| {
        let looking = Tool::ALL.map(|tool| (tool, scope.spawn(move || tools.look(tool, bug))));
        let mut found = BTreeMap::new();
        for (tool, looked) in looking {
            let Ok(looked) = looked.join() else { bail!("{} could not be asked", tool.name()) };
            found.extend(looked?.map(|said| (tool, said)));
        }
        Ok(found)
    })
}

/// Bugs at the ports are made by the simulation, so nobody else can find them.
fn at_a_port(bug: simulate::Bug) -> anyhow::Result<Picture> {
    let report = shop::simulation()?.plant(bug).seeds(0..RUNS_MAX).run();
    let found = broken(&report).map(|said| (Tool::Simulator, said));
    Ok(Picture { bug: format!("{bug:?}, at a port"), found: found.into_iter().collect() })
}

fn sum_up(pictures: &[Picture], in_json: bool) -> anyhow::Result<()> {
    let missed = pictures.iter().filter(|picture| picture.found.is_empty());
    let missed: Vec<&str> = missed.map(|picture| picture.bug.as_str()).collect();
    let (planted, caught) = (pictures.len(), pictures.len() - missed.len());
    let found_by = |tool| pictures.iter().filter(|picture| picture.found.contains_key(&tool)).count();
    let by_tool: BTreeMap<&str, usize> = Tool::ALL.map(|tool| (tool.name(), found_by(tool))).into();
    match in_json {
        true => println!("{}", json!({ "planted": planted, "caught": caught, "by_tool": by_tool })),
        false => println!("\n{caught} of {planted} found: {by_tool:?}"),
    }
    if missed.is_empty() { Ok(()) } else { bail!("not found: {}", missed.join(", ")) }
}

impl Picture {
    fn line(&self) -> String {
        let found = Tool::ALL.map(|tool| self.found.get(&tool).map_or("", String::as_str));
        format!("| {} | {} |", self.bug, found.join(" | "))
    }
}

/// One tool in a process of its own, in which a bug may be planted: prints what it finds, if it finds something.
pub(crate) fn try_one(trial: Trial) -> anyhow::Result<()> {
    let found = match trial {
        Trial::Explorer => explore::first_violation()?,
        Trial::Simulator => broken(&shop::simulation()?.seeds(0..RUNS_MAX).run()),
    };
    if let Some(said) = found {
        println!("{said}");
    }
    Ok(())
}

/// Most bugs show in the first few runs, and one that does not may be found by another tool.
const RUNS_MAX: u64 = 500;

const TEMPLATE: &str = "gallery {wide_bar} {pos} of {len} bugs, {elapsed}";
