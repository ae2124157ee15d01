//! The ledger, the profile and the data export of a player.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::SessionWire;
use super::notifications::NotificationWire;
use super::number::whole;
use super::rankings::season_id;
use super::state::StateWire;
use super::time::rfc3339;
use crate::game::{Export, State};
use crate::store::ledger::LedgerLine;
use crate::store::operators::AuditEntry;
use crate::store::seasons::SeasonResult;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    pub entries: Vec<T>,
    /// Send it as `cursor` to get the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// The kind of a ledger entry.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LedgerKind)]
pub enum LedgerKindWire {
    GeneratorPurchase,
    UpgradePurchase,
    Prestige,
    Grant,
}

/// An entry of the ledger: `balance_after = balance_after of the previous entry + earned + delta`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub struct LedgerEntryWire {
    /// The version of the state after the change.
    pub id: u64,
    #[schema(format = DateTime)]
    pub at: String,
    #[schema(value_type = LedgerKindWire)]
    pub kind: String,
    /// The item that was bought, the number of cores, or the reason of the grant.
    pub reference: String,
    /// The energy that production and clicks added since the previous entry.
    pub earned: f64,
    pub delta: f64,
    pub balance_after: f64,
}

impl From<LedgerLine> for LedgerEntryWire {
    fn from(line: LedgerLine) -> Self {
        Self {
            id: line.version,
            at: rfc3339(line.at),
            kind: line.kind,
            reference: line.reference,
            earned: line.earned,
            delta: line.delta,
            balance_after: line.balance_after,
        }
    }
}

/// The public profile of a player.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Profile)]
pub struct ProfileWire {
    pub player_id: Uuid,
    pub display_name: String,
    pub lifetime_energy: f64,
    #[serde(serialize_with = "whole")]
    pub cores: f64,
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<&State> for ProfileWire {
    fn from(state: &State) -> Self {
        let record = &state.record;
        Self {
            player_id: record.id,
            display_name: record.player.display_name.as_ref().into(),
            lifetime_energy: record.player.view(&state.timeline, state.now).lifetime_energy,
            cores: record.player.cores,
            created_at: rfc3339(record.created_at),
        }
    }
}

/// An entry of the audit log: an action of an operator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditEntryWire {
    #[schema(format = DateTime)]
    pub at: String,
    pub action: String,
    pub detail: Value,
}

impl From<AuditEntry> for AuditEntryWire {
    fn from(entry: AuditEntry) -> Self {
        Self { at: rfc3339(entry.at), action: entry.action, detail: entry.detail }
    }
}

/// A stored request that had an idempotency key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportedRequest)]
pub struct ExportedRequestWire {
    /// The start of the key's SHA-256 hash; the key itself is not stored.
    pub key_sha256_prefix: String,
    #[schema(format = DateTime)]
    pub at: String,
    pub outcome: Value,
}

/// A player's result in a season.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SeasonResult)]
pub struct SeasonResultWire {
    #[schema(example = "2026-w02")]
    pub season: String,
    /// Null until the standings are final.
    #[schema(required)]
    pub rank: Option<u64>,
    pub score: f64,
}

impl From<SeasonResult> for SeasonResultWire {
    fn from(result: SeasonResult) -> Self {
        Self { season: season_id(result.season), rank: result.rank, score: result.score }
    }
}

/// All data about a player.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Export)]
pub struct ExportWire {
    #[schema(format = DateTime)]
    pub exported_at: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub banned: bool,
    pub state: StateWire,
    /// Newest first.
    pub ledger: Vec<LedgerEntryWire>,
    pub sessions: Vec<SessionWire>,
    /// The player's results in seasons that it no longer plays in, newest first.
    pub seasons: Vec<SeasonResultWire>,
    pub remembered_requests: Vec<ExportedRequestWire>,
    /// Newest first, in the language that the player has chosen.
    pub notifications: Vec<NotificationWire>,
    pub muted_types: Vec<String>,
    /// Actions of operators that concern the player.
    pub audit: Vec<AuditEntryWire>,
}

impl ExportWire {
    /// The export for the session `current`.
    pub fn new(export: Export, current: Uuid) -> Self {
        let State { record, epoch, timeline, now, .. } = &export.state;
        Self {
            exported_at: rfc3339(*now),
            created_at: rfc3339(record.created_at),
            banned: record.banned,
            state: StateWire::new(record, *epoch, timeline, *now),
            ledger: export.ledger.into_iter().map(Into::into).collect(),
            sessions: export
                .sessions
                .into_iter()
                .map(|session| SessionWire::new(session, current))
                .collect(),
            seasons: export.seasons.into_iter().map(Into::into).collect(),
            remembered_requests: export
                .remembered_requests
                .into_iter()
                .map(|request| ExportedRequestWire {
                    key_sha256_prefix: request.key_hash,
                    at: rfc3339(request.created_at),
                    outcome: serde_json::from_str(&request.outcome).unwrap_or(Value::Null),
                })
                .collect(),
            notifications: export
                .notifications
                .into_iter()
                .map(|it| NotificationWire::new(it, record.player.language.unwrap_or_default()))
                .collect(),
            muted_types: export.muted_types,
            audit: export.audit.into_iter().map(Into::into).collect(),
        }
    }
}
