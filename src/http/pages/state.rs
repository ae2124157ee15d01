//! A player's state as JSON. What a click does not change is written once: from one answer to the next only the energy,
//! the version and the times differ.

use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use bytes::Bytes;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::api::wire::{AwayWire, StateWire, write_rfc3339};
use crate::domain::{Away, Catalogue, Production, Timeline, Timestamp};
use crate::game::State;
use crate::identity::Epoch;

/// Parts of the offline cap that an entity tag tells apart.
const CAP_STEPS: f64 = 8.0;

/// Bytes that the parts which change take at most, but for a told absence, which is rare.
const CHANGING: usize = 208;

/// Bytes of `W/"`, a number of 64 bits in hexadecimal digits, and a hyphen.
const TAG_START: usize = 3 + 16 + 1;

// What stands where the changing parts will: no text within a string looks so, as quotes there are escaped.
const AMOUNTS: &str = r#""energy":0.0,"lifetime_energy":0.0,"#;
const VERSION: &str = r#""version":0,"#;
const TIMES: &str = r#""accrues_until":"","server_time":""}"#;

/// The parts of a player's state that stay as long as its possessions, its names and the catalogue do. It is remembered by
/// the possessions, and so holds for no others.
#[derive(Debug)]
pub struct StatePage {
    player: Uuid,
    epoch: Epoch,
    catalogue: Arc<Catalogue>,
    timeline: Arc<Timeline>,
    cores: f64,
    display_name: Arc<str>,
    username: Option<Arc<str>>,
    /// What all of that makes.
    production: Production,
    /// Without the parts that change.
    text: Box<str>,
    /// Where in it the amounts and the version go; the times go to its end.
    gaps: [usize; 2],
    /// The part of the entity tag that says whose it is, in which epoch.
    tag_start: [u8; TAG_START],
}

impl StatePage {
    /// The page of a state, made anew only where the one before does not hold.
    ///
    /// # Errors
    /// Where the state cannot be written.
    pub fn of(state: &State) -> Result<Arc<Self>, Problem> {
        let inventory = &state.record.player.inventory;
        inventory.memo(|page: &Self| page.holds(state), || Self::new(state))
    }

    fn holds(&self, state: &State) -> bool {
        let record = &state.record;
        let player = &record.player;
        let now = player.not_before_settled(state.now);
        self.player == record.id
            && self.epoch == state.epoch
            && self.cores == player.cores
            && Arc::ptr_eq(&self.timeline, &state.timeline)
            && Arc::ptr_eq(&self.catalogue, state.timeline.at(now))
            && Arc::ptr_eq(&self.display_name, &player.display_name)
            && self.username.as_ref().map(Arc::as_ptr) == record.username.as_ref().map(Arc::as_ptr)
    }

    fn new(state: &State) -> Result<Self, Problem> {
        let (record, timeline) = (&*state.record, &state.timeline);
        let player = &record.player;
        let now = player.not_before_settled(state.now);
        let mut wire = StateWire::new(record, state.epoch, timeline, now);
        (wire.energy, wire.lifetime_energy, wire.version, wire.away) = (0.0, 0.0, 0, None);
        wire.accrues_until.clear();
        wire.server_time.clear();
        let json = serde_json::to_string(&wire).map_err(Problem::internal)?;
        let parts = json.split_once(AMOUNTS).and_then(|(before, rest)| {
            let (middle, rest) = rest.split_once(VERSION)?;
            Some([before, middle, rest.strip_suffix(TIMES)?])
        });
        let parts = parts.ok_or_else(|| Problem::internal("a state of another form"))?;
        Ok(Self {
            player: record.id,
            epoch: state.epoch,
            catalogue: Arc::clone(timeline.at(now)),
            timeline: Arc::clone(timeline),
            cores: player.cores,
            display_name: Arc::clone(&player.display_name),
            username: record.username.clone(),
            production: player.production(timeline, now),
            text: parts.concat().into(),
            gaps: [parts[0].len(), parts[0].len() + parts[1].len()],
            tag_start: tag_start(record.id, state.epoch),
        })
    }

    /// Appends the state at its time.
    pub fn write(&self, state: &State, body: &mut Vec<u8>) -> Result<(), Problem> {
        let player = &state.record.player;
        let now = player.not_before_settled(state.now);
        let (energy, lifetime_energy) = self.amounts(state, now);
        let text = self.text.as_bytes();
        let [amounts, version] = self.gaps;
        body.reserve(text.len() + CHANGING);
        body.extend_from_slice(&text[..amounts]);
        body.extend_from_slice(b"\"energy\":");
        write_json(body, &energy)?;
        body.extend_from_slice(b",\"lifetime_energy\":");
        write_json(body, &lifetime_energy)?;
        body.push(b',');
        body.extend_from_slice(&text[amounts..version]);
        body.extend_from_slice(b"\"version\":");
        write_json(body, &player.version)?;
        body.push(b',');
        body.extend_from_slice(&text[version..]);
        body.extend_from_slice(b"\"accrues_until\":\"");
        write_rfc3339(body, player.accrues_until(&self.production));
        body.extend_from_slice(b"\",\"server_time\":\"");
        write_rfc3339(body, now);
        body.push(b'"');
        if let Some(away) = told(state, now) {
            body.extend_from_slice(b",\"away\":");
            write_json(body, &AwayWire::from(away))?;
        }
        body.push(b'}');
        Ok(())
    }

