//! The database of the server: an external or an embedded one.

use std::path::Path;

use super::Error;
use crate::config::{DatabaseConfig, Encryption, Secret};
use crate::data_dir::DataDir;
use crate::store::embedded::{self, Embedded};
use crate::store::{self, Endpoint, Identity};

/// The address of the database and, if it is embedded, its process, which runs as long as this value exists.
pub struct Database {
    endpoint: Endpoint,
    /// `None` for an external database, and for an embedded one that another process runs.
    process: Option<EmbeddedProcess>,
}

struct EmbeddedProcess {
    // Fields are dropped in order, so the database stops before its folder is unlocked.
    postgres: Embedded,
    folder: DataDir,
}

impl Database {
    /// Returns the configured database. If it is embedded, its process is started, and restarted whenever it ends by
    /// itself, but it may not accept connections yet.
    ///
    /// # Errors
    /// Returns an error if the data folder cannot be used.
    pub fn launch(config: &DatabaseConfig) -> Result<Self, Error> {
        if let Some(endpoint) = external(config) {
            return Ok(Self { endpoint, process: None });
        }
        let folder = DataDir::open(Path::new(&config.data_dir))?;
        let settings = embedded::Settings {
            bin_dir: config.bin_dir.clone(),
            search_path: config.search_path.clone(),
            extra: Vec::new(),
        };
        let postgres = Embedded::launch(folder.path(), settings)?;
        let endpoint = postgres.connection().into();
        Ok(Self { endpoint, process: Some(EmbeddedProcess { postgres, folder }) })
    }

    /// Like [`Database::launch`], but returns only when an embedded database accepts connections.
    ///
    /// # Errors
    /// Returns an error if an embedded database cannot start.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, Error> {
        let mut database = Self::launch(config)?;
        database.started().await?;
        database.ensure().await?;
        Ok(database)
    }

    /// Like [`Database::open`], but uses the embedded database of a running server if there is one.
    ///
    /// # Errors
    /// Returns an error if an embedded database cannot start.
    pub async fn attach(config: &DatabaseConfig) -> Result<Self, Error> {
        if config.url.is_none()
            && let Some(connection) = embedded::running(Path::new(&config.data_dir)).await
        {
            return Ok(Self { endpoint: connection.into(), process: None });
        }
        Self::open(config).await
    }

    /// Waits until an embedded database accepts connections for the first time. There is no time-out, because its
    /// recovery may take long.
    ///
    /// # Errors
    /// Returns an error if an embedded database cannot start.
    pub async fn started(&mut self) -> Result<(), Error> {
        let Some(process) = &mut self.process else { return Ok(()) };
        Ok(process.postgres.started().await?)
    }

    /// Creates the server's database in an embedded Postgres if it is missing.
    ///
    /// # Errors
    /// Returns the error of the statement. The call may be repeated.
    pub async fn ensure(&self) -> Result<(), store::Error> {
        let Some(process) = &self.process else { return Ok(()) };
        process.postgres.ensure_database().await
    }

    /// How to connect to the database.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The generated secret that is stored in the data folder of an embedded database.
    ///
    /// # Errors
    /// Returns an error if it cannot be read or written.
    pub fn secret(&self) -> Result<Option<Secret>, Error> {
        let secret = self.process.as_ref().map(|it| it.folder.secret()).transpose()?;
        Ok(secret.map(Secret::new))
    }

    /// Stops an embedded database by a fast shutdown and waits until its process has ended.
    pub async fn close(&mut self) {
        if let Some(process) = &mut self.process {
            process.postgres.stop().await;
        }
    }

    /// Like [`Database::close`], but by an immediate shutdown, so the next start recovers from the write-ahead log.
    pub async fn close_now(&mut self) {
        if let Some(process) = &mut self.process {
            process.postgres.stop_now().await;
        }
    }
}

/// The external database, if one is configured.
fn external(config: &DatabaseConfig) -> Option<Endpoint> {
    let url = config.url.as_ref()?;
    Some(Endpoint {
        connection: url.connection.clone(),
        identity: match url.encryption {
            Encryption::Chain => Identity::Chain,
            Encryption::None | Encryption::Full => Identity::Name,
        },
        authorities: config.authorities.as_deref().map(Into::into),
        pooled: config.pooled,
    })
}
