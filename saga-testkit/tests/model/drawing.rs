//! What a saga and its definition look like.

use std::error::Error;
use std::sync::Arc;

use saga_core::drawing::Drawing;
use saga_core::machine::Instance;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::runtime::Orchestrator;
use saga_core::saga;

use super::time::Decision;
use super::{CapturePayment, PlaceOrder, ReserveStock};

#[tokio::test(start_paused = true)]
async fn drawing() -> Result<(), Box<dyn Error>> {
    let definition = saga(1)
        .step::<ReserveStock>()
        .wait::<Decision>()
        .when(|order| order.amount > 1000)
        .pivot::<CapturePayment>()
        .build()?;
    assert_pictured(&Drawing::of_definition(definition.plan()).mermaid());

    let transport = Arc::new(MemoryTransport::default());
    let orchestrator = Orchestrator::builder(Arc::new(MemoryStore::default()), transport, "orders.replies")
        .register(&definition)
        .start()
        .await?;
    let order = orchestrator.start(PlaceOrder::of(5000)).await?;
    let shown = orchestrator.show(order.id()).await?.expect("it was started");
    let drawing = Drawing::of_saga(definition.plan(), &Instance::decode(shown.stored)?);
    assert!(drawing.mermaid().contains("reserve<br>shop<br>undo: release<br>asked, attempt 1"));
    assert!(drawing.dot().contains("pivot\\nnot reached"));
    Ok(())
}

/// Asserts that the document has one picture, and that it is this one.
fn assert_pictured(drawn: &str) {
    let document = include_str!("../../../docs/model.md");
    let pictures: Vec<_> =
        document.split("```mermaid\n").skip(1).map(|rest| rest.split("```").next()).collect();
    assert_eq!(pictures, [Some(drawn)], "docs/model.md shows another picture:\n{drawn}");
}
