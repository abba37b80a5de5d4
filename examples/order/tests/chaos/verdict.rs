//! Whether a run proves anything, and whether all is well.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use order::audit::audit;
use saga_postgres::sqlx;
use uuid::Uuid;

use crate::Options;
use crate::attack::Tally;
use crate::fleet::Fleet;
use crate::load::{Kind, Placed};

/// Prints what happened, and returns what must not be.
pub(crate) async fn findings(
    fleet: &Fleet,
    placed: &Placed,
    tally: &Tally,
    options: &Options,
) -> Vec<String> {
    println!("{tally}");
    for service in &fleet.services {
        fleet.fetch_counters(service).await;
    }
    let mut findings = uncounted(fleet);
    findings.extend(unmet(placed, tally, options));
    findings.extend(misjudged(fleet, placed).await);
    findings.extend(audited(fleet).await);
    // Whatever was sent and is still on its way must find nothing to change.
    tokio::time::sleep(GRACE).await;
    findings.extend(audited(fleet).await.into_iter().map(|finding| format!("{finding}, {GRACE:?} later")));
    findings
}

/// What never happened, so that the run does not show how it is borne; and what must never happen.
fn uncounted(fleet: &Fleet) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, counter) in MUST_HAPPEN {
        let count = fleet.counters.total(counter);
        println!("{count:8.0}  {name}");
        if count <= 0.0 {
            findings.push(format!("there were no {name} ({counter})"));
        }
    }
    for (name, counter) in MAY_HAPPEN {
        println!("{:8.0}  {name}", fleet.counters.total(counter));
    }
    for (name, counter) in MUST_NOT_HAPPEN {
        let count = fleet.counters.total(counter);
        if count > 0.0 {
            findings.push(format!("there were {count} {name} ({counter})"));
        }
    }
    findings
}

fn unmet(placed: &Placed, tally: &Tally, options: &Options) -> Vec<String> {
    let quotas = [
        (placed.0.len() >= options.orders, "too few orders"),
        (tally.kills.iter().all(|kills| *kills >= options.kills), "too few kills of a process"),
        (tally.postgres > 0 && tally.broker > 0, "a server was never killed"),
        (tally.cuts >= options.cuts, "too few cuts"),
        (
            tally.fewest.is_some_and(|fewest| fewest >= options.in_flight),
            "a kill with too few sagas under way",
        ),
    ];
    quotas.into_iter().filter(|(met, _)| !met).map(|(_, what)| what.to_owned()).collect()
}

/// Orders that were accepted and are not there, or ended as they must not; and outcomes that did not occur.
async fn misjudged(fleet: &Fleet, placed: &Placed) -> Vec<String> {
    let mut databases = fleet.databases().await;
    let ended: Vec<(Uuid, String)> = sqlx::query_as(ENDED).fetch_all(&mut databases.order).await.unwrap();
    let ended: HashMap<String, String> =
        ended.into_iter().map(|(id, status)| (id.to_string(), status)).collect();
    let mut findings = Vec::new();
    let mut outcomes: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    for (id, kind) in &placed.0 {
        match ended.get(id).map(String::as_str) {
            None => findings.push(format!("order {id} was accepted and is not there")),
            Some("completed") if *kind != Kind::Plain => {
                findings.push(format!("order {id} is completed, though it is {kind:?}"));
            }
            Some(status) => *outcomes.entry((*kind, status)).or_default() += 1,
        }
    }
    outcomes.iter().for_each(|((kind, status), count)| println!("{count:8}  orders {kind:?}, {status}"));
    let kinds: HashSet<Kind> = outcomes.keys().map(|(kind, _)| *kind).collect();
    if kinds.len() < Kind::ALL.len() || !outcomes.contains_key(&(Kind::Plain, "completed")) {
        findings.push("not every outcome occurred".into());
    }
    findings
}

async fn audited(fleet: &Fleet) -> Vec<String> {
    let findings = audit(&mut fleet.databases().await).await.unwrap();
    println!("{:8}  findings of the audit", findings.len());
    findings.iter().for_each(|finding| println!("          {finding}"));
    findings.iter().map(ToString::to_string).collect()
}

const ENDED: &str =
    "SELECT orders.id, instance.status FROM orders JOIN saga.instance ON instance.id = orders.saga";

const MUST_HAPPEN: [(&str, &str); 5] = [
    ("duplicates absorbed", "saga_duplicates_absorbed_total"),
    ("tombstones hit", "saga_tombstones_hit_total"),
    ("rows sent by the sweeper", "saga_outbox_sent_total{way=\"sweeper\"}"),
    ("unknown confirms", "saga_publish_unknown_total"),
    ("lost races", "saga_lost_races_total"),
];

const MAY_HAPPEN: [(&str, &str); 6] = [
    ("rows sent from memory", "saga_outbox_sent_total{way=\"hot\"}"),
    ("commits whose answer was lost", "saga_ambiguous_commits_total"),
    ("tombstones set", "saga_tombstones_set_total"),
    ("events ignored", "saga_events_ignored_total"),
    ("timers fired", "saga_timers_fired_total"),
    ("sagas parked", "saga_ended_total{status=\"parked\"}"),
];

const MUST_NOT_HAPPEN: [(&str, &str); 3] = [
    ("events of unknown sagas", "saga_events_unknown_saga_total"),
    ("dead letters", "saga_dead_lettered_total"),
    ("messages set aside", "saga_outbox_dead_total"),
];

/// Messages on their way arrive within this.
const GRACE: Duration = Duration::from_secs(5);
