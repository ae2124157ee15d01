//! Requests and outcomes of mutations.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::{Object, ObjectBuilder, Type};

use super::count::{read_count, read_quantity};
use super::notifications::{LanguageWire, read_language};
use super::number::{read_optional, whole};
use super::object::{objects, present};
use super::state::{StatePlace, StateWire};
use crate::accounts;
use crate::api::problem::{Problem, RefusedAction};
use crate::domain::{
    Action, ActionResult, Command, MAX_ACTIONS, MAX_CLICKS, Outcome, Quantity, Slug,
};

/// The clicks since the last call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClicksRequest {
    #[schema(value_type = u64, minimum = 1, maximum = 1000, example = 5)]
    clicks: Box<RawValue>,
}

/// How many generators to buy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratorPurchaseRequest {
    #[schema(value_type = QuantityWire)]
    quantity: Box<RawValue>,
    /// Buy only if the state has this version.
    #[serde(default, deserialize_with = "read_optional")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub expected_version: Option<u64>,
}

/// A whole number, or `"max"` for as many as the player can afford.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Quantity)]
pub enum QuantityWire {
    #[schema(value_type = CountWire)]
    Exactly(u64),
    Max(MaxWire),
}

/// A whole number; `29.0` is accepted too.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Count, minimum = 1, maximum = 1_000_000)]
pub struct CountWire(pub u64);

/// As many as the player can afford.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Max)]
pub enum MaxWire {
    Max,
}

/// A purchase or prestige, optionally with an expected version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectingRequest {
    /// Apply only if the state has this version.
    #[serde(default, deserialize_with = "read_optional")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub expected_version: Option<u64>,
}

/// A new display name, a language, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct ProfileRequest {
    /// 1 to 24 user-perceived characters (grapheme clusters) and at most 256 bytes, without surrounding white space. At
    /// least one must be visible, and none may be a control character or change the direction of text.
    #[serde(default, deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 256, nullable = false, example = "Ada")]
    pub display_name: Option<String>,
    /// The language of texts for the player.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = LanguageWire, nullable = false)]
    pub language: Option<String>,
}

impl ProfileRequest {
    /// The command. A display name alone has the same command as in earlier releases, so that repeats with the same
    /// idempotency key are recognized.
    ///
    /// # Errors
    /// Returns 400 if there is nothing to change, and 422 for an invalid display name or an unknown language.
    pub fn command(&self) -> Result<Command, Problem> {
        let name = self.display_name.as_deref().map(accounts::display_name).transpose();
        let name =
            name.map_err(|unfit| Problem::unacceptable("display_name", unfit.to_string()))?;
        let language = self.language.as_deref().map(read_language).transpose()?;
        match (language, name) {
            (Some(language), display_name) => {
                Ok(Command::ChooseLanguage { language, display_name })
            }
            (None, Some(name)) => Ok(Command::Rename(name)),
            (None, None) => Err(Problem::malformed("display_name", "or language must be given")),
        }
    }
}

/// Up to 32 actions, applied in order in one commit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionsRequest {
    #[serde(deserialize_with = "objects")]
    #[schema(value_type = Vec<ActionWire>, max_items = 32, min_items = 1)]
    actions: Vec<ActionMembers>,
}

/// One action. `type` determines the other members.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Action)]
pub enum ActionWire {
    Click {
        #[schema(minimum = 1, maximum = 1000, example = 5)]
        clicks: u64,
    },
    BuyGenerator {
        #[schema(example = "wind_turbine")]
        id: String,
        quantity: QuantityWire,
    },
    BuyUpgrade {
        #[schema(example = "work_gloves")]
        id: String,
    },
}

/// One action during parsing. It has the members of every action type, so that errors can name the member. Members may
/// be absent but not null.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionMembers {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "present")]
    clicks: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    quantity: Option<Box<RawValue>>,
}

impl ClicksRequest {
    /// The command of the request.
    ///
    /// # Errors
    /// Returns 400 or 422 with the field.
    pub fn command(&self) -> Result<Command, Problem> {
        let clicks = read_count("clicks", &self.clicks, MAX_CLICKS)?;
        Ok(Command::Act(Action::Click { clicks }))
    }
}

impl GeneratorPurchaseRequest {
    /// The quantity of the request.
    ///
    /// # Errors
    /// Returns 400 or 422 with the field.
    pub fn quantity(&self) -> Result<Quantity, Problem> {
        read_quantity("quantity", &self.quantity)
    }
}

impl ActionsRequest {
    /// The command of the request.
    ///
    /// # Errors
    /// Returns 400 or 422 with the field.
    pub fn command(&self) -> Result<Command, Problem> {
        if !(1..=MAX_ACTIONS).contains(&self.actions.len()) {
            let message = format!("must have 1 to {MAX_ACTIONS} entries");
            return Err(Problem::unacceptable("actions", message));
        }
        let actions = self.actions.iter().enumerate().map(|(index, action)| action.action(index));
        Ok(Command::ActInOrder(actions.collect::<Result<_, _>>()?))
    }
}

