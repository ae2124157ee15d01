//! Parsing `DATABASE_URL`: the address of Postgres, how the connection is encrypted, and whether a pooler is in
//! between.

use std::str::FromStr;

use tokio_postgres::config::Host;

use super::url_faults;

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// No encryption: `sslmode=disable`, `allow`, `prefer`, or no `sslmode`. TLS is used only if it is required,
    /// because distributions create a self-signed certificate for Postgres, whose verification would fail.
    None,
    /// A certificate of a trusted authority, for any name: `sslmode=verify-ca`.
    Chain,
    /// A certificate of a trusted authority for the host's name: `sslmode=require` and `verify-full`. For `require`
    /// other clients verify no certificate, which does not protect against active attackers.
    Full,
}

/// The parts of a `DATABASE_URL`.
#[derive(Clone, Debug)]
pub struct DatabaseUrl {
    pub connection: tokio_postgres::Config,
    pub encryption: Encryption,
}

/// Values of `sslmode`, the value that the driver gets instead, because it does not know all of them, and the
/// encryption.
const MODES: [(&str, &str, Encryption); 6] = [
    ("disable", "disable", Encryption::None),
    ("allow", "disable", Encryption::None),
    ("prefer", "disable", Encryption::None),
    ("require", "require", Encryption::Full),
    ("verify-ca", "require", Encryption::Chain),
    ("verify-full", "require", Encryption::Full),
];

impl DatabaseUrl {
    /// Parses both forms, `postgres://...?...` and `host=... sslmode=...`.
    ///
    /// # Errors
    /// Returns what is wrong, without repeating the text, because it contains a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if find(text, "sslrootcert").is_some() {
            return Err("sslrootcert is not supported: set DATABASE_CA_FILE to the file".into());
        }
        let (mut text, mut encryption) = (text.to_owned(), Encryption::None);
        if let Some(value) = find(&text, "sslmode") {
            let given = text.get(value.clone()).unwrap_or_default();
            let Some((_, for_driver, meaning)) = MODES.iter().find(|(name, ..)| *name == given)
            else {
                return Err(
                    "sslmode must be disable, allow, prefer, require, verify-ca or verify-full"
                        .into(),
                );
            };
            encryption = *meaning;
            text.replace_range(value, for_driver);
        }
        let mut connection = tokio_postgres::Config::from_str(&text)
            .map_err(|error| url_faults::explain(&text, &error))?;
        if find(&text, "sslmode").is_none() {
            connection.ssl_mode(tokio_postgres::config::SslMode::Disable);
        }
        if connection.get_application_name().is_none() {
            connection.application_name("idlewatt");
        }
        Ok(Self { connection, encryption })
    }

    /// Whether the host's name is that of a pooler in transaction mode: at Neon its first label ends with `-pooler`.
    pub fn names_a_pooler(&self) -> bool {
        self.connection.get_hosts().iter().any(|host| match host {
            Host::Tcp(name) => name.split('.').next().is_some_and(|it| it.ends_with("-pooler")),
            Host::Unix(_) => false,
        })
    }
}

/// The range of a parameter's value in either form.
fn find(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let (at, _) = text.match_indices(name).find(|(at, _)| {
        let before = text[..*at].chars().next_back();
        let is_start = before.is_none_or(|it| it.is_whitespace() || "?&".contains(it));
        is_start && text[at + name.len()..].starts_with('=')
    })?;
    let start = at + name.len() + 1;
    let rest = &text[start..];
    let length = rest.find(|c: char| c.is_whitespace() || c == '&').unwrap_or(rest.len());
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{ChannelBinding, SslMode};

    use super::*;

    #[test]
    fn every_mode_of_both_forms_is_known() {
        for (mode, _, encryption) in MODES {
            for text in [
                format!("postgres://me:p@db.example/game?sslmode={mode}&connect_timeout=3"),
                format!("host=db.example sslmode={mode} user=me"),
            ] {
                let url = DatabaseUrl::parse(&text).expect("a mode");
                assert_eq!(url.encryption, encryption, "{text}");
                let encrypted = url.connection.get_ssl_mode() == SslMode::Require;
                assert_eq!(encrypted, encryption != Encryption::None, "{text}");
            }
        }
        let plain = DatabaseUrl::parse("postgres://me@localhost/game").expect("no mode");
        assert_eq!(plain.encryption, Encryption::None);
        assert_eq!(plain.connection.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn a_fault_does_not_repeat_the_password() {
        for text in [
            "postgres://me:hidden@db.example/game?sslmode=verify",
            "postgres://me:hidden@db.example/game?sslrootcert=ca.pem",
            "postgres://me:hidden@db.example/game?colour=blue",
            "mysql://me:hidden@db.example/game",
            "mysql://me:hidden@db.example/game?colour=blue",
            "postgres://me:p@ss?hidden=1@db.example/game",
            "host=db.example password=not hidden=1",
        ] {
            let fault = DatabaseUrl::parse(text).expect_err("a fault");
            assert!(!fault.contains("hidden"), "{fault}");
        }
    }

    #[test]
    fn a_parameter_of_another_client_is_reported_with_its_replacement() {
        for (parameter, instead) in [
            ("pgbouncer=true", "DATABASE_POOLER=transaction"),
            ("schema=public", "search_path"),
            ("ssl=true", "sslmode=require"),
            ("sslcert=me.pem", "client certificates are not supported"),
            ("connection_limit=5", "DATABASE_POOL_SIZE"),
            ("pool_timeout=5", "its own time-outs"),
            ("colour=blue", "remove it"),
            ("connect_timeout=soon", "invalid value"),
        ] {
            let (name, _) = parameter.split_once('=').expect("a pair");
            for text in [
                format!("postgres://me:hidden@db.example/game?{parameter}"),
                format!("postgresql://me:hidden@db.example/game?sslmode=require&{parameter}"),
                format!("host=db.example {parameter} password=hidden"),
            ] {
                let fault = DatabaseUrl::parse(&text).expect_err("a fault");
                assert!(fault.contains(name) && fault.contains(instead), "{text}: {fault}");
                assert!(!fault.contains("hidden"), "{fault}");
            }
        }
    }

    #[test]
    fn an_address_from_neon_is_parsed() {
        let url = DatabaseUrl::parse(
            "postgresql://alex:p@ep-cool-darkness-123456-pooler.eu-central-1.aws.example/neondb\
             ?sslmode=require&channel_binding=require",
        )
        .expect("valid");
        assert_eq!(url.encryption, Encryption::Full);
        assert_eq!(url.connection.get_channel_binding(), ChannelBinding::Require);
        assert!(url.names_a_pooler());
        let direct = "postgresql://alex:p@ep-cool-darkness-123456.eu-central-1.aws.example/neondb";
        assert!(!DatabaseUrl::parse(direct).expect("valid").names_a_pooler());
        let elsewhere = "postgresql://me@db.my-pooler.example/game";
        assert!(!DatabaseUrl::parse(elsewhere).expect("valid").names_a_pooler());
    }
}
