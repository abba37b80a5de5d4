//! The search: breadth first, level by level, so that the first violation has the shortest trace.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::reach::{self, Edges};
use super::rules::Rules;
use super::walker::{Move, Walker};
use super::world::{World, fingerprint};

/// What a search has come to.
pub(super) struct Searched {
    pub(super) states: usize,
    pub(super) transitions: usize,
    /// The number of moves to the farthest state.
    pub(super) depth: usize,
    /// States in which every saga has ended.
    pub(super) ends: usize,
    /// States from which no end can be reached.
    pub(super) stuck: usize,
    /// Whether the search stopped at its limit.
    pub(super) cut_off: bool,
    /// What is wrong, and how to come there.
    pub(super) found: Option<Found>,
}

impl Searched {
    /// A search that never began.
    pub(super) const fn of_nothing() -> Self {
        Searched { states: 0, transitions: 0, depth: 0, ends: 0, stuck: 0, cut_off: false, found: None }
    }
}

/// A violation, and the moves that lead to it.
pub(super) struct Found {
    pub(super) wrong: String,
    pub(super) path: Vec<Move>,
}

/// All states seen so far. Of each it keeps the fingerprint and the state it was reached from.
pub(super) struct Search<'a, M> {
    rules: &'a Rules<M>,
    states_max: usize,
    index: HashMap<u128, u32, Mixed>,
    prints: Vec<u128>,
    parents: Vec<u32>,
    is_end: Vec<bool>,
    edges: Edges,
}

/// What came of a part of a level.
#[derive(Default)]
struct Part {
    /// States that no level before has, and their fingerprints.
    new: Vec<New>,
    seen: Prints,
    /// The fingerprints of all successors, and how many each parent has.
    successors: Vec<u128>,
    counts: Vec<u32>,
    wrong: Option<(u32, Move, String)>,
}

/// A state that no level before has.
struct New {
    print: u128,
    parent: u32,
    is_end: bool,
    world: World,
}

impl<'a, M: Clone + Eq + Hash + Send + Sync> Search<'a, M> {
    pub(super) fn new(rules: &'a Rules<M>, states_max: usize) -> Self {
        Search {
            rules,
            states_max,
            index: HashMap::default(),
            prints: Vec::new(),
            parents: Vec::new(),
            is_end: Vec::new(),
            edges: Edges::default(),
        }
    }

    /// Searches everything that can be reached from `start`.
    pub(super) fn run(mut self, start: &World) -> Searched {
        let mut walker = Walker::new(self.rules);
        if let Some(wrong) = walker.wrong(start) {
            return self.finish(0, Some(Found { wrong, path: Vec::new() }), false);
        }
        self.add(fingerprint(start), NO_PARENT, walker.is_end(start));
        let mut walkers = vec![walker];
        walkers.resize_with(threads(), || Walker::new(self.rules));
        let (mut level, mut depth) = (vec![start.clone()], 0);
        loop {
            let first = (self.prints.len() - level.len()) as u32;
            let parts = self.expand(&mut walkers, first, &level);
            if let Some((parent, made, wrong)) = parts.iter().find_map(|part| part.wrong.clone()) {
                let path = self.path_to(start, parent, made);
                return self.finish(depth, Some(Found { wrong, path }), false);
            }
            level = self.merge(parts);
            if level.is_empty() {
                return self.conclude(start, depth);
            }
            depth += 1;
            if self.prints.len() > self.states_max {
                return self.finish(depth, None, true);
            }
        }
    }

