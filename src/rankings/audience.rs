//! How many players are about.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::telemetry::metrics::RankingsMetrics;

const MINUTE_SECONDS: f64 = 60.0;
const FIVE_MINUTES_SECONDS: f64 = 300.0;

/// When players of the last five minutes were seen last.
#[derive(Debug, Default)]
pub(super) struct Audience(HashMap<Uuid, Timestamp>);

impl Audience {
    /// Takes in who was seen when, and tells the metrics how many there are.
    pub(super) fn note(
        &mut self,
        sightings: Vec<(Uuid, Timestamp)>,
        now: Timestamp,
        metrics: &RankingsMetrics,
    ) {
        self.0.extend(sightings);
        let [minute, five_minutes] = self.count(now);
        metrics.seen_in_a_minute.set(minute);
        metrics.seen_in_five_minutes.set(five_minutes);
    }

    /// Players of the last minute, and of the last five.
    fn count(&mut self, now: Timestamp) -> [i64; 2] {
        self.0.retain(|_, &mut at| now.seconds_since(at) < FIVE_MINUTES_SECONDS);
        let lately = self.0.values().filter(|&&at| now.seconds_since(at) < MINUTE_SECONDS).count();
        [lately, self.0.len()].map(|count| i64::try_from(count).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::at;

    #[test]
    fn players_count_once_by_when_they_were_seen_last() {
        let mut audience = Audience::default();
        let player = Uuid::from_u128;
        audience.0.extend([(player(1), at(0.0)), (player(2), at(0.0))]);
        audience.0.extend([(player(1), at(250.0))]);
        assert_eq!(audience.count(at(250.0)), [1, 2]);
        assert_eq!(audience.count(at(300.0)), [1, 1]);
        assert_eq!(audience.count(at(550.0)), [0, 0]);
    }
}
