//! The database of the server: an external or an embedded one.

use std::path::Path;

use super::Error;
use crate::config::{DatabaseConfig, Encryption, Secret};
use crate::data_dir::DataDir;
use crate::store::embedded::{self, Embedded};
use crate::store::{self, Endpoint, Identity};

/// The database, and what must live as long as it is used.
pub struct Database {
    endpoint: Endpoint,
    own: Option<Own>,
}

struct Own {
    // Fields are dropped in order: the database stops before its folder is unlocked.
    embedded: Embedded,
    folder: DataDir,
}

impl Database {
    /// Prepares the configured database. An embedded one begins to start, and is restarted whenever it ends by itself.
    ///
    /// # Errors
    /// Returns an error if the data folder cannot be used.
    pub fn launch(config: &DatabaseConfig) -> Result<Self, Error> {
        if let Some(endpoint) = given(config) {
            return Ok(Self { endpoint, own: None });
        }
        let folder = DataDir::open(Path::new(&config.data_dir))?;
        let settings = embedded::Settings {
            bin_dir: config.bin_dir.clone(),
            search_path: config.search_path.clone(),
            extra: Vec::new(),
        };
        let embedded = Embedded::launch(folder.path(), settings)?;
        let endpoint = embedded.connection().into();
        Ok(Self { endpoint, own: Some(Own { embedded, folder }) })
    }

    /// As [`Database::launch`], and waits until an embedded database is ready.
    ///
    /// # Errors
    /// Returns why an embedded database cannot start.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, Error> {
        let mut database = Self::launch(config)?;
        database.started().await?;
        database.ensure().await?;
        Ok(database)
    }

    /// As [`Database::open`], but shares an embedded database that a server runs already.
    ///
    /// # Errors
    /// Returns why an embedded database cannot start.
    pub async fn attach(config: &DatabaseConfig) -> Result<Self, Error> {
        if config.url.is_none()
            && let Some(connection) = embedded::running(Path::new(&config.data_dir)).await
        {
            return Ok(Self { endpoint: connection.into(), own: None });
        }
        Self::open(config).await
    }

    /// Waits for the first start of an embedded database, however long its recovery takes.
    ///
    /// # Errors
    /// Returns why an embedded database cannot start.
    pub async fn started(&mut self) -> Result<(), Error> {
        let Some(own) = &mut self.own else { return Ok(()) };
        Ok(own.embedded.started().await?)
    }

    /// Creates the server's database in an embedded one if it is missing.
    ///
    /// # Errors
    /// Returns the error of the statement; can be called again.
    pub async fn ensure(&self) -> Result<(), store::Error> {
        let Some(own) = &self.own else { return Ok(()) };
        own.embedded.ensure_database().await
    }

    /// How to connect to the database.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The secret that is stored beside an embedded database.
    ///
    /// # Errors
    /// Returns an error if it cannot be read or written.
    pub fn secret(&self) -> Result<Option<Secret>, Error> {
        let own = self.own.as_ref().map(|own| own.folder.secret()).transpose()?;
        Ok(own.map(Secret::new))
    }

    /// Stops an embedded database and waits for its end.
    pub async fn close(&mut self) {
        if let Some(own) = &mut self.own {
            own.embedded.stop().await;
        }
    }

    /// As [`Database::close`], by an immediate shutdown: the next start recovers from the write-ahead log.
    pub async fn close_now(&mut self) {
        if let Some(own) = &mut self.own {
            own.embedded.stop_now().await;
        }
    }
}

/// The external database, if one is configured.
fn given(config: &DatabaseConfig) -> Option<Endpoint> {
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
