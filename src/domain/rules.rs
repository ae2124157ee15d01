//! The constants of the game that are not in the catalogue.

/// Constants that are the same for all players.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Energy of one click before any upgrade.
    pub base_energy_per_click: f64,
    /// Clicks that are credited per second on average.
    pub clicks_per_second: f64,
    /// Clicks that are credited at once after a pause.
    pub click_burst: f64,
    /// Seconds for which production continues while the player is absent, before upgrades.
    pub offline_cap_seconds: f64,
    /// Lifetime energy of the first core; n cores require n² times as much.
    pub energy_per_core: f64,
    /// The fraction that each core adds to the production.
    pub bonus_per_core: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            base_energy_per_click: 1.0,
            clicks_per_second: 20.0,
            click_burst: 40.0,
            offline_cap_seconds: 8.0 * 3600.0,
            energy_per_core: 1e9,
            bonus_per_core: 0.02,
        }
    }
}

/// A bucket's time that is more than this many seconds in the future was stored before the clock stepped back. The
/// clocks of instances differ by less.
pub const CLOCK_STEP_SECONDS: f64 = 2.0;

/// An absence of more seconds than this is shown to the player afterwards.
pub const AWAY_AFTER_SECONDS: f64 = 60.0;

/// How many seconds after the player's return an absence is shown.
pub const AWAY_SHOWN_SECONDS: f64 = 30.0;

/// The age in seconds at which the stored presence of a player who only polls is stored again.
///
/// It is ten seconds less than [`AWAY_AFTER_SECONDS`], so that a client that polls at least every ten seconds never
/// counts as absent.
pub const PRESENCE_SECONDS: f64 = 50.0;
