//! Explains what is wrong with a `DATABASE_URL`, without repeating a part of its password.

use std::error::Error;

/// Parameters of other clients, with what to use instead.
const INSTEAD: [(&[&str], &str); 6] = [
    (
        &["pgbouncer", "prepared_statements", "prepareThreshold", "statement_cache_size"],
        "leave it out, and set DATABASE_POOLER=transaction where a pooler in transaction mode stands before the database",
    ),
    (
        &["schema", "currentSchema", "search_path"],
        "leave it out, and say it in the database: alter role ... set search_path = ...",
    ),
    (
        &["ssl", "sslaccept", "ssl_mode", "tls"],
        "leave it out, and write sslmode=require or sslmode=disable",
    ),
    (
        &["sslcert", "sslkey", "sslidentity", "sslpassword"],
        "leave it out: a certificate of the client's own is never shown",
    ),
    (
        &["connection_limit", "pool_max_conns", "pool_size", "max_connections"],
        "leave it out, and set DATABASE_POOL_SIZE",
    ),
    (
        &["pool_timeout", "socket_timeout", "statement_timeout", "pool_min_conns"],
        "leave it out: the server has time limits of its own",
    ),
];

/// Explains a driver's error about `text`.
pub(super) fn explain(text: &str, error: &tokio_postgres::Error) -> String {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    if cause.starts_with("invalid value for option") {
        return cause;
    }
    let unknown = cause.strip_prefix("unknown option `").and_then(|it| it.strip_suffix('`'));
    match unknown {
        Some(name) => explain_unknown(text, name),
        None => error.to_string(),
    }
}

fn explain_unknown(text: &str, name: &str) -> String {
    let known = INSTEAD.iter().find(|(names, _)| names.contains(&name));
    if let Some((_, instead)) = known {
        return format!("the parameter {name} is not known here: {instead}");
    }
    if may_be_shown(text, name) {
        return format!("the parameter {name} is not known here: leave it out");
    }
    "it has a parameter that is not known here".to_owned()
}

/// Whether a name is certainly not part of a password that contains an unescaped `@` or space.
fn may_be_shown(text: &str, name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_word) {
        return false;
    }
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if is_url {
        let after =
            text.rsplit_once('?').map(|(_, after)| after).filter(|after| !after.contains('@'));
        return after.is_some_and(|after| {
            let password = after.find("password").unwrap_or(after.len());
            after.find(name).is_some_and(|at| at < password)
        });
    }
    let password = text.find("password").unwrap_or(text.len());
    text.find(name).is_some_and(|at| at < password)
}
