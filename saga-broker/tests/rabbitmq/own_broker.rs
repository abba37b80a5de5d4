//! What needs a broker of one's own: alarms, limits, and death.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use saga_broker::rabbitmq::RabbitMq;
use saga_core::port::{IdSource, PUBLISH_DEADLINE, PublishError, RandomIds, Transport};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::common::{
    PATIENCE, Place, acks, assert_all_arrive, envelope, envelopes, publish, publish_for_ever, reader,
    receive, rounds,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a broker of its own, and kills it"]
async fn alarms_limits_and_death_of_the_broker_lose_nothing() {
    let broker = Broker::start();
    let place = Place::at(&broker.url()).await;
    an_alarm_stops_publishing_quickly_and_reading_not_at_all(&broker, &place).await;
    a_message_that_only_the_broker_finds_too_large_fails_alone(&broker, &place).await;
    killing_the_broker_loses_nothing_confirmed(&broker, &place).await;
}

async fn an_alarm_stops_publishing_quickly_and_reading_not_at_all(broker: &Broker, place: &Place) {
    let (client, here) = place.client("alarm").await;
    publish(&client, &envelopes(&here, 100)).await;
    broker.control(&["set_vm_memory_high_watermark", "0"]);
    // The broker says so when it is next published to, and may have taken that batch.
    let began = Instant::now();
    let first = client.publish(&envelopes(&here, 1)).await;
    assert!(matches!(first[0], Err(PublishError::Unknown(_))), "{first:?}");
    let second = client.publish(&envelopes(&here, 1)).await;
    assert!(
        matches!(&second[0], Err(PublishError::Unreachable(why)) if why.contains("memory")),
        "{second:?}"
    );
    assert!(began.elapsed() < PUBLISH_DEADLINE, "{:?}", began.elapsed());

    let mut reader = reader(&client, &here, 100).await;
    let deliveries = receive(&mut *reader, 100).await;
    assert!(reader.settler().settle(&acks(&deliveries)).await.iter().all(Result::is_ok));

    broker.control(&["set_vm_memory_high_watermark", "0.4"]);
    let publishing = async { while client.publish(&envelopes(&here, 1)).await[0].is_err() {} };
    timeout(PATIENCE, publishing).await.expect("publishing goes on after the alarm");
}

async fn a_message_that_only_the_broker_finds_too_large_fails_alone(broker: &Broker, place: &Place) {
    let (client, here) = place.client("large").await;
    broker.control(&["eval", "application:set_env(rabbit, max_message_size, 1000)."]);
    // Only new channels know the limit.
    place.proxy.cut_all();
    let mut batch = envelopes(&here, 20);
    batch[7] = envelope(&here, vec![0; 1001]);
    let publishing = async {
        loop {
            let results = client.publish(&batch).await;
            if !results.iter().all(Result::is_err) {
                break results;
            }
        }
    };
    let results = timeout(PATIENCE, publishing).await.expect("the others are published");
    for (number, result) in results.iter().enumerate() {
        assert_eq!(matches!(result, Err(PublishError::Permanent(_))), number == 7, "{number}: {result:?}");
        assert_eq!(result.is_ok(), number != 7, "{number}: {result:?}");
    }
}

async fn killing_the_broker_loses_nothing_confirmed(broker: &Broker, place: &Place) {
    let (client, here) = place.client("killed").await;
    // RabbitMQ 3.10 writes down the names of new quorum queues minutes later, or when it ends in peace. A broker that
    // is killed before that begins them anew, empty and without a leader.
    broker.services(&["restart", "rabbitmq"]);
    let client: Arc<RabbitMq> = Arc::new(client);
    let (progress, mut batches) = watch::channel(0);
    let publishers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(publish_for_ever(client.clone(), here.clone(), progress.clone())))
        .collect();
    for _ in 0..rounds(3, 30) {
        batches.mark_unchanged();
        let confirming = timeout(Duration::from_secs(60), batches.changed());
        confirming.await.expect("publishing recovers").unwrap();
        broker.services(&["kill", "rabbitmq"]);
        broker.services(&["start", "rabbitmq"]);
    }
    drop(batches);
    let mut confirmed = HashSet::new();
    for publisher in publishers {
        confirmed.extend(publisher.await.unwrap());
    }
    assert_all_arrive(&client, &here, confirmed).await;
}

/// A broker that `scripts/services` runs in a folder of its own, until the test ends.
struct Broker(PathBuf);

impl Broker {
    fn start() -> Self {
        let name = format!("saga-rabbitmq-{}", RandomIds.uuid().simple());
        let broker = Broker(std::env::temp_dir().join(name));
        broker.services(&["up", "rabbitmq"]);
        broker
    }

    fn url(&self) -> String {
        let variables = self.services(&["env", "rabbitmq"]);
        variables.trim().trim_start_matches("export SAGA_AMQP_URL=").to_owned()
    }

    fn services(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services");
        let mut command = Command::new(script);
        command.args(arguments).env("SAGA_SERVICES_DIR", &self.0).env_remove("SAGA_AMQP_URL");
        output(command)
    }

    fn control(&self, arguments: &[&str]) {
        let port = std::fs::read_to_string(self.0.join("ports/rabbitmq-epmd")).unwrap();
        let folders = std::fs::read_dir(self.0.join("rabbitmq/data")).unwrap();
        let names = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap());
        let node = names.into_iter().find(|name| name.ends_with("@localhost")).unwrap();
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl");
        command.args(["-n", &node]).args(arguments);
        command.env("HOME", self.0.join("rabbitmq")).env("ERL_EPMD_PORT", port.trim());
        output(command);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.services(&["wipe", "rabbitmq"]);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
