//! What is done to the services.

use std::fmt;
use std::time::Duration;

use saga_testkit::{TcpProxy, Toward};
use tokio::time::Instant;

use crate::Options;
use crate::dice::Dice;
use crate::fleet::{Fleet, Service};
use crate::load::Load;
use crate::operator;

/// One blow.
#[derive(Clone, Copy)]
enum Attack {
    /// A process is killed, and started again a moment later.
    Kill { service: usize },
    /// Postgres is killed.
    KillPostgres,
    /// The broker is killed.
    KillBroker,
    /// A process loses its connections to Postgres.
    CutPostgres { service: usize },
    /// A process loses its connections to the broker.
    CutBroker { service: usize },
    /// The broker's confirms do not come through for longer than anybody waits, and then the connections break.
    SwallowConfirms { service: usize },
    /// The order services cannot reach the broker until sagas give up; then commands and undos leave together.
    Partition,
}

/// What was done.
#[derive(Default)]
pub(crate) struct Tally {
    /// Kills of each process, in the order of the fleet.
    pub(crate) kills: [usize; 4],
    pub(crate) postgres: usize,
    pub(crate) broker: usize,
    pub(crate) cuts: usize,
    /// The fewest sagas under way at any kill.
    pub(crate) fewest: Option<i64>,
    pub(crate) took: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { kills, postgres, broker, cuts, fewest, took } = self;
        let fewest = fewest.unwrap_or_default();
        write!(
            f,
            "kills of processes {kills:?}, of Postgres {postgres}, of the broker {broker}, cuts {cuts}, "
        )?;
        write!(f, "never with fewer than {fewest} sagas under way, in {:.0} s", took.as_secs_f64())
    }
}

/// Strikes until every quota is met.
pub(crate) async fn run(fleet: &Fleet, load: &Load, options: &Options) -> Tally {
    let mut ring =
        Ring { fleet, dice: Dice::of(options.seed), options, tally: Tally::default(), began: Instant::now() };
    for attack in ring.deck() {
        ring.strike(attack).await;
        // Not once the attacks are over: who asks again for ever keeps a handler that always fails from being given up.
        operator::retry_at_both(&fleet.services[0].client, &fleet.services[1].client).await;
        ring.pause(300, 1500).await;
    }
    while load.accepted() < options.orders {
        ring.pause(100, 200).await;
    }
    Tally { took: ring.began.elapsed(), ..ring.tally }
}

struct Ring<'a> {
    fleet: &'a Fleet,
    dice: Dice,
    options: &'a Options,
    tally: Tally,
    began: Instant,
}

impl Ring<'_> {
    /// All attacks of a run, in an order that the seed decides.
    fn deck(&mut self) -> Vec<Attack> {
        let mut deck = vec![Attack::KillPostgres, Attack::KillBroker, Attack::Partition];
        for service in 0..self.fleet.services.len() {
            deck.extend(vec![Attack::Kill { service }; self.options.kills]);
            deck.push(Attack::SwallowConfirms { service });
        }
        for cut in 0..self.options.cuts {
            let service = self.dice.below(4) as usize;
            deck.push(if cut % 2 == 0 {
                Attack::CutPostgres { service }
            } else {
                Attack::CutBroker { service }
            });
        }
        self.dice.shuffle(&mut deck);
        deck
    }

    async fn strike(&mut self, attack: Attack) {
        match attack {
            Attack::Kill { service } => self.kill(service).await,
            Attack::KillPostgres => {
                self.kill_server("postgres").await;
                self.tally.postgres += 1;
            }
            Attack::KillBroker => {
                self.kill_server(self.fleet.servers.broker).await;
                self.tally.broker += 1;
            }
            Attack::CutPostgres { service } => {
                let service = &self.fleet.services[service];
                self.cut(service, &service.postgres, "Postgres").await;
            }
            Attack::CutBroker { service } => {
                let service = &self.fleet.services[service];
                self.cut(service, service.broker.tcp(), "the broker").await;
            }
            Attack::SwallowConfirms { service } => self.swallow_confirms(service).await,
            Attack::Partition => self.partition().await,
        }
    }

    async fn kill(&mut self, index: usize) {
        let service = &self.fleet.services[index];
        self.fleet.fetch_counters(service).await;
        let mut process = service.process.lock().await;
        let in_flight = self.until_busy().await;
        process.kill().await;
        self.tally.kills[index] += 1;
        self.say(&format!("kill {} with {in_flight} sagas under way", service.name));
        self.pause(100, 2000).await;
        process.start();
    }

    async fn kill_server(&mut self, server: &str) {
        let in_flight = self.until_busy().await;
        self.say(&format!("kill {server} with {in_flight} sagas under way"));
        self.fleet.servers.kill(server).await;
        self.pause(500, 2000).await;
        self.fleet.servers.restart(server).await;
        self.say(&format!("{server} is up again"));
    }

    /// A service that was just killed has no connection yet, and a cut of none is no cut.
    async fn cut(&mut self, service: &Service, proxy: &TcpProxy, from: &str) {
        let mut connections = proxy.cut_all();
        while connections == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            connections = proxy.cut_all();
        }
        self.tally.cuts += 1;
        self.say(&format!("cut {} off {from}: {connections} connections", service.name));
    }

    async fn swallow_confirms(&mut self, service: usize) {
        let service = &self.fleet.services[service];
        let proxy = service.broker.tcp();
        self.say(&format!("swallow what the broker answers to {}", service.name));
        proxy.stall(Toward::Client);
        tokio::time::sleep(LONGER_THAN_A_CALL).await;
        self.cut(service, proxy, "the broker").await;
        proxy.resume();
    }

    async fn partition(&mut self) {
        self.say("keep both order services from the broker");
        for service in self.fleet.orders() {
            service.broker.tcp().refuse();
            service.broker.tcp().cut_all();
        }
        tokio::time::sleep(LONGER_THAN_A_STEP).await;
        for service in self.fleet.orders() {
            service.broker.tcp().allow();
        }
        self.say("they may talk again");
    }

    /// Waits until enough sagas are under way: a fifth more than are asked for, since some end before the blow falls.
    async fn until_busy(&mut self) -> i64 {
        loop {
            let in_flight = self.fleet.in_flight().await.unwrap_or_default();
            if in_flight >= self.options.in_flight * 6 / 5 {
                self.tally.fewest = Some(self.tally.fewest.map_or(in_flight, |fewest| fewest.min(in_flight)));
                return in_flight;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn pause(&mut self, from_ms: u64, to_ms: u64) {
        tokio::time::sleep(Duration::from_millis(from_ms + self.dice.below(to_ms - from_ms))).await;
    }

    fn say(&self, what: &str) {
        println!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

/// `CALL_DEADLINE_MS`, and half a second.
const LONGER_THAN_A_CALL: Duration = Duration::from_millis(3500);

/// Five times `STEP_TIMEOUT_MS`, and the pauses between.
const LONGER_THAN_A_STEP: Duration = Duration::from_millis(18_000);
