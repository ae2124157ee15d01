//! The `idlewatt` program.

use std::process::ExitCode;

use clap::Parser;
use idlewatt::cli::{Arguments, Command};
use idlewatt::config::{Config, Fault, environment};
use idlewatt::{app, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for an invalid configuration.
const CONFIGURATION_FAULT: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.command == Some(Command::Openapi) {
        return app::print_document().map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    }
    let config = match environment().map_err(|fault| vec![fault]).and_then(|it| Config::load(&it)) {
        Ok(config) => config,
        Err(faults) => return report_faults(&faults),
    };
    let telemetry = telemetry::start(&config.log, &config.export);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(async {
        match arguments.command.unwrap_or_default() {
            Command::Serve => app::serve(config).await.map(|()| true),
            Command::Migrate => app::migrate(&config).await.map(|()| true),
            // Handled above, because it needs no configuration.
            Command::Openapi => Ok(true),
            Command::Doctor { url } => Ok(app::diagnose(&config, url.as_ref()).await),
            Command::Jobs(command) => app::manage_jobs(&config, command).await,
            Command::Seed { players } => app::seed(&config, players).await.map(|()| true),
            Command::Healthcheck { ready } => app::check_health(&config.http, ready).map(|()| true),
        }
    });
    // Does not wait for blocking tasks, for example a running password hash.
    runtime.shutdown_background();
    drop(telemetry);
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "logging has not started yet")]
fn report_faults(faults: &[Fault]) -> ExitCode {
    eprintln!("The configuration is invalid:");
    for fault in faults {
        eprintln!("  {fault}");
    }
    ExitCode::from(CONFIGURATION_FAULT)
}

#[expect(clippy::print_stderr, reason = "the final error must not depend on the log filter")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("idlewatt: {error}");
    ExitCode::FAILURE
}
