//! The numbers of the game that are not catalogue data.

/// Numbers that hold for every player.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Energy of one click before any upgrade.
    pub base_energy_per_click: f64,
    /// Clicks that are credited per second in the long run.
    pub clicks_per_second: f64,
    /// Clicks that are credited at once after a pause.
    pub click_burst: f64,
    /// Seconds that production goes on without the player, before upgrades.
    pub offline_cap_seconds: f64,
    /// Lifetime energy that the first core stands for; the n-th takes n² times as much.
    pub energy_per_core: f64,
    /// Share that each core adds to all production.
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

/// A time of clicks that lies further ahead than this, in seconds, was written before the clock stepped back. Instances' clocks
/// differ by less.
pub const CLOCK_STEP_SECONDS: f64 = 2.0;

/// An absence longer than this, in seconds, is told to the player who comes back.
pub const AWAY_AFTER_SECONDS: f64 = 60.0;

/// For how many seconds after the return an absence is told.
pub const AWAY_SHOWN_SECONDS: f64 = 30.0;

/// How old, in seconds, the recorded presence of a player who only polls may grow before it is written down again.
///
/// It is less than [`AWAY_AFTER_SECONDS`] by ten seconds, so that a client that polls at least that often never
/// looks away while it is there.
pub const PRESENCE_SECONDS: f64 = 50.0;
