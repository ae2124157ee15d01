//! Explains errors of a `DATABASE_URL` without repeating any part of its password.

use std::error::Error;

/// Parameters of other clients, with what to use instead.
const INSTEAD: [(&[&str], &str); 6] = [
    (
        &["pgbouncer", "prepared_statements", "prepareThreshold", "statement_cache_size"],
        "remove it, and set DATABASE_POOLER=transaction if a pooler in transaction mode is in front of the database",
    ),
    (
        &["schema", "currentSchema", "search_path"],
        "remove it, and set it in the database: alter role ... set search_path = ...",
    ),
    (
        &["ssl", "sslaccept", "ssl_mode", "tls"],
        "remove it, and use sslmode=require or sslmode=disable",
    ),
    (
        &["sslcert", "sslkey", "sslidentity", "sslpassword"],
        "remove it: client certificates are not supported",
    ),
    (
        &["connection_limit", "pool_max_conns", "pool_size", "max_connections"],
        "remove it, and set DATABASE_POOL_SIZE",
    ),
    (
        &["pool_timeout", "socket_timeout", "statement_timeout", "pool_min_conns"],
        "remove it: the server has its own time-outs",
    ),
];

/// Explains the driver's error about `text`.
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
        return format!("the parameter {name} is not supported: {instead}");
    }
    if is_certainly_a_parameter(text, name) {
        return format!("the parameter {name} is not supported: remove it");
    }
    "it has a parameter that is not supported".to_owned()
}

/// Whether `name` certainly comes from a parameter. An unescaped `@`, `?` or space in a password makes the driver take
/// a part of the password for a parameter, and that part must not be shown.
fn is_certainly_a_parameter(text: &str, name: &str) -> bool {
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
