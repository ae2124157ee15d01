//! The folder in which a server with an embedded database stores its data. A lock allows one server at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{path} is in use by another running server{pid}: stop that server, or set DATA_DIR to another folder"
    )]
    InUse { path: String, pid: String },
    #[error("{path} cannot be used as DATA_DIR: {source}")]
    Io { path: String, source: io::Error },
}

/// The folder. It is locked until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the folder if it is missing and locks it.
    ///
    /// # Errors
    /// Returns [`Error::InUse`] if another server has locked the folder, and [`Error::Io`] if it cannot be used.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { path: path.display().to_string(), source };
        if !path.exists() {
            fs::create_dir_all(path).map_err(failed)?;
            // A server that runs as root starts the database as another user, who must be able to enter this folder.
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        let path = path.canonicalize().map_err(failed)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = lock.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let pid = if known { format!(" (process {})", pid.trim()) } else { String::new() };
                return Err(Error::InUse { path: path.display().to_string(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret that signs access tokens. The first call generates and stores it; later calls return the same one.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if its file cannot be read or written.
    pub fn secret(&self) -> Result<String, Error> {
        let path = self.path.join("jwt_secret");
        let failed = |source| Error::Io { path: path.display().to_string(), source };
        match fs::read_to_string(&path) {
            Ok(secret) if secret.trim().len() >= 32 => return Ok(secret.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 48]>());
        // Written to another file and renamed, so that a crash leaves no partial secret.
        let draft = self.path.join("jwt_secret.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed)?;
        file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&draft, &path).map_err(failed)?;
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_and_keeps_its_secret() {
        let path = std::env::temp_dir()
            .join(format!("idlewatt-data-dir-{}", uuid::Uuid::from_u128(rand::random())));
        let first = DataDir::open(&path).expect("unlocked");
        let second = DataDir::open(&path).expect_err("locked").to_string();
        assert!(second.contains(&std::process::id().to_string()), "{second}");
        let secret = first.secret().expect("generated");
        assert!(secret.len() >= 32);
        drop(first);
        let again = DataDir::open(&path).expect("unlocked again");
        assert_eq!(again.secret().expect("kept"), secret);
        fs::remove_dir_all(path).expect("removed");
    }
}
