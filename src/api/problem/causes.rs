//! Conversions from the errors of other modules to problems.

use serde_json::json;

use super::{Code, FieldError, Problem};
use crate::domain::text::number;
use crate::domain::{CatalogueFault, Refusal};
use crate::limit::Verdict;
use crate::{accounts, game, notifications, rankings, store, streams};

/// The detail if the store's response was lost: the change may have been committed.
const OUTCOME_UNKNOWN: &str = "It is not known whether the change was made. \
                               Repeat the request with the same Idempotency-Key.";

/// Milliseconds after which a refused poll may be repeated. A poll ends when its client closes the connection.
const POLL_RETRY_MILLIS: u64 = 1_000;

impl Problem {
    /// The refusal by a rate limit; `None` if the call is allowed.
    pub fn of_verdict(verdict: &Verdict) -> Option<Self> {
        let wait = verdict.retry_after?;
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Some(Self::rate_limited(verdict.policy.name(), millis))
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        if error.is_passing() {
            Self::unavailable(OUTCOME_UNKNOWN, error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<game::Error> for Problem {
    fn from(error: game::Error) -> Self {
        match error {
            game::Error::Refused(refusal) => (&refusal).into(),
            // After a player is deleted, its access tokens remain valid for some minutes.
            game::Error::NoSuchPlayer => {
                Self::new(Code::Unauthenticated, "There is no such player.")
            }
            game::Error::Banned => Self::new(Code::PlayerBanned, "An operator banned the player."),
            game::Error::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This key was already used for a request with another path or body.",
            ),
            game::Error::Overloaded => Self::busy(),
            game::Error::NotReady(_) => {
                Self::unavailable("The server is not ready. Nothing was applied.", error)
            }
            game::Error::Unavailable(cause) => Self::unavailable(OUTCOME_UNKNOWN, cause),
            game::Error::Internal(cause) => Self::internal(cause),
        }
    }
}

impl From<accounts::Error> for Problem {
    fn from(error: accounts::Error) -> Self {
        use accounts::Error;
        match error {
            Error::Unauthenticated => {
                Self::new(Code::Unauthenticated, "The access token is invalid or was revoked.")
            }
            Error::TokenExpired => {
                Self::new(Code::TokenExpired, "Refresh the access token, or sign in again.")
            }
            Error::InvalidCredentials => {
                Self::new(Code::InvalidCredentials, "The username or the password is wrong.")
            }
            Error::Banned => Self::new(Code::PlayerBanned, "An operator banned the player."),
            Error::UsernameTaken => Self::new(Code::UsernameTaken, "This username is taken."),
            Error::AlreadyRegistered => Self::new(
                Code::AlreadyRegistered,
                "The player already has a username and a password.",
            ),
            Error::NoSuchSession => Self::not_found("The player has no such session."),
            Error::Overloaded => Self::busy(),
            Error::KeyReused => game::Error::KeyReused.into(),
            Error::NotReady(_) => Self::unavailable("The server is not ready.", error),
            Error::Store(error) => error.into(),
        }
    }
}

impl From<rankings::Error> for Problem {
    fn from(error: rankings::Error) -> Self {
        use rankings::Error;
        match error {
            Error::NoSuchPlayer => game::Error::NoSuchPlayer.into(),
            Error::NoSuchSeason => Self::not_found("There is no such season."),
            Error::Closing => {
                Self::unavailable("The final standings of the season are not ready yet.", error)
            }
            Error::Unavailable(_) => Self::unavailable("The rankings are unavailable.", error),
            Error::NotReady(_) => Self::unavailable("The server is not ready.", error),
            Error::Store(error) => error.into(),
        }
    }
}

impl From<streams::Error> for Problem {
    fn from(error: streams::Error) -> Self {
        use streams::Error;
        match error {
            Error::NoSuchStream(name) => {
                let detail =
                    format!("The stream {name} does not exist, or the player may not read it.");
                Self::new(Code::NotFound, detail)
            }
            Error::TooManyPolls => Self::rate_limited("polls", POLL_RETRY_MILLIS),
            Error::Store(error) => error.into(),
        }
    }
}

impl From<notifications::Error> for Problem {
    fn from(error: notifications::Error) -> Self {
        use notifications::Error;
        match error {
            Error::NoSuchPlayer => game::Error::NoSuchPlayer.into(),
            Error::NoSuchNotification => Self::not_found("There is no such notification."),
            Error::BeyondHead(field) => Self::malformed(field, "is beyond the head of the stream"),
            Error::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This dedupe_key was already used for another notification.",
            ),
            Error::Store(error) => error.into(),
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::UnknownGenerator => Self::not_found("The catalogue has no such generator."),
            Refusal::UnknownUpgrade => Self::not_found("The catalogue has no such upgrade."),
            Refusal::InsufficientEnergy { required, available } => {
                let detail = format!(
                    "It costs {} energy, but the player has {}.",
                    number(*required),
                    number(*available)
                );
                Self::new(Code::InsufficientEnergy, detail)
                    .with("required", *required)
                    .with("available", *available)
            }
            Refusal::Retired => Self::new(Code::RequirementNotMet, "It is no longer sold."),
            Refusal::NeedsGenerators { generator, count } => Self::new(
                Code::RequirementNotMet,
                format!("It requires {count} of {generator}."),
            )
            .with(
                "requires",
                json!({ "type": "generator_owned", "generator": generator, "count": count }),
            ),
            Refusal::NeedsLifetimeEnergy { energy } => Self::new(
                Code::RequirementNotMet,
                format!("It requires {} lifetime energy.", number(*energy)),
            )
            .with("requires", json!({ "type": "lifetime_energy", "energy": energy })),
            Refusal::AlreadyOwned => {
                Self::new(Code::AlreadyOwned, "An upgrade can be bought only once.")
            }
            Refusal::NothingToGain { lifetime_energy } => {
                let detail =
                    format!("The next core requires {} lifetime energy.", number(*lifetime_energy));
                Self::new(Code::NothingToGain, detail)
                    .with("required_lifetime_energy", *lifetime_energy)
            }
            Refusal::VersionMismatch { current } => {
                Self::new(Code::VersionMismatch, format!("The current version is {current}."))
                    .with("version", *current)
            }
        }
    }
}

impl From<Vec<CatalogueFault>> for Problem {
    fn from(faults: Vec<CatalogueFault>) -> Self {
        let errors = faults.into_iter();
        let errors = errors.map(|CatalogueFault { field, message }| FieldError { field, message });
        Self::fields(Code::ValidationFailed, errors.collect())
    }
}
