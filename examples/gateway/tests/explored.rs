//! The order in every way that it can go, without a server: calls of the gateway land late, come back without an answer,
//! and lose their workers.

use gateway::shop::{ChargeCard, place_order};
use saga_testkit::explore::explore;

#[test]
fn an_order_goes_well_whatever_the_gateway_does() {
    explore(&place_order().unwrap()).external::<ChargeCard>().run().assert_ok();
}
