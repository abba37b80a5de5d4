//! Servers of this test's own, driven by `scripts/services`.

use std::path::PathBuf;
use std::process::Command;

use order::config::BrokerKind;

/// Postgres and a broker that nobody else uses.
pub(crate) struct Servers {
    folder: PathBuf,
    pub(crate) broker: &'static str,
    /// The URL of the Postgres server, without a database.
    pub(crate) postgres: String,
    /// The URL or address of the broker.
    pub(crate) broker_address: String,
}

impl Servers {
    /// Brings them up with empty data.
    pub(crate) async fn start(broker: BrokerKind, folder: PathBuf) -> Servers {
        let broker = match broker {
            BrokerKind::Rabbitmq => "rabbitmq",
            BrokerKind::Kafka => "kafka",
        };
        let mut servers = Servers { folder, broker, postgres: String::new(), broker_address: String::new() };
        servers.services(&["wipe", "postgres", broker]).await;
        servers.services(&["up", "postgres", broker]).await;
        let variables = servers.services(&["env", "postgres", broker]).await;
        let variable = |name: &str| {
            let line = variables.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
            line.unwrap_or_else(|| panic!("{name} is not in {variables}")).to_owned()
        };
        let database = variable("SAGA_POSTGRES_URL");
        servers.postgres = database.rsplit_once('/').unwrap().0.to_owned();
        servers.broker_address =
            variable(if broker == "kafka" { "SAGA_KAFKA_BROKERS" } else { "SAGA_AMQP_URL" });
        servers
    }

    /// Where Postgres listens: host:port.
    pub(crate) fn postgres_host(&self) -> &str {
        self.postgres.rsplit('@').next().unwrap()
    }

    /// Where the broker listens: host:port.
    pub(crate) fn broker_host(&self) -> &str {
        let address = self.broker_address.rsplit('@').next().unwrap();
        address.split('/').next().unwrap()
    }

    /// Ends a server as a crash does.
    pub(crate) async fn kill(&self, server: &str) {
        self.services(&["kill", server]).await;
    }

    /// Brings a server up again, with its ports and its data.
    pub(crate) async fn restart(&self, server: &str) {
        self.services(&["start", server]).await;
    }

    async fn services(&self, arguments: &[&str]) -> String {
        let output = tokio::process::Command::from(self.command(arguments)).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/services {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/services"));
        command.args(arguments).env("SAGA_SERVICES_DIR", &self.folder);
        // Whoever runs this test may have servers named in the environment; they are not ours to kill.
        for variable in ["SAGA_POSTGRES_URL", "SAGA_AMQP_URL", "SAGA_KAFKA_BROKERS"] {
            command.env_remove(variable);
        }
        command
    }
}

impl Drop for Servers {
    /// Ends the servers, whatever became of the run. Their data and logs stay.
    fn drop(&mut self) {
        // What it says is of no interest any more.
        let _ = self.command(&["down", "postgres", self.broker]).output();
    }
}
