use std::iter;

use uuid::Uuid;

use super::*;
use crate::domain::testing::{at, slug};
use crate::domain::{Action, Quantity};
use crate::game::Asked;
use crate::store::players::testing::guest;

fn record(energy: f64) -> Arc<PlayerRecord> {
    let mut record = PlayerRecord { id: Uuid::from_u128(rand::random()), revision: 7, ..guest() };
    record.player.energy = energy;
    Arc::new(record)
}

fn click(clicks: u64, key: Option<&str>) -> Request {
    let command = Command::Act(Action::Click { clicks });
    keyed(Request::new(Uuid::nil(), command), key)
}

fn keyed(request: Request, key: Option<&str>) -> Request {
    let Request { command, expected_version, .. } = &request;
    let body = format!("{command:?} {expected_version:?}");
    let asked = Asked { command, expected_version: *expected_version, body: body.as_bytes() };
    Request { key: key.map(|key| IdempotencyKey::new(key, "/", asked)), ..request }
}

fn buy(expected_version: Option<u64>) -> Request {
    let action = Action::BuyGenerator { id: slug("crank"), quantity: Quantity::Exactly(1) };
    Request { expected_version, ..Request::new(Uuid::nil(), Command::Act(action)) }
}

fn run(base: &Arc<PlayerRecord>, requests: &[Request], seconds: f64) -> Folded {
    fold(Arc::clone(base), requests.iter(), StoredOutcomes::new(), &FoldContext::testing(seconds))
}

fn versions(folded: &Folded) -> Vec<Option<u64>> {
    let version = |answer: &Result<Answer, Error>| {
        answer.as_ref().ok().map(|answer| answer.record.player.version)
    };
    folded.answers.iter().map(version).collect()
}

#[test]
fn each_answer_has_the_state_after_its_own_command() {
    let folded = run(&record(0.0), &[click(10, None), buy(None), buy(None), click(1, None)], 0.0);
    assert_eq!(versions(&folded), [Some(1), Some(2), None, Some(3)]);
    assert_eq!(folded.written.as_ref().map(|it| it.player.version), Some(3));
    assert_eq!(folded.ledger.len(), 1);
    assert_eq!(folded.written.as_ref().map(|it| it.revision), Some(8), "written once");
}

#[test]
fn repeats_of_one_request_apply_once() {
    let copies = [click(5, Some("k")), click(5, Some("k")), click(5, Some("k"))];
    let folded = run(&record(0.0), &copies, 0.0);
    let replayed: Vec<_> = folded.answers.iter().flatten().map(|answer| answer.replayed).collect();
    assert_eq!(replayed, [false, true, true]);
    assert_eq!(versions(&folded), [Some(1); 3]);
    assert_eq!(folded.records.len(), 1);
}

#[test]
fn a_key_cannot_be_used_for_another_request() {
    let folded = run(&record(0.0), &[click(5, Some("k")), click(6, Some("k"))], 0.0);
    assert!(matches!(folded.answers[1], Err(Error::KeyReused)));
}

#[test]
fn a_stored_outcome_is_answered_again_and_nothing_is_written() {
    let request = click(5, Some("k"));
    let key = request.key.expect("given");
    let outcome = r#"{"accepted":3}"#.to_owned();
    let stored = StoredOutcomes::from([(key.key_hash, (key.request, outcome))]);
    let folded = fold(record(0.0), iter::once(&request), stored, &FoldContext::testing(1.0));
    let answer = folded.answers[0].as_ref().expect("replayed");
    assert_eq!((&answer.outcome, answer.replayed), (&Outcome::Clicked { accepted: 3 }, true));
    assert!(folded.written.is_none() && folded.records.is_empty());
}

#[test]
fn the_key_is_checked_before_the_expected_version() {
    let repeated = || keyed(buy(Some(0)), Some("k"));
    let folded = run(&record(100.0), &[repeated(), repeated(), buy(Some(0))], 0.0);
    assert!(folded.answers[1].as_ref().is_ok_and(|answer| answer.replayed));
    let mismatch = Error::Refused(Refusal::VersionMismatch { current: 1 });
    assert_eq!(format!("{:?}", folded.answers[2].as_ref().err()), format!("{:?}", Some(mismatch)));
}

#[test]
fn refusals_are_not_stored_and_write_nothing() {
    let request = keyed(buy(None), Some("k"));
    let folded = run(&record(0.0), &[request], 0.0);
    assert!(matches!(folded.answers[0], Err(Error::Refused(Refusal::InsufficientEnergy { .. }))));
    assert!(folded.written.is_none() && folded.records.is_empty());
}

#[test]
fn presence_is_written_only_when_it_is_due() {
    let arrive = || Request::new(Uuid::nil(), Command::Arrive);
    let base = record(0.0);
    assert!(run(&base, &[arrive()], 49.0).written.is_none());
    let folded = run(&base, &[arrive(), arrive()], 50.0);
    assert_eq!(folded.written.as_ref().map(|it| it.player.last_seen_at), Some(at(50.0)));
    assert_eq!(folded.written.as_ref().map(|it| it.player.version), Some(0));
}

#[test]
fn requests_of_a_banned_player_are_refused_but_grants_are_applied() {
    let mut banned = PlayerRecord::clone(&record(0.0));
    banned.banned = true;
    let grant = Command::Grant { energy: 5.0, reason: "sorry".into() };
    let requests = [click(1, None), Request::new(banned.id, grant)];
    let folded = run(&Arc::new(banned), &requests, 0.0);
    assert!(matches!(folded.answers[0], Err(Error::Banned)));
    assert!(folded.answers[1].is_ok());
}
