//! Jobs that send notifications at their time, and remove those that have expired.

use uuid::Uuid;

use super::work::{Error, Finished, Work};

/// Seconds for which deleted players are looked at: some periods of the job, in case it runs late.
const LOOKED_BACK_SECONDS: f64 = 3.0 * 3600.0;

/// Sends the notification that the arguments name, unless it was withdrawn.
pub(super) async fn send(work: Work) -> Result<Finished, Error> {
    let id = work.arguments.get("id").and_then(|id| id.as_str()?.parse::<Uuid>().ok());
    let id = id.ok_or_else(|| Error::Other("the arguments name no notification".into()))?;
    let mut step = work.begin().await?;
    let notifications = &work.parts.notifications;
    let after = notifications.send_scheduled(&mut step, id).await?;
    let finished = work.finish(step).await?;
    after.announce();
    Ok(finished)
}

/// Removes notifications and announcements that have expired or are too old.
pub(super) async fn expire(work: Work) -> Result<Finished, Error> {
    let notifications = &work.parts.notifications;
    loop {
        let now = work.now();
        let lapsed = notifications.find_lapsed(now).await?;
        let mut step = work.begin().await?;
        if lapsed.is_empty() {
            return work.finish(step).await;
        }
        let after = notifications.remove_lapsed(&mut step, &lapsed, now).await?;
        work.advance(step, &()).await?;
        after.announce();
        if work.is_stopping() {
            return work.hand_back().await;
        }
    }
}

/// Deletes what nobody can read any more, and then what is left of deleted players.
pub(super) async fn purge(work: Work) -> Result<Finished, Error> {
    let now = work.now();
    let notifications = &work.parts.notifications;
    let mut step = work.begin().await?;
    notifications.purge(&mut step, now).await?;
    work.advance(step, &()).await?;
    let mut step = work.begin().await?;
    notifications.purge_deleted(&mut step, now.plus_seconds(-LOOKED_BACK_SECONDS)).await?;
    work.finish(step).await
}
