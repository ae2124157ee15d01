//! The JSON of requests and responses. These types are separate from the domain's types, so that each can change
//! without the other.

mod auth;
mod catalogue;
mod count;
mod events;
mod history;
mod notifications;
mod number;
mod object;
mod object_writer;
mod outcome;
mod rankings;
mod state;
mod time;

pub use auth::{
    GuestRequest, LoginRequest, LogoutRequest, PasswordRequest, RefreshRequest, RefreshedWire,
    RegisterRequest, SessionKindWire, SessionWire, SignedInWire, TokensWire,
};
pub use catalogue::{
    AdminCatalogWire, CatalogRequest, CatalogWire, EffectWire, GeneratorRequest, GeneratorWire,
    RequirementWire, RulesWire, UpgradeRequest, UpgradeWire,
};
pub use events::{EventWire, PollWire, StreamWire, StreamsWire};
pub use history::{
    AuditEntryWire, ExportWire, ExportedRequestWire, LedgerEntryWire, LedgerKindWire, Page,
    ProfileWire,
};
pub use notifications::{
    AdminNotificationRequest, AdminNotificationWire, AnnouncementWire, LanguageWire, LocalizedWire,
    MarkRequest, NotificationListWire, NotificationSettingsWire, NotificationWire, PriorityWire,
    RecipientsWire, SentWire, UnreadWire, read_priority,
};
pub use number::{Whole, read_parameter};
pub use object::read_object;
pub use object_writer::ObjectWriter;
pub use outcome::{
    ActionResultWire, ActionWire, ActionsRequest, ActionsWire, ClicksRequest, ClicksWire,
    CountWire, ExpectingRequest, GeneratorPurchaseRequest, GeneratorPurchaseWire, MaxWire,
    PrestigeWire, ProfileRequest, QuantityWire, UpgradePurchaseWire,
};
pub use rankings::{
    BoardWire, OwnRankingWire, RankingsWire, SeasonRankingsWire, SeasonWire, season_of_id,
};
pub use state::{AwayWire, OwnedGeneratorWire, StatePlace, StateWire};
pub use time::{rfc3339, write_rfc3339};
