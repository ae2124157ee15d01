//! A player's state as ready-made JSON: between two changes only the energy and the time differ from one answer to the
//! next, so the rest is written once for each revision.

use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use bytes::Bytes;

use super::problem::Problem;
use super::wire::{AwayWire, StateWire, write_rfc3339};
use crate::domain::{Course, Timeline, Timestamp};
use crate::game::State;

/// Parts of the offline cap that an entity tag tells apart.
const CAP_STEPS: f64 = 8.0;
/// What stands where the energy will: no text within a string looks so, as quotes there are escaped.
const AMOUNTS: &str = r#""energy":0.0,"lifetime_energy":0.0,"#;
const SERVER_TIME: &str = r#""server_time":"""#;

/// The state of one revision of a player under one timeline.
#[derive(Debug)]
pub struct StatePage {
    timeline: Arc<Timeline>,
    course: Course,
    /// Up to the energy, from there to the time, and the rest.
    before: Box<str>,
    between: Box<str>,
    tag: HeaderValue,
    away: Option<Away>,
}

/// What is told only for a while.
#[derive(Debug)]
struct Away {
    json: Box<str>,
    tag: HeaderValue,
}

impl StatePage {
    /// The page of `state`, made anew only where the one before does not hold.
    ///
    /// # Errors
    /// Where the state cannot be written.
    pub fn of(state: &State) -> Result<Arc<Self>, Problem> {
        let now = state.record().player.not_before_settled(state.now);
        let holds =
            |page: &Self| Arc::ptr_eq(&page.timeline, &state.timeline) && page.course.holds(now);
        state.entry.memo(holds, || Self::new(state, now))
    }

    fn new(state: &State, now: Timestamp) -> Result<Self, Problem> {
        let State { timeline, .. } = state;
        let player = &state.record().player;
        let mut wire = StateWire::new(state.record(), timeline, now);
        let away = player.away.as_ref().map(AwayWire::from);
        (wire.energy, wire.lifetime_energy, wire.away) = (0.0, 0.0, None);
        wire.server_time.clear();
        let json = serde_json::to_string(&wire).map_err(Problem::internal)?;
        let split = json.split_once(AMOUNTS).and_then(|(before, rest)| {
            let between = rest.strip_suffix(&format!("{SERVER_TIME}}}"))?;
            Some((before.into(), between.into()))
        });
        let (before, between) =
            split.ok_or_else(|| Problem::internal("a state of another form"))?;
        let tag = |away| tag(state, now, away).map_err(Problem::internal);
        let away = match away {
            Some(away) => Some(Away {
                json: serde_json::to_string(&away).map_err(Problem::internal)?.into(),
                tag: tag("a")?,
            }),
            None => None,
        };
        Ok(Self {
            timeline: Arc::clone(timeline),
            course: player.course(timeline, now),
            before,
            between,
            tag: tag("p")?,
            away,
        })
    }

    /// What is told of an absence now.
    fn away(&self, state: &State) -> Option<&Away> {
        let player = &state.record().player;
        let told = player.away_to_tell(player.not_before_settled(state.now)).is_some();
        self.away.as_ref().filter(|_| told)
    }

    /// The entity tag: what a client cannot work out for itself.
    pub fn tag(&self, state: &State) -> &HeaderValue {
        self.away(state).map_or(&self.tag, |away| &away.tag)
    }

    /// The state at its time.
    pub fn body(&self, state: &State) -> Bytes {
        let now = state.record().player.not_before_settled(state.now);
        let (energy, lifetime_energy) = self.course.energy(now);
        let away = self.away(state);
        let length = self.before.len() + self.between.len() + away.map_or(0, |it| it.json.len());
        let mut body = Vec::with_capacity(length + 160);
        body.extend_from_slice(self.before.as_bytes());
        body.extend_from_slice(b"\"energy\":");
        write_number(&mut body, energy);
        body.extend_from_slice(b",\"lifetime_energy\":");
        write_number(&mut body, lifetime_energy);
        body.push(b',');
        body.extend_from_slice(self.between.as_bytes());
        body.extend_from_slice(b"\"server_time\":\"");
        write_rfc3339(&mut body, now);
        body.push(b'"');
        if let Some(away) = away {
            body.extend_from_slice(b",\"away\":");
            body.extend_from_slice(away.json.as_bytes());
        }
        body.push(b'}');
        body.into()
    }
}

fn write_number(body: &mut Vec<u8>, number: f64) {
    // Writing to memory does not fail.
    serde_json::to_writer(body, &number).unwrap_or_default();
}

fn tag(
    state: &State,
    now: Timestamp,
    away: &str,
) -> Result<HeaderValue, actix_web::http::header::InvalidHeaderValue> {
    let (player, timeline) = (&state.record().player, &state.timeline);
    let production = player.production(timeline, now);
    let step = production.offline_cap_seconds * 1e6 / CAP_STEPS;
    let accrues_until = player.accrues_until(&production).as_micros() as f64;
    let (version, catalogue) = (player.version, timeline.at(now).version);
    let accrues_step = (accrues_until / step).floor();
    HeaderValue::from_str(&format!("W/\"{version}-{catalogue}-{away}-{accrues_step:.0}\""))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::testing::{at, slug, two_catalogues};
    use crate::domain::{Player, Rules};
    use crate::game::Entry;
    use crate::store::players::PlayerRecord;

    #[test]
    fn a_page_says_what_the_state_says_at_any_time() {
        let timeline = Arc::new(two_catalogues(700.0));
        let mut player = Player::new(AMOUNTS.into(), &Rules::default(), at(0.0));
        player.inventory.add_generators(&slug("mill"), 2);
        player.inventory.add_generators(&slug("crank"), 3);
        player.arrive(&timeline, at(500.0));
        let record = PlayerRecord {
            id: Uuid::from_u128(7),
            revision: 9,
            username: Some("ada".into()),
            created_at: at(1.0),
            banned: false,
            catalogue_version: 1,
            player,
        };
        let entry = Entry::new(Arc::new(record));
        let mut pages = Vec::new();
        for seconds in [400.0, 500.0, 529.9, 530.1, 699.9, 700.1, 1000.0, 50_000.0] {
            let (entry, timeline) = (Arc::clone(&entry), Arc::clone(&timeline));
            let state = State { entry, timeline, now: at(seconds) };
            let page = StatePage::of(&state).map_err(|_| "no page").expect("a page");
            let wire = StateWire::new(state.record(), &state.timeline, state.now);
            let expected = serde_json::to_string(&wire).expect("JSON");
            assert_eq!(String::from_utf8(page.body(&state).to_vec()), Ok(expected), "{seconds}");
            assert_eq!(
                page.tag(&state).to_str().expect("text").contains("-a-"),
                wire.away.is_some()
            );
            pages.push(page);
        }
        assert!(Arc::ptr_eq(&pages[0], &pages[4]), "made once");
        assert!(!Arc::ptr_eq(&pages[4], &pages[5]), "and again under another catalogue");
    }
}
