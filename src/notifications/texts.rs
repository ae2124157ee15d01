//! The texts of what the game itself notifies players of. They follow from the type and the data, so they are not stored.

use serde_json::Value;

use crate::domain::text::number;
use crate::domain::{Localized, Priority};

/// Title and body.
pub type Texts = (Localized, Localized);

/// What the game notifies a player of.
#[cfg(test)]
const TYPES: [&str; 3] = ["offline_cap_reached", "new_sign_in", "grant"];

/// The priority of what the game notifies of.
pub const PRIORITY: Priority = Priority::Medium;

/// The texts of a notification of this type. A type that this release does not know, as a later one may have stored it,
/// has its name as its title.
pub fn of(kind: &str, data: &Value) -> Texts {
    match kind {
        "offline_cap_reached" => (
            both("Production has stopped", "생산이 멈췄습니다"),
            both(
                "Your machines have produced for as long as they can while you are away. Come back to start them again.",
                "자리를 비운 동안 생산할 수 있는 시간이 모두 지났습니다. 돌아오면 기계가 다시 돌아갑니다.",
            ),
        ),
        "new_sign_in" => (
            both("New sign-in", "새로운 로그인"),
            both(
                "Somebody signed in to your account on another device. If that was not you, change your password and end the other \
                 sessions.",
                "다른 기기에서 계정에 로그인했습니다. 본인이 아니라면 비밀번호를 바꾸고 다른 세션을 종료하세요.",
            ),
        ),
        "grant" => {
            let energy = number(data.get("energy").and_then(Value::as_f64).unwrap_or(0.0));
            (
                both("You received energy", "에너지를 받았습니다"),
                Localized {
                    en: format!("An operator gave you {energy} energy."),
                    ko: Some(format!("운영자가 에너지 {energy}을(를) 드렸습니다.")),
                },
            )
        }
        other => (both(other, other), both("", "")),
    }
}

/// The texts of the announcement that a season has ended.
pub fn season_ended(season: &str) -> Texts {
    (
        Localized {
            en: format!("Season {season} has ended"),
            ko: Some(format!("{season} 시즌이 끝났습니다")),
        },
        both(
            "The final standings are in the rankings. A new season has begun.",
            "최종 순위를 랭킹에서 볼 수 있습니다. 새 시즌이 시작되었습니다.",
        ),
    )
}

fn both(en: &str, ko: &str) -> Localized {
    Localized { en: en.to_owned(), ko: Some(ko.to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_type_of_the_game_has_texts_in_both_languages() {
        for kind in TYPES {
            let (title, body) = of(kind, &json!({ "energy": 2.5 }));
            for text in [title, body] {
                assert!(!text.en.is_empty() && text.ko.is_some_and(|ko| ko != text.en), "{kind}");
            }
        }
        assert_eq!(of("grant", &json!({ "energy": 2.5 })).1.en, "An operator gave you 2.5 energy.");
        assert_eq!(of("of_a_later_release", &json!({})).0.en, "of_a_later_release");
    }
}
