//! Adds up what the processes count, over all their lives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use order::client::Client;

/// The last counts of each life of each process. A process that is killed takes its last moments with it.
#[derive(Default)]
pub(crate) struct Counters(Mutex<HashMap<Incarnation, BTreeMap<String, f64>>>);

/// A process by its name and how often it was started before.
type Incarnation = (&'static str, usize);

impl Counters {
    /// Fetches the counts of a process in one of its lives; if it does not answer, those before stand.
    pub(crate) async fn fetch(&self, process: &'static str, life: usize, client: Client) {
        if let Ok(answer) = client.get("/metrics").await
            && answer.status == 200
        {
            self.0.lock().unwrap().insert((process, life), read(&answer.body));
        }
    }

    /// The sum of all counters whose name and labels begin like this.
    pub(crate) fn total(&self, prefix: &str) -> f64 {
        let lives = self.0.lock().unwrap();
        let counts = lives.values().flatten().filter(|(name, _)| name.starts_with(prefix));
        counts.fold(0.0, |sum, (_, count)| sum + count)
    }
}

fn read(page: &str) -> BTreeMap<String, f64> {
    let counts = page.lines().filter(|line| !line.starts_with('#'));
    counts
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, count)| Some((name.into(), count.parse().ok()?)))
        .collect()
}
