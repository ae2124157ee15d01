//! Renders a player's state as JSON. The members that a click does not change are rendered once and cached with the
//! row. Usually only the energy, the version and the times differ from one response to the next.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use super::wire::{AwayWire, ObjectWriter, StateWire, Whole, write_rfc3339};
use crate::cache::{Basis, Page};
use crate::domain::{Away, Timestamp};
use crate::game::State;
use crate::identity::Epoch;

/// The entity tag contains `accrues_until` rounded down to an eighth of the offline cap.
const CAP_STEPS: f64 = 8.0;

/// The maximum size of the members that change, in bytes, without `away`, which is rare.
const CHANGING_BYTES: usize = 208;

/// A state and its page.
pub struct StatePage<'a> {
    state: &'a State,
    /// The time of the state. It is never before the time up to which the player's production was last settled.
    now: Timestamp,
    page: Arc<Page>,
}

impl<'a> StatePage<'a> {
    /// The page of a state. It is rendered only if the cached page was rendered from other inputs.
    ///
    /// # Errors
    /// Returns 500 if serialization fails.
    pub fn of(state: &'a State) -> Result<Self, Problem> {
        let State { record, epoch, timeline, .. } = state;
        let now = record.player.not_before_settled(state.now);
        let page = state.handle.page(
            |page| page.basis.matches(record, *epoch, timeline, now),
            || render(state, now).map_err(Problem::internal),
        )?;
        Ok(Self { state, now, page })
    }

    /// Appends the state as a JSON object to `body`.
    ///
    /// # Errors
    /// Returns 500 if serialization fails, which does not happen for numbers.
    pub fn write(&self, body: &mut Vec<u8>) -> Result<(), Problem> {
        let player = &self.state.record.player;
        let (energy, lifetime_energy) = self.amounts();
        let text = &*self.page.text;
        let [second, third] = self.page.part_starts;
        body.reserve(text.len() + CHANGING_BYTES);
        body.push(b'{');
        body.extend_from_slice(&text[..second]);
        body.extend_from_slice(b",\"energy\":");
        write_json(body, &energy)?;
        body.extend_from_slice(b",\"lifetime_energy\":");
        write_json(body, &lifetime_energy)?;
        body.push(b',');
        body.extend_from_slice(&text[second..third]);
        body.extend_from_slice(b",\"version\":");
        write_json(body, &player.version)?;
        body.push(b',');
        body.extend_from_slice(&text[third..]);
        body.extend_from_slice(b",\"accrues_until\":\"");
        write_rfc3339(body, player.accrues_until(&self.page.production));
        body.extend_from_slice(b"\",\"server_time\":\"");
        write_rfc3339(body, self.now);
        body.push(b'"');
        if let Some(away) = self.away() {
            body.extend_from_slice(b",\"away\":");
            write_json(body, &AwayWire::from(away))?;
        }
        body.push(b'}');
        Ok(())
    }

    /// Energy and lifetime energy.
    fn amounts(&self) -> (f64, f64) {
        let (player, timeline) = (&self.state.record.player, &self.state.timeline);
        if Arc::ptr_eq(self.page.basis.catalogue(), timeline.at(player.settled_at)) {
            player.energy_with(&self.page.production, self.now)
        } else {
            player.energy_at(timeline, self.now)
        }
    }

    /// The absence that the state contains.
    fn away(&self) -> Option<&Away> {
        self.state.record.player.reported_absence(self.now)
    }

    /// The entity tag of the state. It contains the player, the epoch of the database, and everything that a client
    /// cannot extrapolate. The player is included because a browser's cache may contain the state of another player who
    /// used the same browser before.
    ///
    /// # Errors
    /// Returns 500 if serialization fails, which does not happen for numbers.
    pub fn tag(&self) -> Result<Vec<u8>, Problem> {
        let player = &self.state.record.player;
        let production = &self.page.production;
        let step = production.offline_cap_seconds * 1e6 / CAP_STEPS;
        let accrues_until = player.accrues_until(production).as_micros() as f64;
        let away = if self.away().is_some() { b'a' } else { b'p' };
        // The quotient fits into an integer even at the limits of the range of time.
        let accrues_step = (accrues_until / step).floor() as i64;
        // Assembled by hand, because every response has a tag and `write!` takes four times as long.
        let mut tag = Vec::with_capacity(80);
        tag.extend_from_slice(&self.page.tag_start);
        write_json(&mut tag, &player.version)?;
        tag.push(b'-');
        write_json(&mut tag, &self.page.basis.catalogue().version)?;
        tag.extend_from_slice(&[b'-', away, b'-']);
        write_json(&mut tag, &accrues_step)?;
        tag.push(b'"');
        Ok(tag)
    }
}

