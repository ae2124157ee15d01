//! The user that runs Postgres. If the server runs as root, this is another user, because Postgres refuses to run as
//! root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{Error, io_error, set_mode};

/// The user that owns the cluster and runs the database.
#[derive(Debug)]
pub(super) enum Owner {
    /// The user that runs the server.
    Same,
    /// Another user. The server runs as root.
    Other { name: &'static str, uid: u32, gid: u32 },
}

impl Owner {
    /// The server's own user. For root it is `postgres`, or `nobody` if there is no such user.
    pub(super) fn choose() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Same);
        }
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            Some(Self::Other { name, uid: number("-u", name)?, gid: number("-g", name)? })
        });
        found.ok_or(Error::NoUser)
    }

    pub(super) fn run_as(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = *self {
            command.uid(uid).gid(gid);
        }
    }

    /// Creates the folder if it is missing, and makes it accessible to the owner only.
    pub(super) fn make_private(&self, folder: &Path) -> Result<(), Error> {
        let what = || format!("creating {}", folder.display());
        fs::create_dir_all(folder).map_err(io_error(what()))?;
        set_mode(folder, 0o700)?;
        if let Self::Other { uid, gid, .. } = *self {
            chown(folder, Some(uid), Some(gid)).map_err(io_error(what()))?;
        }
        Ok(())
    }

    /// Checks that the owner can enter `folder` and all folders above it.
    pub(super) fn check_access(&self, folder: &Path) -> Result<(), Error> {
        let Self::Other { name, uid, gid } = *self else { return Ok(()) };
        for ancestor in folder.ancestors() {
            let what = format!("reading {}", ancestor.display());
            let metadata = fs::metadata(ancestor).map_err(io_error(what))?;
            let mode = metadata.permissions().mode();
            let can_enter = if metadata.uid() == uid {
                mode & 0o100
            } else if metadata.gid() == gid {
                mode & 0o010
            } else {
                mode & 0o001
            };
            if can_enter == 0 {
                let folder = ancestor.display().to_string();
                return Err(Error::AccessDenied { folder, user: name.to_owned() });
            }
        }
        Ok(())
    }
}

/// The user id (`-u`) or group id (`-g`) of a user, as the program `id` prints it.
fn number(flag: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, user]).output().ok()?;
    output.status.success().then_some(())?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
