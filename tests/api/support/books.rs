//! A player's books: what the ledger and the row must add up to, and helpers that tests of playing share.

use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Player, Reply, TestApp, World};

/// An instance whose access tokens are valid for longer than a day.
pub async fn start_for_days(world: &World) -> TestApp {
    world.start_with(&[("ACCESS_TOKEN_TTL_SECONDS", "86400")]).await
}

/// Calls a function until it returns something, for at most a minute.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A number in an answer.
#[track_caller]
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A count in an answer.
#[track_caller]
pub fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// Asserts that two amounts differ at most by rounding.
#[track_caller]
pub fn assert_close(actual: f64, expected: f64) {
    let scale = actual.abs().max(expected.abs()).max(1.0);
    assert!((actual - expected).abs() <= 1e-9 * scale, "{actual} is not {expected}");
}

/// An answer's members except `state`: the outcome of the request.
pub fn outcome(reply: &Reply) -> Value {
    let mut outcome = reply.json.clone();
    outcome.as_object_mut().expect("an object").remove("state");
    outcome
}

/// Whether an answer is the stored one of an earlier request.
pub fn is_replay(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == "true"
}

impl Player {
    /// Any call of the player, with an idempotency key.
    pub async fn keyed(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Reply {
        let request = self.client.request(method, &format!("/api/v1{path}"));
        let mut request = request.bearer_auth(&self.token).header("Idempotency-Key", key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.client.send(request).await
    }

    /// The same session with new tokens.
    pub async fn refreshed(&self) -> Self {
        let body = json!({ "refresh_token": self.refresh_token });
        let reply = self.client.call("POST", "/auth/refresh", "", Some(body)).await.expect(200);
        let text = |name: &str| reply.json["tokens"][name].as_str().expect("a token").to_owned();
        Self { token: text("access_token"), refresh_token: text("refresh_token"), ..self.clone() }
    }

    pub async fn buy_upgrade(&self, upgrade: &str) -> Reply {
        self.post(&format!("/me/upgrades/{upgrade}/purchase"), json!({})).await
    }

    /// The state once it has that version: an instance may learn later what others wrote.
    pub async fn state_of_version(&self, version: u64) -> Value {
        eventually("the version is reached", async || {
            let state = self.get("/me").await;
            let reached = state.json["version"].as_u64() >= Some(version);
            (state.status == 200 && reached).then_some(state.json)
        })
        .await
    }

    /// The whole ledger, oldest first.
    pub async fn ledger(&self) -> Vec<Value> {
        let mut entries = Vec::new();
        let mut path = "/me/ledger?limit=100".to_owned();
        loop {
            let page = self.get(&path).await.expect(200).json;
            entries.extend(page["entries"].as_array().expect("entries").iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/me/ledger?limit=100&cursor={cursor}");
        }
        entries.reverse();
        entries
    }

    /// Asserts that each balance in the ledger follows from the one before, and the present one from the last, and
    /// returns the ledger, oldest first.
    pub async fn assert_books_balance(&self) -> Vec<Value> {
        let (ledger, state) = (self.ledger().await, self.state().await);
        let mut balance = 0.0;
        for entry in &ledger {
            let (earned, delta) = (number(&entry["earned"]), number(&entry["delta"]));
            let after = number(&entry["balance_after"]);
            // Sums are rounded in proportion to the largest of them.
            let scale = f64::max(balance, after).max(earned).max(1.0);
            let error = (balance + earned + delta - after).abs();
            assert!(error <= 1e-9 * scale, "{balance} does not lead to {entry}");
            assert!(after >= 0.0 && earned >= -1e-9 * scale, "{entry}");
            balance = after;
        }
        let energy = number(&state["energy"]);
        assert!(energy >= 0.0 && energy >= balance * (1.0 - 1e-9), "{balance} fell to {energy}");
        ledger
    }
}

/// How often a player's row has been written.
pub async fn revision(database: &tokio_postgres::Client, player: &Player) -> i64 {
    let sql = "select revision from players where player_id = $1::text::uuid";
    database.query_one(sql, &[&player.id]).await.expect("the row").get(0)
}

/// A random sequence that is the same in every run.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end` (`SplitMix64`).
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
