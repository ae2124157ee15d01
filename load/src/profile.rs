//! The requests of players: of a hundred, 70 read the state, 20 click, 8 buy and 2 read the rankings. The same as in
//! `k6/lib/player.js`.

use crate::http::{Connection, Request, Target};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    State,
    Clicks,
    Purchase,
    Rankings,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::State, Self::Clicks, Self::Purchase, Self::Rankings];

    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Clicks => "clicks",
            Self::Purchase => "purchase",
            Self::Rankings => "rankings",
        }
    }

    /// Whether the status is an answer and not a failure; a purchase may be refused for lack of energy.
    pub fn accepts(self, status: u16) -> bool {
        match self {
            Self::State => status == 200 || status == 304,
            Self::Purchase => status == 200 || status == 409,
            Self::Clicks | Self::Rankings => status == 200,
        }
    }
}

/// What the server supports.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// A server without rankings gets more of the other requests.
    pub rankings: bool,
}

impl Profile {
    /// Asks the server.
    pub async fn survey(target: &Target) -> Result<Self, String> {
        let request =
            Request { method: "GET", path: "/api/v1/rankings?limit=1", ..Request::default() };
        let answer = Connection::default().send(target, &request).await;
        let answer = answer.map_err(|error| format!("the server does not answer: {error}"))?;
        Ok(Self { rankings: answer.status != 404 })
    }

    /// The next request; `chance` is from 0 up to 100.
    pub fn choose(self, chance: f64) -> Kind {
        match chance {
            ..2.0 if self.rankings => Kind::Rankings,
            ..10.0 => Kind::Purchase,
            ..30.0 => Kind::Clicks,
            _ => Kind::State,
        }
    }
}

/// Chances, the same in every run (`SplitMix64`).
#[derive(Debug)]
pub struct Chances(u64);

impl Chances {
    pub fn new(seed: u64) -> Self {
        // Mixed; otherwise each player would do what its neighbour did a second ago.
        Self(mix(seed))
    }

    /// From 0 up to 100.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_what_it_says() {
        let profile = Profile { rankings: true };
        let mut counts = [0_u32; 4];
        for seed in 0..100 {
            let mut chances = Chances::new(seed);
            for _ in 0..1000 {
                let kind = profile.choose(chances.next());
                counts[Kind::ALL.iter().position(|it| *it == kind).expect("a kind")] += 1;
            }
        }
        for (count, share) in counts.into_iter().zip([70.0, 20.0, 8.0, 2.0]) {
            assert!((f64::from(count) / 1000.0 - share).abs() < 0.5, "{counts:?}");
        }
        assert!(
            (0..1000).all(
                |it| Profile { rankings: false }.choose(f64::from(it) / 10.0) != Kind::Rankings
            )
        );
    }
}
