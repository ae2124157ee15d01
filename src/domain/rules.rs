//! The constants of the game that are not in the catalogue.

/// Constants that are the same for all players.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Energy of one click before any upgrade.
    pub base_energy_per_click: f64,
    /// The largest number of clicks that are credited per second on average.
    pub clicks_per_second: f64,
    /// The largest number of clicks that are credited at once after a pause.
    pub click_burst: f64,
    /// Seconds for which production continues while the player is absent, before upgrades.
    pub offline_cap_seconds: f64,
    /// The lifetime energy that the first core requires. `n` cores require n² times as much.
    pub energy_per_core: f64,
    /// The fraction by which each core increases the production: 0.02 is 2 %.
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

/// If the time of a click bucket is more than this many seconds in the future, the clock has been set back since the
/// bucket was stored. The clocks of instances differ by less than this.
pub const CLOCK_STEP_SECONDS: f64 = 2.0;

/// An absence that is longer than this, in seconds, is reported to the player when the player returns.
pub const AWAY_AFTER_SECONDS: f64 = 60.0;

/// How long an absence is reported after the player's return, in seconds.
pub const AWAY_SHOWN_SECONDS: f64 = 30.0;

/// If the stored presence of a player is older than this, in seconds, a request that changes nothing stores it again.
///
/// This is ten seconds less than [`AWAY_AFTER_SECONDS`], so that a client that polls at least every ten seconds never
/// counts as absent.
pub const PRESENCE_SECONDS: f64 = 50.0;
