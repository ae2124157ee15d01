//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::config::VARIABLES;

/// The backend of an idle-energy game.
#[derive(Debug, Parser)]
#[command(name = "idlewatt", version, about, after_help = variables())]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    #[default]
    Serve,
    /// Bring the database's schema up to date, and end
    Migrate,
    /// Check the configuration and every dependency, and say what to mend
    Doctor,
    /// Ask the server of the same configuration whether it lives; the exit code is 0 if so
    Healthcheck {
        /// Ask whether it should be sent requests
        #[arg(long)]
        ready: bool,
    },
    /// Add plausible players to the database, and end
    Seed {
        /// How many
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        players: u64,
    },
    /// Print the OpenAPI document; the configuration is not read
    Openapi,
    /// Look at the jobs, and mend what failed
    #[command(subcommand)]
    Jobs(JobsCommand),
}

/// What to do about jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum JobsCommand {
    /// List jobs, newest first
    List {
        /// Only those of this status
        #[arg(long)]
        status: Option<JobStatusArgument>,
        /// Jobs at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Let a dead letter, or a job that waits, run at once with all its attempts
    Retry { id: Uuid },
    /// Remove a job; nothing comes of one that runs
    Discard { id: Uuid },
}

/// A status of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JobStatusArgument {
    Queued,
    Running,
    Done,
    /// The last attempt has failed
    Dead,
}

/// The variables in the help text.
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
        let arguments = Arguments::try_parse_from(["idlewatt"]).expect("nothing is needed");
        assert_eq!(arguments.command.unwrap_or_default(), Command::Serve);
        assert!(Arguments::try_parse_from(["idlewatt", "dance"]).is_err());
        assert!(Arguments::try_parse_from(["idlewatt", "jobs", "retry", "all"]).is_err());
    }
}