impl ActionMembers {
    fn action(&self, index: usize) -> Result<Action, Problem> {
        let at = |name: &str| format!("actions[{index}].{name}");
        let surplus = |name: &str| {
            Problem::malformed(at(name), format!("does not belong to the type {}", self.kind))
        };
        let missing = |name: &str| Problem::malformed(at(name), "is missing");
        match self.kind.as_str() {
            "click" if self.id.is_some() => Err(surplus("id")),
            "click" | "buy_upgrade" if self.quantity.is_some() => Err(surplus("quantity")),
            "buy_generator" | "buy_upgrade" if self.clicks.is_some() => Err(surplus("clicks")),
            "click" => {
                let clicks = self.clicks.as_ref().ok_or_else(|| missing("clicks"))?;
                let clicks = read_count(&at("clicks"), clicks, MAX_CLICKS)?;
                Ok(Action::Click { clicks })
            }
            "buy_generator" => {
                let quantity = self.quantity.as_ref().ok_or_else(|| missing("quantity"))?;
                let quantity = read_quantity(&at("quantity"), quantity)?;
                Ok(Action::BuyGenerator { id: self.item(&at("id"))?, quantity })
            }
            "buy_upgrade" => Ok(Action::BuyUpgrade { id: self.item(&at("id"))? }),
            _ => {
                let message = "must be click, buy_generator or buy_upgrade";
                Err(Problem::malformed(at("type"), message))
            }
        }
    }

    /// The item that the action names. A syntactically invalid name is treated like an unknown item, so that only this
    /// action is refused and not the whole request.
    fn item(&self, field: &str) -> Result<Slug, Problem> {
        let id = self.id.as_ref().ok_or_else(|| Problem::malformed(field, "is missing"))?;
        Ok(Slug::try_from(id.as_str()).unwrap_or_else(|_| Slug::unknown()))
    }
}

/// The outcome of clicking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClicksOutcome)]
pub struct ClicksWire {
    /// How many clicks were credited. Clicks beyond the allowed rate are not credited.
    pub accepted: u64,
    #[serde(skip_serializing_if = "StatePlace::is_added_later")]
    #[schema(value_type = StateWire, required)]
    pub state: StatePlace,
}

/// The outcome of a purchase of generators.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GeneratorPurchaseOutcome)]
pub struct GeneratorPurchaseWire {
    pub purchased: u64,
    pub spent: f64,
    #[serde(skip_serializing_if = "StatePlace::is_added_later")]
    #[schema(value_type = StateWire, required)]
    pub state: StatePlace,
}

/// The outcome of a purchase of an upgrade.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpgradePurchaseOutcome)]
pub struct UpgradePurchaseWire {
    pub spent: f64,
    #[serde(skip_serializing_if = "StatePlace::is_added_later")]
    #[schema(value_type = StateWire, required)]
    pub state: StatePlace,
}

/// The outcome of prestige.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PrestigeOutcome)]
pub struct PrestigeWire {
    #[serde(serialize_with = "whole")]
    pub gained_cores: f64,
    #[serde(skip_serializing_if = "StatePlace::is_added_later")]
    #[schema(value_type = StateWire, required)]
    pub state: StatePlace,
}

/// The results of several actions, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActionsOutcome)]
pub struct ActionsWire {
    pub results: Vec<ActionResultWire>,
    #[serde(skip_serializing_if = "StatePlace::is_added_later")]
    #[schema(value_type = StateWire, required)]
    pub state: StatePlace,
}

/// The result of an action: its outcome if `status` is 200, otherwise its problem.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[schema(as = ActionResult)]
pub enum ActionResultWire {
    #[schema(value_type = AppliedAction)]
    Applied(Outcome),
    #[schema(value_type = RefusedAction)]
    Refused(Value),
}

fn status_ok() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([200])).build()
}

/// The outcome of an applied action.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppliedAction {
    #[schema(schema_with = status_ok)]
    status: u16,
    /// For clicks: how many were credited.
    #[schema(value_type = u64, required = false)]
    accepted: Option<u64>,
    /// For generators: how many were bought.
    #[schema(value_type = u64, required = false)]
    purchased: Option<u64>,
    /// For purchases: the cost.
    #[schema(value_type = f64, required = false)]
    spent: Option<f64>,
}

impl From<&ActionResult> for ActionResultWire {
    fn from(result: &ActionResult) -> Self {
        match result {
            ActionResult::Applied(outcome) => Self::Applied(outcome.clone()),
            ActionResult::Refused(refusal) => Self::Refused(Problem::from(refusal).to_value()),
        }
    }
}

impl Serialize for ActionResultWire {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Applied<'a> {
            status: u16,
            #[serde(flatten)]
            outcome: &'a Outcome,
        }
        match self {
            Self::Applied(outcome) => Applied { status: 200, outcome }.serialize(serializer),
            Self::Refused(problem) => problem.serialize(serializer),
        }
    }
}
