//! Tracing spans of calls to Redis. They contain the names of commands, but no keys or values.

use redis::{Arg, Cmd, Pipeline, RedisFuture};
use tracing::Instrument;
use tracing::field::Empty;

/// Wraps a future in a span. If spans are not recorded, returns the future itself and does not call `name`.
pub(super) fn traced<'a, T: 'a>(
    answer: RedisFuture<'a, T>,
    name: impl FnOnce() -> String,
) -> RedisFuture<'a, T> {
    let span = tracing::trace_span!(
        target: "idlewatt::spans",
        "redis",
        otel.kind = "client",
        otel.name = Empty,
        db.system.name = "redis",
    );
    // Avoids another allocation.
    if span.is_disabled() {
        return answer;
    }
    span.record("otel.name", name());
    Box::pin(answer.instrument(span))
}

/// The name of a command, such as `EVALSHA`.
pub(super) fn command_name(command: &Cmd) -> String {
    match command.args_iter().next() {
        Some(Arg::Simple(name)) => String::from_utf8_lossy(name).to_ascii_uppercase(),
        _ => "command".to_owned(),
    }
}

/// The names of a pipeline's commands, such as `PIPELINE GET PTTL`: each once, in the order of their first use.
pub(super) fn pipeline_name(commands: &Pipeline) -> String {
    let mut names = vec!["PIPELINE".to_owned()];
    for name in commands.cmd_iter().map(command_name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_named_by_its_commands_only() {
        let mut command = redis::cmd("set");
        command.arg("a key").arg("a value");
        assert_eq!(command_name(&command), "SET");
        let mut pipeline = redis::pipe();
        pipeline.publish("a channel", "one").publish("a channel", "two").del("a key");
        assert_eq!(pipeline_name(&pipeline), "PIPELINE PUBLISH DEL");
        assert_eq!(pipeline_name(&redis::pipe()), "PIPELINE");
    }

    #[tokio::test]
    async fn without_a_collector_the_future_is_not_wrapped() {
        let answer: RedisFuture<'_, u8> = Box::pin(async { Ok(7) });
        let before = &raw const *answer;
        let traced = traced(answer, || unreachable!("no collector needs a name"));
        assert!(std::ptr::addr_eq(before, &raw const *traced), "it is not boxed again");
        assert_eq!(traced.await.expect("an answer"), 7);
    }
}
