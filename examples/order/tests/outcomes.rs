//! How orders end when things are late or crowded.

mod common;

use common::World;
use futures_util::future::join_all;
use order::audit::audit;

#[tokio::test]
async fn a_payment_service_that_comes_late_is_waited_for_and_works_once() {
    let Some(mut world) = World::without_payment().await else { return };
    let address = world.place("ada", 1999, "pen", 2).await;
    let waiting = world.until_told(&address, "do authorize-payment sent again").await;
    assert_eq!(waiting["state"], "pending");
    world.start_payment().await;
    world.until(&address, "completed").await;
    world.until_quiet().await;
    assert_eq!(audit(&mut world.databases().await).await.unwrap(), []);
}

#[tokio::test]
async fn many_orders_for_the_last_goods_and_the_last_money_conserve_both() {
    let Some(world) = World::start().await else { return };
    let addresses = join_all((0..60).map(async |n| {
        let (customer, amount) = if n % 3 == 0 { ("bob", 200) } else { ("ada", 100) };
        world.place(customer, amount, if n % 2 == 0 { "lamp" } else { "pen" }, 3).await
    }))
    .await;
    world.until_quiet().await;
    let mut completed = 0;
    for address in &addresses {
        completed += u32::from(world.get(address).await.1["state"] == "completed");
    }
    // Of 50 lamps 16 orders are served at most, and bob can pay for 2 of his 20.
    assert!((20..=38).contains(&completed), "{completed}");
    assert_eq!(audit(&mut world.databases().await).await.unwrap(), []);
}
