//! The store on a real server: what goes beyond the conformance suite.

#[cfg(test)]
mod support;

use saga_core::port::{Committed, History, Store};
use support::{LEASE, advance, database, saga, start};

#[tokio::test]
async fn a_saga_is_started_moved_and_loaded() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let id = saga();
    let outcomes = store.commit(&[start(id)], LEASE).await;
    assert!(matches!(outcomes[..], [Ok(Committed::Stored)]), "{outcomes:?}");
    let outcomes = store.commit(&[advance(id, 1)], LEASE).await;
    assert!(matches!(outcomes[..], [Ok(Committed::Stored)]), "{outcomes:?}");
    let loaded = store.load(&[id, saga()]).await.unwrap();
    assert_eq!(loaded.sagas.len(), 1);
    assert_eq!(loaded.sagas[0].version, 2);
    assert_eq!(&loaded.sagas[0].state[..], b"state 2");
    let details = store.show(id).await.unwrap().unwrap();
    assert_eq!(details.journal.len(), 2);
    let health = store.health(&[]).await.unwrap();
    assert_eq!(health.unfinished, 1);
    assert_eq!(store.list(&Default::default(), 10).await.unwrap(), [details.summary]);
}
