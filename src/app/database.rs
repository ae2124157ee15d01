//! Which database the server uses: a given one, or its own.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::Error;
use crate::config::{DatabaseConfig, Encryption, Secret};
use crate::data_dir::DataDir;
use crate::store::embedded::{self, Embedded};
use crate::store::{Endpoint, Identity};

/// The database, ready to be connected to, and whatever has to live as long as it is used.
pub struct Database {
    endpoint: Endpoint,
    own: Option<Own>,
}

struct Own {
    embedded: Embedded,
    folder: DataDir,
    settings: embedded::Settings,
}

/// How often a database of our own is looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

impl Database {
    /// Prepares the configured database; one of our own is started.
    ///
    /// Call it on a thread that lives as long as the server, as [`Embedded::start`] asks.
    ///
    /// # Errors
    /// What keeps our own from starting.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, Error> {
        if let Some(endpoint) = given(config) {
            return Ok(Self { endpoint, own: None });
        }
        let folder = DataDir::open(Path::new(&config.data_dir))?;
        let settings = embedded::Settings {
            bin_dir: config.bin_dir.clone(),
            search_path: config.search_path.clone(),
            extra: Vec::new(),
        };
        let embedded = Embedded::start(folder.path(), &settings)?;
        embedded.ensure_database().await?;
        let endpoint = embedded.connection().into();
        Ok(Self { endpoint, own: Some(Own { embedded, folder, settings }) })
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

    /// Starts a database of our own again whenever it ends by itself, for ever. Call it on the same thread as
    /// [`Database::open`].
    pub async fn watch(&mut self) {
        let Some(own) = &mut self.own else { return std::future::pending().await };
        loop {
            sleep(WATCH_INTERVAL).await;
            if !own.embedded.has_ended() {
                continue;
            }
            tracing::error!("the embedded database ended by itself and is started again");
            match Embedded::start(own.folder.path(), &own.settings) {
                Ok(embedded) => own.embedded = embedded,
                Err(error) => tracing::error!(%error, "the embedded database does not start"),
            }
        }
    }

    /// Stops a database of our own.
    pub fn close(&mut self) {
        if let Some(own) = &mut self.own {
            own.embedded.stop();
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