    fn amounts(&self, state: &State, now: Timestamp) -> (f64, f64) {
        let player = &state.record.player;
        if Arc::ptr_eq(&self.catalogue, state.timeline.at(player.settled_at)) {
            player.energy_with(&self.production, now)
        } else {
            player.energy_at(&state.timeline, now)
        }
    }

    /// The entity tag of the state: whose it is, in which epoch of the database, and what a client cannot work out for
    /// itself. Where several players sign in one after the other in one browser, its cache tells them apart by this alone.
    ///
    /// # Errors
    /// None that can be met: the tag is plain text.
    pub fn tag(&self, state: &State) -> Result<HeaderValue, Problem> {
        let player = &state.record.player;
        let now = player.not_before_settled(state.now);
        let step = self.production.offline_cap_seconds * 1e6 / CAP_STEPS;
        let accrues_until = player.accrues_until(&self.production).as_micros() as f64;
        let away = if told(state, now).is_some() { b'a' } else { b'p' };
        // The edges of time divide into fewer steps than a whole number can count.
        let accrues_step = (accrues_until / step).floor() as i64;
        // Piece by piece, as this is done for every answer: `write!` takes four times as long.
        let mut tag = Vec::with_capacity(80);
        tag.extend_from_slice(&self.tag_start);
        write_json(&mut tag, &player.version)?;
        tag.push(b'-');
        write_json(&mut tag, &self.catalogue.version)?;
        tag.extend_from_slice(&[b'-', away, b'-']);
        write_json(&mut tag, &accrues_step)?;
        tag.push(b'"');
        HeaderValue::from_maybe_shared(Bytes::from(tag)).map_err(Problem::internal)
    }
}

fn tag_start(player: Uuid, epoch: Epoch) -> [u8; TAG_START] {
    // The random bits of the id lie in its lower half, those of its time in the upper one.
    let (upper, lower) = player.as_u64_pair();
    let text = format!("W/\"{:016x}-", upper ^ lower ^ epoch.number());
    let mut start = [0; TAG_START];
    start.copy_from_slice(text.as_bytes());
    start
}

fn write_json(body: &mut Vec<u8>, value: &impl serde::Serialize) -> Result<(), Problem> {
    serde_json::to_writer(body, value).map_err(Problem::internal)
}

/// What is told of an absence.
fn told(state: &State, now: Timestamp) -> Option<&Away> {
    state.record.player.away_to_tell(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{at, slug, two_catalogues};
    use crate::domain::{Player, Rules};
    use crate::store::players::PlayerRecord;

    fn page(state: &State) -> (Arc<StatePage>, String) {
        let page = StatePage::of(state).map_err(|_| "no page").expect("a page");
        let mut body = Vec::new();
        page.write(state, &mut body).map_err(|_| "no body").expect("a body");
        (page, String::from_utf8(body).expect("text"))
    }

    #[test]
    fn a_page_says_what_the_state_says_at_any_time_and_is_made_once() {
        let timeline = Arc::new(two_catalogues(700.0));
        let mut player =
            Player::new(format!("{AMOUNTS}{VERSION}").into(), &Rules::default(), at(0.0));
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
        let mut record = Arc::new(record);
        let epoch = Epoch::from_number(7);
        let mut pages = Vec::new();
        for seconds in [400.0, 500.0, 529.9, 530.1, 699.9, 700.1, 1000.0, 50_000.0] {
            let timeline = Arc::clone(&timeline);
            let state = State { record: Arc::clone(&record), epoch, timeline, now: at(seconds) };
            let (page, body) = page(&state);
            let wire = StateWire::new(&state.record, state.epoch, &state.timeline, state.now);
            assert_eq!(body, serde_json::to_string(&wire).expect("JSON"), "{seconds}");
            let tag = page.tag(&state).map_err(|_| "no tag").expect("a tag");
            assert_eq!(tag.to_str().expect("text").contains("-a-"), wire.away.is_some());
            pages.push(page);
            // A click.
            let mut next = PlayerRecord::clone(&record);
            next.player.version += 1;
            next.player.energy += 1.0;
            record = Arc::new(next);
        }
        assert!(Arc::ptr_eq(&pages[0], &pages[4]), "made once");
        assert!(!Arc::ptr_eq(&pages[4], &pages[5]), "and again under another catalogue");
        let mut next = PlayerRecord::clone(&record);
        next.player.inventory.add_generators(&slug("crank"), 1);
        let record = Arc::new(next);
        let state = State { record, epoch, timeline, now: at(50_000.0) };
        let (page, body) = page(&state);
        assert!(!Arc::ptr_eq(&page, &pages[7]), "and after a purchase");
        let wire = StateWire::new(&state.record, state.epoch, &state.timeline, state.now);
        assert_eq!(body, serde_json::to_string(&wire).expect("JSON"));
    }
}