/// Renders the members of a state that a click does not change, in the order of [`StateWire`].
fn render(state: &State, now: Timestamp) -> Result<Page, serde_json::Error> {
    let State { record, epoch, timeline, .. } = state;
    let wire = StateWire::new(record, *epoch, timeline, now);
    let mut names = ObjectWriter::with_capacity(256);
    names.member("player_id", &wire.player_id)?;
    names.member("display_name", &wire.display_name)?;
    names.member("username", &wire.username)?;
    names.member("language", &wire.language)?;
    let mut rates = ObjectWriter::with_capacity(128);
    rates.member("energy_per_second", &wire.energy_per_second)?;
    rates.member("energy_per_click", &wire.energy_per_click)?;
    rates.member("cores", &Whole(wire.cores))?;
    let mut possessions = ObjectWriter::with_capacity(1024);
    possessions.member("generators", &wire.generators)?;
    possessions.member("upgrades", &wire.upgrades)?;
    possessions.member("epoch", &wire.epoch)?;
    let [names, rates, possessions] = [names, rates, possessions].map(ObjectWriter::into_members);
    Ok(Page {
        basis: Basis::of(record, *epoch, timeline, now),
        production: record.player.production(timeline, now),
        part_starts: [names.len(), names.len() + rates.len()],
        text: [names, rates, possessions].concat().into(),
        tag_start: tag_start(record.id, *epoch).into(),
    })
}

/// `W/"` and 16 hexadecimal digits that identify the player and the epoch.
fn tag_start(player: Uuid, epoch: Epoch) -> Vec<u8> {
    // Both halves of the id are used: the lower half contains random bits, the upper half the time.
    let (upper, lower) = player.as_u64_pair();
    format!("W/\"{:016x}-", upper ^ lower ^ epoch.number()).into()
}

fn write_json(body: &mut Vec<u8>, value: &impl Serialize) -> Result<(), Problem> {
    serde_json::to_writer(body, value).map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheHandle;
    use crate::domain::testing::{at, slug, two_catalogues};
    use crate::domain::{Player, Rules};
    use crate::store::players::PlayerRecord;

    /// The cached page of a state, its body and its tag.
    fn page(state: &State) -> (Arc<Page>, String, String) {
        let page = StatePage::of(state).expect("a page");
        let mut body = Vec::new();
        page.write(&mut body).expect("a body");
        let tag = page.tag().expect("a tag");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (page.page, text(body), text(tag))
    }

    #[test]
    fn a_page_equals_the_serialized_state_at_any_time_and_is_rendered_once() {
        let timeline = Arc::new(two_catalogues(700.0));
        let name = r#""energy":0.0,"version":0,"#;
        let mut player = Player::new(name.into(), &Rules::default(), at(0.0));
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
        let handle = CacheHandle::testing(record.id);
        let mut pages = Vec::new();
        for seconds in [400.0, 500.0, 529.9, 530.1, 699.9, 700.1, 1000.0, 50_000.0] {
            let (record_now, timeline) = (Arc::clone(&record), Arc::clone(&timeline));
            let (now, handle) = (at(seconds), handle.clone());
            let state = State { record: record_now, epoch, timeline, now, handle };
            let (page, body, tag) = page(&state);
            let wire = StateWire::new(&state.record, state.epoch, &state.timeline, state.now);
            assert_eq!(body, serde_json::to_string(&wire).expect("JSON"), "{seconds}");
            assert_eq!(tag.contains("-a-"), wire.away.is_some());
            pages.push(page);
            // The player clicks.
            let mut next = PlayerRecord::clone(&record);
            next.player.version += 1;
            next.player.energy += 1.0;
            record = Arc::new(next);
        }
        assert!(Arc::ptr_eq(&pages[0], &pages[4]), "rendered once");
        assert!(!Arc::ptr_eq(&pages[4], &pages[5]), "rendered again for another catalogue");
        let mut next = PlayerRecord::clone(&record);
        next.player.inventory.add_generators(&slug("crank"), 1);
        let record = Arc::new(next);
        let state = State { record, epoch, timeline, now: at(50_000.0), handle };
        let (page, body, _) = page(&state);
        assert!(!Arc::ptr_eq(&page, &pages[7]), "rendered again after a purchase");
        let wire = StateWire::new(&state.record, state.epoch, &state.timeline, state.now);
        assert_eq!(body, serde_json::to_string(&wire).expect("JSON"));
    }
}
