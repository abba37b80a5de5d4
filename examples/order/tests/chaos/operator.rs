//! The humans who release what is parked, and who ask for the same at the same time.

use order::client::Client;
use serde_json::{Value, json};

/// Has parked orders undone, or retried where it is too late for that. What cannot be done now is done next time.
pub(crate) async fn release_parked(client: &Client) {
    let Ok(answer) = client.get("/sagas?status=parked").await else { return };
    for saga in answer.json()["sagas"].as_array().into_iter().flatten() {
        let address = saga["address"].as_str().unwrap_or_default();
        let reason = json!({ "reason": "chaos" });
        if say(client, address, "compensate", &reason).await == Some(CONFLICT) {
            say(client, address, "retry", &reason).await;
        }
    }
}

/// Has the newest sagas that run sent again, each by both services at once: one of the two loses the race for it.
pub(crate) async fn retry_at_both(one: &Client, other: &Client) {
    let Ok(answer) = one.get("/sagas?status=running&limit=3").await else { return };
    for saga in answer.json()["sagas"].as_array().into_iter().flatten() {
        let address = saga["address"].as_str().unwrap_or_default();
        let reason = json!({ "reason": "impatience" });
        tokio::join!(say(one, address, "retry", &reason), say(other, address, "retry", &reason));
    }
}

async fn say(client: &Client, saga: &str, verb: &str, reason: &Value) -> Option<u16> {
    client.post(&format!("{saga}/{verb}"), "", reason).await.ok().map(|answer| answer.status)
}

/// The saga does not admit the verb.
const CONFLICT: u16 = 409;
