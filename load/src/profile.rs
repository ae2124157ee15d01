//! The mix of requests: 70 % read the state, 20 % click, 8 % buy and 2 % read the rankings. `k6/lib/player.js` has the
//! same mix.

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

    /// Whether the status is a success. A purchase may be refused with 409, because the player has too little energy.
    pub fn accepts(self, status: u16) -> bool {
        match self {
            Self::State => status == 200 || status == 304,
            Self::Purchase => status == 200 || status == 409,
            Self::Clicks | Self::Rankings => status == 200,
        }
    }
}

/// Which requests the server supports.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Without rankings, the server receives purchases instead.
    pub rankings: bool,
}

impl Profile {
    /// Detects the profile by a request.
    pub async fn survey(target: &Target) -> Result<Self, String> {
        let request =
            Request { method: "GET", path: "/api/v1/rankings?limit=1", ..Request::default() };
        let answer = Connection::default().send(target, &request).await;
        let answer = answer.map_err(|error| format!("the server does not answer: {error}"))?;
        Ok(Self { rankings: answer.status != 404 })
    }

    /// The kind of the next request for a random `chance` in the range 0..100.
    pub fn choose(self, chance: f64) -> Kind {
        match chance {
            ..2.0 if self.rankings => Kind::Rankings,
            ..10.0 => Kind::Purchase,
            ..30.0 => Kind::Clicks,
            _ => Kind::State,
        }
    }
}

/// Random numbers that are the same in every run (`SplitMix64`).
#[derive(Debug)]
pub struct Chances(u64);

impl Chances {
    pub fn new(seed: u64) -> Self {
        // Mixed, because the sequences of consecutive unmixed seeds would be correlated.
        Self(mix(seed))
    }

    /// The next number in the range 0..100.
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
    fn the_mix_has_the_documented_shares() {
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
