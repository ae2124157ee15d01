//! The origins of the pages that may call the API.

use url::Url;

/// Replaces the `*` of a pattern while the rest is parsed as a URL.
const PLACEHOLDER: &str = "0any0";

/// A set of origins (RFC 6454: scheme, host and port).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// In the form that browsers send.
    Exact(String),
    /// One or more letters, digits and hyphens between the two parts, as in the addresses of preview deployments.
    Pattern { before: String, after: String },
}

impl Origins {
    /// Adds an origin. The host may have upper-case letters, the port may be the scheme's default, a slash may follow,
    /// and the first label of the host may contain one `*`.
    ///
    /// # Errors
    /// Returns what is wrong.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        self.0.push(Origin::parse(text)?);
        Ok(())
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set contains an origin, in the form that browsers send.
    pub fn contain(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed.matches(origin))
    }
}

impl Origin {
    fn parse(text: &str) -> Result<Self, String> {
        let not_an_origin =
            || format!("`{text}` is not an origin such as https://play.example.org");
        let url = text.replacen('*', PLACEHOLDER, 1);
        let url = Url::parse(&url).map_err(|_| not_an_origin())?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_bare || !is_anonymous || !is_web {
            return Err(not_an_origin());
        }
        let origin = url.origin().ascii_serialization();
        let Some((_, suffix)) = text.split_once('*') else { return Ok(Self::Exact(origin)) };
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let labels = host.split('.').collect::<Vec<_>>();
        // A label with non-ASCII letters is encoded in Punycode together with the placeholder.
        let is_in_first = labels
            .first()
            .is_some_and(|label| label.contains(PLACEHOLDER) && !label.starts_with("xn--"));
        // With one label after it, the pattern would match a whole top-level domain.
        if suffix.contains('*') || !is_in_first || labels.len() < 3 {
            return Err(format!(
                "`{text}` may have one `*`, in the first label of a host with three labels or more, such as \
                 https://*--name.example.app"
            ));
        }
        let (before, after) = origin.split_once(PLACEHOLDER).ok_or_else(not_an_origin)?;
        Ok(Self::Pattern { before: before.to_owned(), after: after.to_owned() })
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(allowed) => allowed == origin,
            Self::Pattern { before, after } => {
                let rest = origin.strip_prefix(before.as_str());
                let any = rest.and_then(|rest| rest.strip_suffix(after.as_str()));
                let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                any.is_some_and(|any| !any.is_empty() && any.bytes().all(part))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Origins {
        let mut origins = Origins::default();
        for text in texts {
            origins.add(text).expect("an origin");
        }
        origins
    }

    #[test]
    fn an_origin_is_normalised_to_the_form_that_browsers_send() {
        for text in [
            "https://play.example.org",
            "https://Play.Example.ORG",
            "HTTPS://play.example.org:443",
            "https://play.example.org/",
        ] {
            assert!(origins(&[text]).contain("https://play.example.org"), "{text}");
            assert!(!origins(&[text]).contain("http://play.example.org"), "{text}");
        }
        assert!(origins(&["http://localhost:80"]).contain("http://localhost"));
        assert!(origins(&["http://localhost:5173"]).contain("http://localhost:5173"));
        assert!(origins(&["https://münchen.example"]).contain("https://xn--mnchen-3ya.example"));
        assert!(origins(&["http://[::1]:5173"]).contain("http://[::1]:5173"));
    }

    #[test]
    fn a_pattern_matches_a_part_of_the_first_label() {
        let previews = origins(&["https://*--Name.example.app", "https://play.example.org"]);
        for origin in ["https://deploy-preview-7--name.example.app", "https://a--name.example.app"]
        {
            assert!(previews.contain(origin), "{origin}");
        }
        for origin in [
            "https://--name.example.app",
            "https://name.example.app",
            "http://a--name.example.app",
            "https://a--name.example.app:8443",
            "https://a--name.example.app.evil.com",
            "https://evil.com/a--name.example.app",
            "https://evil.com.a--name.example.app",
            "https://evil.com#--name.example.app",
            "https://*--name.example.app",
        ] {
            assert!(!previews.contain(origin), "{origin}");
        }
    }

    #[test]
    fn an_invalid_origin_is_named_in_the_error() {
        for text in [
            "*",
            "null",
            "play.example.org",
            "ftp://play.example.org",
            "https://",
            "https://*",
            "https://*.app",
            "https://*.app.",
            "https://*-ü.example.app",
            "https://play.*.app",
            "https://*-*.example.app",
            "https://play.example.org/path",
            "https://play.example.org?query",
            "https://me@play.example.org",
            "https://play.example.org:port",
            "https://a b",
        ] {
            let fault = Origins::default().add(text).expect_err(text);
            assert!(fault.contains(text), "{fault}");
        }
    }
}
