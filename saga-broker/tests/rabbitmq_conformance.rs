//! The conformance suite over RabbitMQ, through a proxy that cuts and stalls.

use std::sync::Arc;

use async_trait::async_trait;
use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::port::Transport;
use saga_testkit::{TcpProxy, suite};

struct Broker(TcpProxy, String);

#[async_trait]
impl suite::transport::Harness for Broker {
    async fn start() -> Option<Self> {
        let url = suite::server("SAGA_AMQP_URL")?;
        let (_, rest) = url.rsplit_once('@')?;
        let address = rest.split('/').next()?.to_owned();
        let proxy = TcpProxy::to(&address).await.ok()?;
        let url = url.replace(&address, &proxy.address().to_string());
        Some(Broker(proxy, url))
    }

    async fn connect(&self) -> Arc<dyn Transport> {
        let config = RabbitMqConfig::new(&self.1).expect("a proper URL");
        Arc::new(RabbitMq::new(config))
    }

    fn proxy(&self) -> Option<&TcpProxy> {
        Some(&self.0)
    }
}

saga_testkit::transport_suite!(Broker);
saga_testkit::runtime_suite!(Broker);
