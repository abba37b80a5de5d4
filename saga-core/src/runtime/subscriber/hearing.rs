//! What a subscriber does with each type of notification. The only place where such a type is erased.

use std::future::{Future, ready};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::message::{Fault, NotificationMessage};

/// Acts on notifications whose body is an `N`.
///
/// It may be told the same thing twice, also at the same time: whoever must not act twice stores
/// [`NotificationMessage::id`] in the transaction that it acts in, and does nothing if the id is there already.
pub trait Hear<N>: Send + Sync + 'static {
    /// Acts on what is told. It is acked once this returns `Ok`.
    ///
    /// After a temporary fault, a panic, or the subscriber's time limit it is told again, with growing pauses, until it
    /// succeeds. After a permanent fault the message goes to the dead letters with the fault as the reason.
    fn hear(&self, told: N, message: &NotificationMessage) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The handler of one type of notification.
pub(super) type Hearing =
    Arc<dyn Fn(NotificationMessage) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

pub(super) fn hearing<N: DeserializeOwned + Send + 'static, H: Hear<N>>(handlers: &Arc<H>) -> Hearing {
    let handlers = handlers.clone();
    Arc::new(move |message| match message.body.decode::<N>() {
        Ok(told) => {
            let handlers = handlers.clone();
            async move { handlers.hear(told, &message).await }.boxed()
        }
        Err(error) => {
            let why = format!("the body does not fit {}: {error}", message.notification_type);
            ready(Err(Fault::permanent(why))).boxed()
        }
    })
}
