//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use url::Url;
use uuid::Uuid;

use crate::config::VARIABLES;

/// The backend of an idle-energy game.
#[derive(Debug, Parser)]
#[command(name = "idlewatt", version, about, after_help = variables())]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    #[default]
    Serve,
    /// Update the database's schema
    Migrate,
    /// Check the configuration and every dependency, and print what to fix
    Doctor {
        /// Also check whether sockets reach the running server at its public address: `https://host`
        #[arg(long, value_parser = public_address)]
        url: Option<Url>,
    },
    /// Ask the server that runs with the same configuration whether it is alive; the exit code is 0 if so
    Healthcheck {
        /// Ask whether it should receive requests
        #[arg(long)]
        ready: bool,
    },
    /// Add plausible players to the database
    Seed {
        /// The number of players
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        players: u64,
    },
    /// Print the OpenAPI document; needs no configuration
    Openapi,
    /// List jobs, retry and discard them
    #[command(subcommand)]
    Jobs(JobsCommand),
}

/// The commands for jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum JobsCommand {
    /// List jobs, newest first
    List {
        /// Only jobs with this status
        #[arg(long)]
        status: Option<JobStatusArgument>,
        /// The largest number of jobs
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Make a failed or waiting job due at once, with its full number of attempts
    Retry { id: Uuid },
    /// Remove a job; if it is running, its result is discarded
    Discard { id: Uuid },
}

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JobStatusArgument {
    Queued,
    Running,
    Done,
    /// The last attempt failed
    Dead,
}

fn public_address(text: &str) -> Result<Url, String> {
    let address = Url::parse(text).map_err(|error| error.to_string())?;
    if address.host().is_some() && ["http", "https"].contains(&address.scheme()) {
        Ok(address)
    } else {
        Err("must have the form https://host or http://host:port".into())
    }
}

/// The list of variables in the help text.
fn variables() -> String {
    let mut text =
        String::from("Environment variables (a .env file in the working folder is read too):\n");
    for variable in &VARIABLES {
        let default = match variable.default {
            "" => String::new(),
            default => format!(" [{default}]"),
        };
        text.extend(["  ", variable.name, &default, "\n      ", variable.help, "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_names_every_variable_and_command() {
        let help = Arguments::command().render_long_help().to_string();
        for variable in &VARIABLES {
            assert!(help.contains(variable.name), "{}", variable.name);
        }
        for command in ["serve", "migrate", "doctor", "healthcheck", "seed", "openapi", "jobs"] {
            assert!(help.contains(command), "{command}");
        }
    }

    #[test]
    fn serving_is_the_default() {
        let arguments = Arguments::try_parse_from(["idlewatt"]).expect("no argument is required");
        assert_eq!(arguments.command.unwrap_or_default(), Command::Serve);
        assert!(Arguments::try_parse_from(["idlewatt", "dance"]).is_err());
        assert!(Arguments::try_parse_from(["idlewatt", "jobs", "retry", "all"]).is_err());
    }
}