    /// Expands a level, in parts that the threads take one after another.
    fn expand(&self, walkers: &mut [Walker<'_, M>], first: u32, level: &[World]) -> Vec<Part> {
        let chunks: Vec<&[World]> = level.chunks(CHUNK).collect();
        let taken = AtomicUsize::new(0);
        let work = |walker: &mut Walker<'_, M>| {
            let mut parts = Vec::new();
            while let Some((number, chunk)) = next_of(&taken, &chunks) {
                parts.push((number, self.expand_part(walker, first + (number * CHUNK) as u32, chunk)));
            }
            parts
        };
        let mut parts: Vec<(usize, Part)> = match walkers {
            [alone, ..] if chunks.len() == 1 => work(alone),
            walkers => thread::scope(|scope| {
                let running: Vec<_> = walkers.iter_mut().map(|walker| scope.spawn(|| work(walker))).collect();
                running.into_iter().flat_map(joined).collect()
            }),
        };
        parts.sort_unstable_by_key(|(number, _)| *number);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    fn expand_part(&self, walker: &mut Walker<'_, M>, first: u32, worlds: &[World]) -> Part {
        let mut part = Part::default();
        for (offset, world) in worlds.iter().enumerate() {
            let parent = first + offset as u32;
            let before = part.successors.len();
            for (made, reached) in walker.next(world) {
                let wrong = match reached {
                    Ok(next) => self.visit(walker, &mut part, parent, next),
                    Err(wrong) => Some(wrong),
                };
                if let Some(wrong) = wrong {
                    part.wrong = Some((parent, made, wrong));
                    return part;
                }
            }
            part.counts.push((part.successors.len() - before) as u32);
        }
        part
    }

    /// Notes a successor, and returns what is wrong with it if it is new.
    fn visit(
        &self,
        walker: &mut Walker<'_, M>,
        part: &mut Part,
        parent: u32,
        world: World,
    ) -> Option<String> {
        let print = fingerprint(&world);
        part.successors.push(print);
        if self.index.contains_key(&print) || !part.seen.insert(print) {
            return None;
        }
        let (wrong, is_end) = (walker.wrong(&world), walker.is_end(&world));
        part.new.push(New { print, parent, is_end, world });
        wrong
    }

    /// Adds what a level has found, in its order, and returns the next level.
    fn merge(&mut self, parts: Vec<Part>) -> Vec<World> {
        let mut level = Vec::new();
        let mut successors = Vec::with_capacity(parts.len());
        for Part { new, successors: prints, counts, .. } in parts {
            for New { print, parent, is_end, world } in new {
                if self.add(print, parent, is_end) {
                    level.push(world);
                }
            }
            successors.push((prints, counts));
        }
        for (prints, counts) in successors {
            self.edges.extend(&counts, prints.iter().map(|print| self.index[print]));
        }
        level
    }

    fn add(&mut self, print: u128, parent: u32, is_end: bool) -> bool {
        let number = self.prints.len() as u32;
        if *self.index.entry(print).or_insert(number) != number {
            return false;
        }
        self.prints.push(print);
        self.parents.push(parent);
        self.is_end.push(is_end);
        true
    }

    /// Everything is searched: looks for states from which no end can be reached.
    fn conclude(self, start: &World, depth: usize) -> Searched {
        let can_end = reach::backward(&self.edges, &self.is_end);
        let stuck = can_end.iter().filter(|can| !**can).count();
        let found = can_end.iter().position(|can| !can).map(|first| Found {
            wrong: "no end can be reached from here [stuck]".into(),
            path: self.path(start, first as u32),
        });
        let searched = self.finish(depth, found, false);
        Searched { stuck, ..searched }
    }

    fn finish(self, depth: usize, found: Option<Found>, cut_off: bool) -> Searched {
        let ends = self.is_end.iter().filter(|end| **end).count();
        let (states, transitions) = (self.prints.len(), self.edges.len());
        Searched { states, transitions, depth, ends, stuck: 0, cut_off, found }
    }

    fn path_to(&self, start: &World, parent: u32, last: Move) -> Vec<Move> {
        let mut path = self.path(start, parent);
        path.push(last);
        path
    }

    /// The moves to a state, found again by walking along the fingerprints of the states before it.
    fn path(&self, start: &World, state: u32) -> Vec<Move> {
        let mut states = vec![state];
        while let Some(&parent) = states.last().map(|last| &self.parents[*last as usize])
            && parent != NO_PARENT
        {
            states.push(parent);
        }
        let mut walker = Walker::new(self.rules);
        let mut world = start.clone();
        let prints = states.iter().rev().skip(1).map(|state| self.prints[*state as usize]);
        prints.filter_map(|print| step_to(&mut walker, &mut world, print)).collect()
    }
}

fn step_to<M: Clone + Eq + Hash>(walker: &mut Walker<'_, M>, world: &mut World, print: u128) -> Option<Move> {
    let next = walker.next(world).into_iter();
    let mut reached = next.filter_map(|(made, reached)| Some((made, reached.ok()?)));
    let (made, next) = reached.find(|(_, next)| fingerprint(next) == print)?;
    *world = next;
    Some(made)
}

fn next_of<'a>(taken: &AtomicUsize, chunks: &[&'a [World]]) -> Option<(usize, &'a [World])> {
    let number = taken.fetch_add(1, Ordering::Relaxed);
    chunks.get(number).map(|chunk| (number, *chunk))
}

/// A thread's parts. What panics in a user's model panics here.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, Vec<T>>) -> Vec<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

type Mixed = BuildHasherDefault<AlreadyMixed>;
type Prints = HashSet<u128, Mixed>;

/// A fingerprint is mixed as well as any hash of it would be.
#[derive(Default)]
struct AlreadyMixed(u64);

impl Hasher for AlreadyMixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8).take(1) {
            self.0 = chunk.try_into().map_or(0, u64::from_le_bytes);
        }
    }
}

/// The first state was reached from nowhere.
const NO_PARENT: u32 = u32::MAX;

/// Small enough that all threads have work to the end of a level, large enough that taking one costs nothing.
const CHUNK: usize = 512;

/// Adding what was found is done by one thread, so more than a few only wait for it.
const THREADS_MAX: usize = 8;
