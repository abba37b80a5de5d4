//! Pays 40 orders through a gateway that answers late, twice or not at all.
//!
//! Run it with `cargo run -p gateway`. Everything is in memory, but the gateway, which speaks HTTP. It ends with
//!
//! ```text
//! 23 of 40 orders are paid and shipped, and 23 charges stand
//! ```

use std::sync::Arc;

use gateway::server::Gateway;
use gateway::shop::{Balance, Shop};
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gateway = Gateway::start().await?;
    let fences = [Arc::new(MemoryFence::<()>::default()), Arc::default()];
    let transport = Arc::new(MemoryTransport::default());
    let shop = Shop::start(Arc::<MemoryStore>::default(), fences, transport, gateway.address).await?;
    let shipped = shop.place(ORDERS).await?;
    let Balance { standing, asked_again, voided } = Balance::of(&gateway);
    println!("{asked_again} charges were asked for again, and {voided} were voided");
    println!("{shipped} of {ORDERS} orders are paid and shipped, and {standing} charges stand");
    Ok(())
}

const ORDERS: u64 = 40;
