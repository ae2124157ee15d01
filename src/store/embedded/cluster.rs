//! The database's files, and starting the processes that use them. All of this runs on the supervisor's thread.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::binaries::{self, Binaries};
use super::owner::Owner;
use super::{Error, PORT, Settings, USER, io_error, socket_folder};

/// How often the state of a process is checked.
const POLL: Duration = Duration::from_millis(5);
/// If the server was killed, its database process may still be running at the next start. It gets a signal if it has
/// not stopped by itself within this time.
const PREDECESSOR_SIGNAL_AFTER: Duration = Duration::from_secs(1);
/// The start fails if that process has not stopped within this time.
const PREDECESSOR_LIMIT: Duration = Duration::from_secs(30);
/// Interval of the log lines about a start that has not finished.
const SLOW_START: Duration = Duration::from_secs(10);
/// If the log file is larger, the next start truncates it.
const MAX_LOG_BYTES: u64 = 16 << 20;

/// A Postgres cluster: its folders, and how to run it.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The folder that contains everything else.
    folder: PathBuf,
    /// The data folder of Postgres.
    data: PathBuf,
    /// The folder of the unix socket.
    sockets: PathBuf,
    /// The log file of Postgres.
    log: PathBuf,
    binaries: Binaries,
    owner: Owner,
    settings: Settings,
}

impl Cluster {
    /// Finds the programs and the user that are needed to run the database in `folder`.
    ///
    /// # Errors
    /// Returns what is missing or wrong.
    pub(super) fn find(folder: PathBuf, settings: Settings) -> Result<Self, Error> {
        let binaries = binaries::find(&settings).ok_or(Error::NotInstalled)?;
        let owner = Owner::choose()?;
        owner.check_access(&folder)?;
        let sockets = socket_folder(&folder);
        let (data, log) = (folder.join("postgres"), folder.join("postgres.log"));
        Ok(Self { folder, data, sockets, log, binaries, owner, settings })
    }

