//! The embedded database.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;

use serde_json::json;

use crate::program::{Folder, Program, command, database_pid, run, runs, send_signal, until};

#[tokio::test]
async fn answered_changes_survive_a_kill_of_the_server() {
    let folder = Folder::new("killed");
    let settings = [("DATA_DIR", folder.path().to_str().expect("text"))];
    let server = Program::start(&settings);
    let token = server.guest().await;
    let database = database_pid(folder.path());
    let mut answered = 0;
    for _ in 0..20 {
        let clicks = Some(json!({ "clicks": 1 }));
        let (status, _) = server.call("POST", "/api/v1/me/clicks", &token, clicks).await;
        assert_eq!(status, 200);
        answered += 1;
    }
    server.signal("KILL");
    until("the database ends with its server", || (!runs(database)).then_some(()));
    let again = Program::start(&settings);
    let (status, state) = again.call("GET", "/api/v1/me", &token, None).await;
    assert_eq!((status, state["version"].as_u64()), (200, Some(answered)));
}

#[tokio::test]
async fn a_logout_survives_a_restart() {
    let folder = Folder::new("logout");
    let settings = [("DATA_DIR", folder.path().to_str().expect("text"))];
    let mut server = Program::start(&settings);
    let (logged_out, logged_in) = (server.guest().await, server.guest().await);
    let (status, _) = server.call("POST", "/api/v1/auth/logout", &logged_out, None).await;
    assert_eq!(status, 204);
    server.signal("INT");
    assert!(server.wait().success());
    let again = Program::start(&settings);
    assert_eq!(again.call("GET", "/api/v1/me", &logged_out, None).await.0, 401);
    assert_eq!(again.call("GET", "/api/v1/me", &logged_in, None).await.0, 200);
}

#[test]
fn a_second_server_on_the_same_data_folder_ends_with_an_error() {
    let folder = Folder::new("twice");
    let settings =
        [("DATA_DIR", folder.path().to_str().expect("text")), ("PORT", "0"), ("METRICS_PORT", "0")];
    let first = Program::start(&settings);
    let second = run(&[], &settings);
    let message = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(
        message.contains("DATA_DIR") && message.contains(&first.pid().to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn a_killed_database_is_restarted() {
    let folder = Folder::new("revived");
    let server = Program::start(&[("DATA_DIR", folder.path().to_str().expect("text"))]);
    let token = server.guest().await;
    let clicks = || Some(json!({ "clicks": 1 }));
    assert_eq!(server.call("POST", "/api/v1/me/clicks", &token, clicks()).await.0, 200);
    let database = database_pid(folder.path());
    send_signal(database, "KILL");
    until("the database has died", || (!runs(database)).then_some(()));
    let mut refused = 0;
    loop {
        let (status, answer) = server.call("POST", "/api/v1/me/clicks", &token, clicks()).await;
        if status == 200 {
            assert_eq!(answer["state"]["version"], 2);
            break;
        }
        assert_eq!((status, &answer["code"]), (503, &json!("unavailable")));
        refused += 1;
        assert!(refused < 10_000, "requests are refused although the database was restarted");
    }
}

#[test]
fn the_error_of_a_missing_postgres_names_what_to_install() {
    let folder = Folder::new("missing");
    let output = run(
        &[],
        &[
            ("DATA_DIR", folder.path().to_str().expect("text")),
            ("PG_BINDIR", "/nowhere"),
            ("PORT", "0"),
            ("METRICS_PORT", "0"),
        ],
    );
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("apt-get install postgresql") && message.contains("DATABASE_URL"),
        "{message}"
    );
}

#[tokio::test]
async fn a_long_data_folder_path_does_not_exceed_the_limit_of_socket_paths() {
    let folder = Folder::new("deep");
    let deep = folder.path().join("a-folder-with-a-name-of-some-length/".repeat(4));
    let server = Program::start(&[("DATA_DIR", deep.to_str().expect("text"))]);
    server.guest().await;
}

/// Skipped unless run as root: only then the database runs as another user.
#[test]
fn a_folder_that_the_database_user_cannot_enter_is_named() {
    use std::os::unix::fs::PermissionsExt;
    if !std::process::Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        return;
    }
    let folder = Folder::new("inaccessible");
    let inaccessible = folder.path().join("private");
    std::fs::create_dir_all(&inaccessible).expect("made");
    std::fs::set_permissions(&inaccessible, std::fs::Permissions::from_mode(0o700)).expect("set");
    let data = inaccessible.join("data");
    let settings =
        [("DATA_DIR", data.to_str().expect("text")), ("PORT", "0"), ("METRICS_PORT", "0")];
    let output = run(&[], &settings);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains(&format!("{} bars", inaccessible.display())), "{message}");
}

#[test]
fn a_data_folder_name_may_contain_special_characters() {
    for name in ["a,b", "a \"b\"", " a=b'; c"] {
        let folder = Folder::new(name);
        let data = ("DATA_DIR", folder.path().to_str().expect("text"));
        for _ in 0..2 {
            let output = run(&["migrate"], &[data]);
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {message}");
        }
    }
}

/// Some platforms run containers with a user id that has no name. Skipped unless run as root.
#[test]
fn the_error_of_a_user_id_without_a_name_names_the_solution() {
    const UID: u32 = 1_234_567;
    let folder = Folder::new("nameless");
    fs::create_dir_all(folder.path()).expect("a folder");
    if chown(folder.path(), Some(UID), Some(0)).is_err() {
        return;
    }
    let settings = [("DATA_DIR", folder.path().to_str().expect("text"))];
    let migrate = || {
        let mut command = command(&settings);
        let output = command.arg("migrate").uid(UID).gid(0).output().expect("the program runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = migrate();
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains(&format!("`idlewatt:x:{UID}:0::/:")), "{message}");
    assert!(message.contains("DATABASE_URL"), "{message}");
}
