//! Polling of streams.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::accounts::Identity;
use crate::api::problem::Problem;
use crate::api::wire::{PollWire, StreamsWire};
use crate::http::extract::{Caller, language};
use crate::http::{Api, private_json};
use crate::streams::{LONGEST_WAIT, MOST_STREAMS, Poll, StreamName};

/// Read the events after some positions. With `wait`, the response is sent as soon as there is something.
///
/// A position is a stream and the sequence of the last event that you have. The response has everything that came after it,
/// in order and once, or `resync`. Without a sequence the stream starts at its head.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "pollEvents",
    params(
        ("stream" = Vec<String>, Query, min_items = 1, max_items = 50, explode,
            description = "Streams with positions, such as `announcements@17`, each once",
            example = json!(["announcements@17"])),
        ("epoch" = Option<String>, Query, description = "The epoch of the positions", max_length = 64),
        ("wait" = Option<u64>, Query, description = "Seconds to wait if there is nothing", minimum = 0, maximum = 25)
    ),
    responses((status = 200, body = PollWire)), security(("player" = []))
)]
pub async fn poll_events(
    api: web::Data<Api>,
    request: HttpRequest,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let poll = read_poll(request.query_string(), &caller)?;
    let ended = ended(&api, caller.identity);
    let polled = api.streams.poll(&poll, ended).await?;
    // A session that ended while the poll waited gets nothing more.
    api.accounts.check_revoked(caller.identity)?;
    let referred = api.notifications.referred(caller.player(), &polled.events).await?;
    let language = if referred.notifications.is_empty() {
        language(&request, None)
    } else {
        let state = api.game.look_up(caller.player()).await?;
        language(&request, state.record.player.language)
    };
    Ok(private_json(&PollWire::new(&polled, &referred, language)))
}

/// Returns when polls of the player must end: when its session ends, or the server stops.
async fn ended(api: &Api, identity: Identity) {
    let mut revocations = api.accounts.revocations().watch();
    let mut draining = api.health.watch_draining();
    loop {
        let is_draining = *draining.borrow_and_update();
        revocations.mark_unchanged();
        if is_draining || api.accounts.check_revoked(identity).is_err() {
            return;
        }
        tokio::select! {
            _ = revocations.changed() => {}
            _ = draining.changed() => {}
        }
    }
}

fn read_poll(query: &str, caller: &Caller) -> Result<Poll, Problem> {
    let parameters: Vec<(String, String)> = serde_urlencoded::from_str(query)
        .map_err(|error| Problem::malformed("query", error.to_string()))?;
    let mut poll =
        Poll { reader: caller.player(), positions: Vec::new(), epoch: None, wait: Duration::ZERO };
    let mut seen = Vec::new();
    for (name, value) in parameters {
        if name != "stream" && seen.contains(&name) {
            return Err(Problem::malformed(name, "must be given once"));
        }
        match name.as_str() {
            "stream" => poll.positions.push(read_position(&value)?),
            "epoch" => poll.epoch = Some(value),
            "wait" => poll.wait = read_wait(&value)?,
            _ => return Err(Problem::malformed(name, "is not a parameter of this call")),
        }
        seen.push(name);
    }
    let mut names: Vec<_> = poll.positions.iter().map(|&(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != poll.positions.len() {
        return Err(Problem::malformed("stream", "must name each stream once"));
    }
    if !(1..=MOST_STREAMS).contains(&names.len()) {
        let message = format!("must be given 1 to {MOST_STREAMS} times");
        return Err(Problem::malformed("stream", message));
    }
    Ok(poll)
}

/// A stream and a sequence, such as `announcements@17`, or a stream alone.
fn read_position(text: &str) -> Result<(StreamName, Option<i64>), Problem> {
    let (name, sequence) = text.split_once('@').map_or((text, None), |(a, b)| (a, Some(b)));
    let sequence = sequence.map(|sequence| {
        let is_plain = sequence.bytes().all(|byte| byte.is_ascii_digit());
        let number = sequence.parse().ok().filter(|_| is_plain);
        number.ok_or_else(|| {
            Problem::malformed("stream", format!("the position of {name} is not a whole number"))
        })
    });
    let sequence = sequence.transpose()?;
    let name = StreamName::parse(name).ok_or_else(|| no_stream(name))?;
    Ok((name, sequence))
}

fn no_stream(name: &str) -> Problem {
    crate::streams::Error::NoSuchStream(name.to_owned()).into()
}

fn read_wait(text: &str) -> Result<Duration, Problem> {
    let most = LONGEST_WAIT.as_secs();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| is_plain && *seconds <= most);
    let wrong = || Problem::malformed("wait", format!("must be a whole number from 0 to {most}"));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// List the streams to follow, each with its head.
///
/// To start: call this, read the resources, and then poll from these heads.
#[utoipa::path(
    get, path = "/api/v1/me/streams", tag = "events", operation_id = "listStreams",
    responses((status = 200, body = StreamsWire)), security(("player" = []))
)]
pub async fn list_streams(api: web::Data<Api>, caller: Caller) -> Result<HttpResponse, Problem> {
    let (epoch, streams) = api.streams.of_player(caller.player()).await?;
    Ok(private_json(&StreamsWire::new(epoch, &streams)))
}