    /// Creates the cluster if it is missing, and waits until the database process of a killed server has stopped.
    /// Cancel safe.
    ///
    /// # Errors
    /// Returns why the database cannot be started.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        self.owner.make_private(&self.sockets)?;
        if !self.data.exists() {
            self.create().await?;
        }
        self.await_predecessor().await
    }

    /// Runs `initdb` in a temporary folder and renames that folder, so that an incomplete cluster is never used.
    async fn create(&self) -> Result<(), Error> {
        let temporary = self.folder.join("postgres.new");
        if temporary.exists() {
            fs::remove_dir_all(&temporary)
                .map_err(io_error(format!("removing {}", temporary.display())))?;
        }
        self.owner.make_private(&temporary)?;
        let mut command = Command::new(&self.binaries.initdb);
        command
            .arg("--pgdata")
            .arg(&temporary)
            // No password is needed, because only the owner can enter the socket's folder.
            .args(["--auth=trust", "--username", USER, "--encoding=UTF8", "--locale=C"])
            .args(["--data-checksums", "--no-instructions"])
            // The messages must be in English, because one of them is recognized below.
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        self.run_as_owner_and_end_with_thread(&mut command);
        let output = command.output().await.map_err(io_error("running initdb"))?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            if output.contains("could not look up effective user ID") {
                return Err(Error::NoUserName { uid: rustix::process::geteuid().as_raw() });
            }
            return Err(Error::Failed { program: "initdb", output });
        }
        fs::rename(&temporary, &self.data)
            .map_err(io_error(format!("creating {}", self.data.display())))
    }

    /// Waits until the database process of a killed server has stopped, and sends it a signal if it does not stop by
    /// itself.
    async fn await_predecessor(&self) -> Result<(), Error> {
        let file = self.data.join("postmaster.pid");
        let Some(pid) = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse().ok())
            .and_then(Pid::from_raw)
        else {
            return Ok(());
        };
        let started = Instant::now();
        let mut is_signalled = false;
        // A process that shuts down removes the file. A process that crashed does not.
        while file.exists() && test_kill_process(pid).is_ok() && is_of_cluster(pid, &self.data) {
            if started.elapsed() > PREDECESSOR_LIMIT {
                let (pid, data) = (pid.as_raw_nonzero(), self.data.display());
                let output = format!("process {pid} still runs in {data}");
                return Err(Error::Failed { program: "postgres", output });
            }
            if !is_signalled && started.elapsed() > PREDECESSOR_SIGNAL_AFTER {
                is_signalled = kill_process(pid, Signal::INT).is_ok();
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Starts the database's process.
    ///
    /// # Errors
    /// Returns an error if the process cannot be started. Later failures are errors of [`Cluster::await_ready`].
    pub(super) fn spawn(&self) -> Result<Child, Error> {
        let mut command = Command::new(&self.binaries.postgres);
        let socket_setting = socket_setting(&self.sockets);
        command.arg("-D").arg(&self.data).arg("-c").arg(socket_setting);
        let port = format!("port={PORT}");
        for setting in [
            port.as_str(),
            "listen_addresses=",
            "unix_socket_permissions=0700",
            "max_connections=100",
            "shared_buffers=128MB",
            "max_wal_size=2GB",
            "log_destination=stderr",
            "logging_collector=off",
            "log_timezone=UTC",
            "timezone=UTC",
        ]
        .into_iter()
        .chain(self.settings.extra.iter().map(String::as_str))
        {
            command.arg("-c").arg(setting);
        }
        let log = open_log(&self.log)?;
        let errors = log.try_clone().map_err(io_error("opening the database's log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        self.run_as_owner_and_end_with_thread(&mut command);
        command.spawn().map_err(io_error("starting postgres"))
    }

    /// Waits until the process accepts connections. There is no time limit, because recovery after a crash may take
    /// long.
    ///
    /// # Errors
    /// If the process ends, returns [`Error::Failed`] with the last lines of the log.
    pub(super) async fn await_ready(&self, child: &mut Child) -> Result<(), Error> {
        let pid = child.id().map(|pid| pid.to_string());
        let ready = async {
            let started = Instant::now();
            let mut logged_at = started;
            loop {
                // The first line is the process id and the eighth line is the state. The file may be left from an
                // earlier process, so the process id is compared.
                let status = fs::read_to_string(self.data.join("postmaster.pid"));
                let status = status.unwrap_or_default();
                let mut lines = status.lines();
                if lines.next() == pid.as_deref() && lines.nth(6).map(str::trim) == Some("ready") {
                    return;
                }
                if logged_at.elapsed() > SLOW_START {
                    logged_at = Instant::now();
                    let (seconds, log) = (started.elapsed().as_secs(), self.log.display());
                    tracing::warn!(seconds, %log, "the embedded database is still starting");
                }
                sleep(POLL).await;
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            ended = child.wait() => {
                ended.map_err(io_error("waiting for postgres"))?;
                Err(Error::Failed { program: "postgres", output: last_lines(&self.log) })
            }
        }
    }

    /// Configures a process to run as the database's owner, and to be signalled when this thread ends.
    fn run_as_owner_and_end_with_thread(&self, command: &mut Command) {
        command.current_dir("/");
        self.owner.run_as(command.as_std_mut());
        // In its own process group the process does not get the signal of Ctrl-C in the terminal. Only the server gets
        // it, and stops the database after everything that uses it.
        command.process_group(0);
        end_with_this_thread(command);
    }
}

/// Whether a process is the Postgres of this cluster. The process id may have been reused by another process, which
/// must not be waited for or stopped.
fn is_of_cluster(pid: Pid, data: &Path) -> bool {
    let pid = pid.as_raw_nonzero();
    // The working directory of a postmaster is its data folder.
    if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) {
        return folder == data;
    }
    let mut ps = std::process::Command::new("ps");
    let output = ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy())
    })
}

/// The setting for the socket's folder. Postgres parses it as a comma-separated list, so the path is quoted.
fn socket_setting(folder: &Path) -> OsString {
    let mut setting = b"unix_socket_directories=\"".to_vec();
    for &byte in folder.as_os_str().as_bytes() {
        if byte == b'"' {
            setting.push(byte);
        }
        setting.push(byte);
    }
    setting.push(b'"');
    OsString::from_vec(setting)
}

fn open_log(path: &Path) -> Result<File, Error> {
    let large = fs::metadata(path).is_ok_and(|it| it.len() > MAX_LOG_BYTES);
    OpenOptions::new()
        .create(true)
        .write(true)
        .append(!large)
        .truncate(large)
        .open(path)
        .map_err(io_error(format!("opening {}", path.display())))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe call sets what a child does between fork and exec")]
fn end_with_this_thread(command: &mut Command) {
    use rustix::process::{getppid, set_parent_process_death_signal};
    let server = Pid::from_raw(std::process::id().cast_signed());
    // SAFETY: the closure makes two system calls, which are safe after fork, and nothing else.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::INT))?;
            // If the server ended before the line above, the signal would never be sent.
            if getppid() == server { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

/// Not possible on other systems. There the next start finds the process by `postmaster.pid` and stops it.
#[cfg(not(target_os = "linux"))]
fn end_with_this_thread(_: &mut Command) {}
