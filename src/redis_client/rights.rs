//! Checks whether Redis grants its user all rights that the server needs. Otherwise requests would fail repeatedly
//! while the server runs. So every command is tried when a connection opens, and missing rights are reported by name.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::timeout;

use super::connection::Opener;
use super::{Connection, Unavailable, describe, is_server_failure};

/// Time-out of all commands together, and of the subscription.
const LIMIT: Duration = Duration::from_secs(1);

/// Placeholders in [`COMMANDS`] for keys and a channel that begin with the prefix.
const TEXT: &str = "key:text";
const HASH: &str = "key:hash";
const BOARD: &str = "key:board";
const OTHER: &str = "key:other";
const CHANNEL: &str = "channel";

/// Every command that the server sends or that its scripts run: its name in ACL rules, and a harmless call.
const COMMANDS: [(&str, &[&str]); 25] = [
    ("set", &["SET", TEXT, "1", "PX", "1000"]),
    ("get", &["GET", TEXT]),
    ("getrange", &["GETRANGE", TEXT, "0", "0"]),
    ("getset", &["GETSET", TEXT, "1"]),
    ("pexpire", &["PEXPIRE", TEXT, "1000"]),
    ("pttl", &["PTTL", TEXT]),
    ("exists", &["EXISTS", TEXT]),
    ("rename", &["RENAME", TEXT, OTHER]),
    ("del", &["DEL", OTHER]),
    ("hset", &["HSET", HASH, "field", "1"]),
    ("hget", &["HGET", HASH, "field"]),
    ("hmget", &["HMGET", HASH, "field"]),
    ("hgetall", &["HGETALL", HASH]),
    ("hlen", &["HLEN", HASH]),
    ("hdel", &["HDEL", HASH, "field"]),
    ("zadd", &["ZADD", BOARD, "1", "member"]),
    ("zcard", &["ZCARD", BOARD]),
    ("zrange", &["ZRANGE", BOARD, "0", "0"]),
    ("zrank", &["ZRANK", BOARD, "member"]),
    ("zrem", &["ZREM", BOARD, "member"]),
    ("unlink", &["UNLINK", TEXT, HASH, BOARD, OTHER]),
    ("time", &["TIME"]),
    ("script|load", &["SCRIPT", "LOAD", "return 1"]),
    // No script has this digest.
    ("evalsha", &["EVALSHA", "0000000000000000000000000000000000000000", "1", TEXT]),
    ("publish", &["PUBLISH", CHANNEL, ""]),
];

/// A missing right, as an ACL rule names it.
enum Missing {
    Command,
    Key,
    Channel,
}

/// Whether the error says that the user does not have a required right.
pub(super) fn is_missing(error: &RedisError) -> bool {
    missing(error).is_some()
}

fn missing(error: &RedisError) -> Option<Missing> {
    let detail = error.detail().unwrap_or_default();
    if detail.starts_with("unknown command") {
        // Some providers remove commands instead of denying them.
        return Some(Missing::Command);
    }
    if error.kind() != ErrorKind::Server(ServerErrorKind::NoPerm) {
        return None;
    }
    // This form is tested first, because it also contains the username, which may contain the words tested below.
    let right = if detail.contains(" to run the ") {
        Missing::Command
    } else if detail.contains("channel") {
        Missing::Channel
    } else if detail.contains("key") {
        Missing::Key
    } else {
        Missing::Command
    };
    Some(right)
}

/// Tries every command.
///
/// # Errors
/// Returns an error that names all missing rights, or another reason why Redis cannot be used.
pub(super) async fn check(
    opener: &Opener,
    connection: &Connection,
    prefix: &str,
) -> Result<(), Unavailable> {
    let results = try_all(opener, connection, prefix).await?;
    let mut rights = BTreeSet::new();
    for (right, result) in results {
        let Err(error) = result else { continue };
        match missing(&error) {
            Some(Missing::Command) => rights.insert(format!("+{right}")),
            Some(Missing::Key) => rights.insert(format!("~{prefix}*")),
            Some(Missing::Channel) => rights.insert(format!("&{prefix}*")),
            None if is_server_failure(&error) => return Err(Unavailable(describe(&error))),
            // Other errors are expected, for example because the script does not exist.
            None => false,
        };
    }
    if rights.is_empty() {
        return Ok(());
    }
    let rights: Vec<_> = rights.into_iter().collect();
    Err(Unavailable(format!(
        "the user of REDIS_URL does not have these rights: {}. docs/operations.md has a rule with all required rights",
        rights.join(" ")
    )))
}

fn timed_out() -> Unavailable {
    Unavailable("no answer within 1 s".into())
}

type Tried = Vec<(&'static str, RedisResult<()>)>;

async fn try_all(
    opener: &Opener,
    connection: &Connection,
    prefix: &str,
) -> Result<Tried, Unavailable> {
    // Commands of one connection are pipelined and run in this order.
    let sent = COMMANDS.iter();
    let sent = sent.map(|(right, words)| {
        let mut command = redis::Cmd::new();
        for word in *words {
            match word.strip_prefix("key:") {
                // All keys have the same hash tag, because RENAME and UNLINK need keys on one node of a cluster.
                Some(key) => command.arg(format!("{prefix}{{probe}}:{key}")),
                None if *word == CHANNEL => command.arg(format!("{prefix}probe")),
                None => command.arg(*word),
            };
        }
        let mut connection = connection.clone();
        async move {
            let answer = command.query_async::<Value>(&mut connection).await;
            (*right, answer.map(drop))
        }
    });
    let mut tried = timeout(LIMIT, join_all(sent)).await.map_err(|_| timed_out())?;
    // `listener` has its own time-out for each node.
    let mut listener = opener.listener().await?;
    let subscribed = timeout(LIMIT, listener.subscribe(format!("{prefix}probe"))).await;
    tried.push(("subscribe", subscribed.map_err(|_| timed_out())?));
    Ok(tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command of the scripts must be in the list. Otherwise a user without the right could connect, and would
    /// then fail repeatedly.
    #[test]
    fn every_command_of_the_scripts_is_tried() {
        let known: Vec<_> = COMMANDS.iter().map(|(right, _)| right.to_ascii_uppercase()).collect();
        let mut found = 0;
        for script in [
            include_str!("../limit/bucket.lua"),
            include_str!("../limit/instances.lua"),
            include_str!("../cache/remote.rs"),
            include_str!("../rankings/redis/abandon.lua"),
            include_str!("../rankings/redis/begin.lua"),
            include_str!("../rankings/redis/finish.lua"),
            include_str!("../rankings/redis/parts.lua"),
            include_str!("../rankings/redis/publish.lua"),
            include_str!("../rankings/redis/read.lua"),
            include_str!("../rankings/redis/status.lua"),
        ] {
            for call in ["call(", "ask("] {
                for (at, _) in script.match_indices(call) {
                    let rest = script[at + call.len()..].trim_start();
                    let Some(rest) = rest.strip_prefix('\'') else { continue };
                    let command = rest.split('\'').next().unwrap_or_default();
                    assert!(known.iter().any(|it| it == command), "{command} is not tried");
                    found += 1;
                }
            }
        }
        assert!(found > 40, "the scripts run {found} commands");
    }
}
