//! The languages that a client prefers.

use actix_web::HttpRequest;
use actix_web::http::header::{AcceptLanguage, Header, Preference};

use crate::domain::Language;

/// The language of texts in a response: the one that the player has chosen, otherwise the best one of the header
/// `Accept-Language`, otherwise English.
pub fn language(request: &HttpRequest, chosen: Option<Language>) -> Language {
    chosen.or_else(|| accepted_language(request)).unwrap_or_default()
}

/// The best language of the header `Accept-Language`; `None` if it names none that the server has.
pub fn accepted_language(request: &HttpRequest) -> Option<Language> {
    let ranked = AcceptLanguage::parse(request).ok()?.ranked();
    ranked.into_iter().find_map(|preference| match preference {
        Preference::Any => Some(Language::default()),
        Preference::Specific(tag) => Language::from_code(tag.primary_language()),
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::ACCEPT_LANGUAGE;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_chosen_language_comes_before_the_accepted_ones() {
        let of = |header: &str, chosen| {
            let request = TestRequest::default().insert_header((ACCEPT_LANGUAGE, header));
            language(&request.to_http_request(), chosen)
        };
        for (header, expected) in [
            ("ko", Language::Ko),
            ("ko-KR,ko;q=0.9,en-US;q=0.8", Language::Ko),
            ("fr, en;q=0.5, ko;q=0.8", Language::Ko),
            ("en-GB, ko", Language::En),
            ("fr", Language::En),
            ("*", Language::En),
            ("", Language::En),
            ("%%%", Language::En),
        ] {
            assert_eq!(of(header, None), expected, "{header}");
            assert_eq!(of(header, Some(Language::Ko)), Language::Ko, "{header}");
        }
    }
}
