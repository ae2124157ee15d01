//! Exporting all data about a player.

use uuid::Uuid;

use super::state::State;
use super::{Error, Game};
use crate::store::idempotency::ListedRecord;
use crate::store::ledger::LedgerLine;
use crate::store::notifications::NotificationRecord;
use crate::store::operators::AuditEntry;
use crate::store::seasons::SeasonResult;
use crate::store::sessions::ListedSession;

/// Ledger entries per query.
const PAGE: usize = 1000;

/// All data about a player.
#[derive(Clone, Debug)]
pub struct Export {
    pub state: State,
    /// Newest first.
    pub ledger: Vec<LedgerLine>,
    pub sessions: Vec<ListedSession>,
    /// The player's results in past seasons, newest first.
    pub seasons: Vec<SeasonResult>,
    /// Stored outcomes of requests with an idempotency key.
    pub remembered_requests: Vec<ListedRecord>,
    /// Newest first.
    pub notifications: Vec<NotificationRecord>,
    /// The types of notifications that the player has muted.
    pub muted_types: Vec<String>,
    /// Actions of operators that concern the player.
    pub audit: Vec<AuditEntry>,
}

impl Game {
    /// All data about a player.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`].
    pub async fn export(&self, player: Uuid) -> Result<Export, Error> {
        let state = self.look_up(player).await?;
        let mut ledger = Vec::new();
        let mut before = None;
        loop {
            let (lines, more) = self.ledger(player, before, PAGE).await?;
            before = lines.last().map(|line| line.version);
            ledger.extend(lines);
            if !more {
                break;
            }
        }
        Ok(Export {
            ledger,
            sessions: self.store.list_sessions(player, state.now).await?,
            seasons: self.store.season_results_of(player).await?,
            remembered_requests: self.store.list_records(player).await?,
            notifications: self.store.all_notifications(player).await?,
            muted_types: self.store.muted_types(player).await?,
            audit: self.store.audit_of(player).await?,
            state,
        })
    }
}
