//! The configuration, and the commands besides the server.

use std::process::Command;

use crate::program::{Folder, Program, run};
use crate::redis::RedisServer;

#[test]
fn all_configuration_errors_are_reported_together() {
    let output = run(&[], &[("PORT", "many"), ("OFFLINE_CAP_SECONDS", "1"), ("LOG_FORMAT", "xml")]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for name in ["PORT", "OFFLINE_CAP_SECONDS", "LOG_FORMAT"] {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn an_external_database_without_a_secret_is_refused() {
    let output = run(&[], &[("DATABASE_URL", "postgres://me:hidden@localhost/game")]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("JWT_SECRET") && !message.contains("hidden"), "{message}");
}

#[test]
fn the_doctor_accepts_a_correct_setup_and_names_the_failed_check_of_a_wrong_one() {
    let folder = Folder::new("doctor");
    let data = ("DATA_DIR", folder.path().to_str().expect("text"));
    let free = [("PORT", "0"), ("METRICS_PORT", "0")];
    let output = run(&["doctor"], &[data, free[0], free[1]]);
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{message}");
    for part in ["ports", "database", "schema", "clock", "writes", "connections"] {
        assert!(message.contains(&format!("ok    {part}")), "{message}");
    }
    let secret = "s".repeat(32);
    let url = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let output = run(&["doctor"], &[url, ("JWT_SECRET", &secret), free[0], free[1]]);
    let message = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("FAULT database") && message.contains("DATABASE_URL"), "{message}");
}

#[test]
fn the_doctor_says_whether_sockets_reach_the_server() {
    let examine = |live: &str| {
        let folders = [Folder::new("live"), Folder::new("live_doctor")];
        let [served, examined] =
            folders.each_ref().map(|it| ("DATA_DIR", it.path().to_str().expect("text")));
        let server = Program::start(&[served, ("LIVE", live)]);
        let variables = [examined, ("PORT", "0"), ("METRICS_PORT", "0")];
        let output = run(&["doctor", "--url", &server.base], &variables);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, message) = examine("on");
    assert!(code == Some(0) && message.contains("ok    sockets"), "{message}");
    let (code, message) = examine("off");
    assert!(code == Some(1) && message.contains("FAULT sockets"), "{message}");
    assert!(message.contains("404") && message.contains("LIVE=on"), "{message}");
    for address in ["play.example.org", "ftp://play.example.org"] {
        assert_eq!(run(&["doctor", "--url", address], &[]).status.code(), Some(2), "{address}");
    }
}

#[test]
fn migrating_twice_is_harmless() {
    let folder = Folder::new("migrate");
    let data = ("DATA_DIR", folder.path().to_str().expect("text"));
    assert!(run(&["migrate"], &[data]).status.success());
    assert!(run(&["migrate"], &[data]).status.success());
}

#[test]
fn help_lists_the_settings_and_unknown_commands_are_refused() {
    let output = run(&["--help"], &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("OFFLINE_CAP_SECONDS"));
    assert_eq!(run(&["dance"], &[]).status.code(), Some(2));
}

#[test]
fn an_unknown_parameter_of_the_database_url_is_named() {
    let secret = ("JWT_SECRET", &*"s".repeat(32));
    let url = ("DATABASE_URL", "postgresql://me:hidden@localhost/game?pgbouncer=true");
    for command in [&["doctor"][..], &[]] {
        let output = run(command, &[url, secret]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("pgbouncer") && message.contains("DATABASE_POOLER"), "{message}");
        assert!(!message.contains("hidden"), "{message}");
    }
}

#[test]
fn the_doctor_names_missing_redis_permissions() {
    let (folder, redis) = (Folder::new("rights"), RedisServer::start());
    redis.command("ACL SETUSER half on >pw ~idlewatt:* &idlewatt:* +@all -@scripting -@pubsub");
    redis.command("ACL SETUSER whole on >pw ~idlewatt:* &idlewatt:* +@all -@dangerous");
    let url = |user: &str| redis.url().replace("redis://", &format!("redis://{user}:pw@"));
    let diagnose = |user| {
        let data = ("DATA_DIR", folder.path().to_str().expect("text"));
        let output = run(
            &["doctor"],
            &[data, ("REDIS_URL", &url(user)), ("PORT", "0"), ("METRICS_PORT", "0")],
        );
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (succeeded, message) = diagnose("half");
    let fault = message.lines().find(|line| line.starts_with("FAULT redis")).unwrap_or_default();
    assert!(
        !succeeded && fault.contains("+evalsha +publish +script|load +subscribe."),
        "{message}"
    );
    assert!(!fault.contains("+get ") && !fault.contains("pw"), "{message}");
    let (succeeded, message) = diagnose("whole");
    assert!(succeeded && message.contains("ok    redis"), "{message}");
}

/// The environment has precedence over a `.env` file.
#[test]
fn a_dotenv_file_is_read() {
    let folder = Folder::new("dotenv");
    std::fs::create_dir_all(folder.path()).expect("created");
    std::fs::write(folder.path().join(".env"), "PORT=many\nHOST=nowhere\n").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_idlewatt"))
        .current_dir(folder.path())
        .env("HOST", "127.0.0.1")
        .output()
        .expect("the program runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("PORT") && !message.contains("HOST"), "{message}");
}

#[test]
fn a_dotenv_file_is_read_literally_and_its_errors_name_the_line() {
    let folder = Folder::new("dotenv-form");
    std::fs::create_dir_all(folder.path()).expect("made");
    let load = |text: &str| {
        std::fs::write(folder.path().join(".env"), text).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_idlewatt"))
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", "/home")
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let message = load("\u{feff}ROLE=a$HOME\nPORT=b${HOME}c\\d\n");
    assert!(message.contains("`a$HOME`") && message.contains("`b${HOME}c\\d`"), "{message}");
    let message = load("PORT=1\n\nJWT_SECRET=\"hidden\n");
    assert!(message.contains(".env: line 3") && !message.contains("hidden"), "{message}");
}
