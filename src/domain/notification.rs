//! Notifications: their priorities, and texts in the languages that are shipped.

use serde::{Deserialize, Serialize};

/// How important a notification is. The order is that in which they are told: the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Cannot be muted.
    High,
    Medium,
    Low,
}

impl Priority {
    /// All priorities, the highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }

    /// The priority with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == name)
    }
}

/// A language of texts for players.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    #[default]
    En,
    Ko,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::En, Self::Ko];

    /// The code of ISO 639.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ko => "ko",
        }
    }

    /// The language with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == code)
    }
}

/// A text in English and perhaps in Korean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Localized {
    pub en: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ko: Option<String>,
}

impl Localized {
    /// The text in a language; in English if there is none in that language.
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::Ko => self.ko.as_deref().unwrap_or(&self.en),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_missing_in_a_language_is_english() {
        let text = |ko: Option<&str>| Localized { en: "Hello".into(), ko: ko.map(Into::into) };
        assert_eq!(text(Some("안녕")).text(Language::Ko), "안녕");
        assert_eq!(text(Some("안녕")).text(Language::En), "Hello");
        assert_eq!(text(None).text(Language::Ko), "Hello");
    }

    #[test]
    fn names_are_those_of_the_contract_and_high_comes_first() {
        for priority in Priority::ALL {
            assert_eq!(Priority::from_name(priority.as_str()), Some(priority));
        }
        for language in Language::ALL {
            assert_eq!(Language::from_code(language.as_str()), Some(language));
        }
        assert!(Priority::ALL.is_sorted());
        assert_eq!((Priority::from_name("urgent"), Language::from_code("EN")), (None, None));
    }
}
