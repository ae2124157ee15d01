//! Finds the installed programs of Postgres.

use std::env;
use std::path::{Path, PathBuf};

use super::Settings;

/// The paths of the programs that the embedded database needs.
#[derive(Debug)]
pub(super) struct Binaries {
    pub(super) postgres: PathBuf,
    pub(super) initdb: PathBuf,
}

/// Folders in which distributions install each major version in its own subfolder.
const VERSIONED: [&str; 3] = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];
/// Folders that contain the programs themselves.
const PLAIN: [&str; 3] = ["/usr/pgsql/bin", "/usr/local/pgsql/bin", "/usr/libexec/postgresql"];

/// If the settings name a folder, searches only that folder. Otherwise searches the search path, and then the usual
/// folders, newest version first.
pub(super) fn find(settings: &Settings) -> Option<Binaries> {
    if let Some(folder) = &settings.bin_dir {
        return in_folder(folder);
    }
    let path = settings.search_path.clone().unwrap_or_default();
    env::split_paths(&path).chain(usual_folders()).find_map(|folder| in_folder(&folder))
}

fn in_folder(folder: &Path) -> Option<Binaries> {
    let (postgres, initdb) = (folder.join("postgres"), folder.join("initdb"));
    (postgres.is_file() && initdb.is_file()).then_some(Binaries { postgres, initdb })
}

fn usual_folders() -> impl Iterator<Item = PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = VERSIONED
        .iter()
        .filter_map(|folder| Path::new(folder).read_dir().ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").unwrap_or(&name);
            Some((version.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).chain(PLAIN.iter().map(PathBuf::from))
}
