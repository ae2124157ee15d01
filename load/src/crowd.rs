//! Many players at once, each with one request in flight. Each request of a player goes to the next server, as with a
//! load balancer without sticky sessions. A player whose request is refused waits for the answer's `Retry-After`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::flood::{Tally, requests, summarize};
use crate::http::{Connection, Target};
use crate::record::Times;

/// The options of `crowd`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address of a server; may be given several times
    #[arg(long, required = true)]
    pub base: Vec<String>,
    /// A file with one access token per line
    #[arg(long)]
    pub tokens: PathBuf,
    /// Players, each with one request in flight; tokens are used in turn
    #[arg(long, default_value_t = 5000)]
    pub players: usize,
    /// Duration of the test in seconds
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
}

struct Crowd {
    targets: Vec<Target>,
    /// Rendered requests: for each server, one per token.
    requests: Vec<Vec<String>>,
    players: usize,
    end: Instant,
    tally: RefCell<Tally>,
}

/// Runs the players until the end and prints the results.
pub async fn run(arguments: &Arguments) -> Result<(), String> {
    let targets: Vec<_> =
        arguments.base.iter().map(|base| Target::parse(base)).collect::<Result<_, _>>()?;
    let of_target = |target| requests(target, &arguments.tokens);
    let requests = targets.iter().map(of_target).collect::<Result<_, _>>()?;
    let began = Instant::now();
    let crowd = Rc::new(Crowd {
        targets,
        requests,
        players: arguments.players,
        end: began + Duration::from_secs(arguments.seconds),
        tally: RefCell::new(Tally::new()),
    });
    let players: Vec<_> = (0..arguments.players)
        .map(|number| tokio::task::spawn_local(play(Rc::clone(&crowd), number)))
        .collect();
    for player in players {
        player.await.map_err(|error| error.to_string())?;
    }
    summarize(&crowd.tally.borrow(), began.elapsed());
    Ok(())
}

async fn play(crowd: Rc<Crowd>, number: usize) {
    let mut connections: Vec<_> = crowd.targets.iter().map(|_| Connection::default()).collect();
    let mut turn = 0;
    while Instant::now() < crowd.end {
        // `turn` selects the server and the token at once, so that the next request of a token goes to another server.
        let server = (number + turn) % crowd.targets.len();
        let requests = &crowd.requests[server];
        let request = &requests[(number + turn * crowd.players) % requests.len()];
        let sent = Instant::now();
        let result = connections[server].send_text(&crowd.targets[server], request).await;
        let times = Times { due: sent, sent, answered: Instant::now() };
        crowd.tally.borrow_mut().record(times, &result);
        if let Some(seconds) = result.ok().and_then(|answer| answer.retry_after) {
            let wait = Duration::from_secs(seconds);
            sleep(wait.min(crowd.end.saturating_duration_since(times.answered))).await;
        }
        turn += 1;
    }
}
