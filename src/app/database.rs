//! Which database the server uses: a given one, or its own.

use std::path::Path;

use super::Error;
use crate::config::{DatabaseConfig, Encryption, Secret};
use crate::data_dir::DataDir;
use crate::store::embedded::{self, Embedded};
use crate::store::{self, Endpoint, Identity};

/// The database, and whatever has to live as long as it is used.
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
    /// Prepares the configured database. One of our own begins to start, and is restarted whenever it ends by itself.
    ///
    /// # Errors
    /// Where the data folder cannot be used.
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

    /// As [`Database::launch`], and waits until one of our own is ready.
    ///
    /// # Errors
    /// What keeps our own from starting.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, Error> {
        let mut database = Self::launch(config)?;
        database.started().await?;
        database.ensure().await?;
        Ok(database)
    }

    /// As [`Database::open`], but one of our own that a server runs already is shared with that server.
    ///
    /// # Errors
    /// What keeps our own from starting.
    pub async fn attach(config: &DatabaseConfig) -> Result<Self, Error> {
        if config.url.is_none()
            && let Some(connection) = embedded::running(Path::new(&config.data_dir)).await
        {
            return Ok(Self { endpoint: connection.into(), own: None });
        }
        Self::open(config).await
    }

    /// Waits for the first start of one of our own, however long its recovery takes.
    ///
    /// # Errors
    /// What keeps our own from starting.
    pub async fn started(&mut self) -> Result<(), Error> {
        let Some(own) = &mut self.own else { return Ok(()) };
        Ok(own.embedded.started().await?)
    }

    /// Makes the server's database within one of our own where it is missing.
    ///
    /// # Errors
    /// As every statement's; it can be called again.
    pub async fn ensure(&self) -> Result<(), store::Error> {
        let Some(own) = &self.own else { return Ok(()) };
        own.embedded.ensure_database().await
    }

    /// How to connect to it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The secret that is kept beside the data of a database of our own.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn secret(&self) -> Result<Option<Secret>, Error> {
        let own = self.own.as_ref().map(|own| own.folder.secret()).transpose()?;
        Ok(own.map(Secret::new))
    }

    /// Stops a database of our own and waits for its end.
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

/// The given database, where one is.
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
