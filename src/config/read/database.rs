//! Reading the settings of Postgres.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Read;
use crate::config::{DatabaseConfig, DatabaseUrl, Encryption};

impl Read<'_> {
    pub(super) fn database(&mut self) -> DatabaseConfig {
        let url = self.database_url();
        let authorities = self.authorities("DATABASE_CA_FILE");
        if url.as_ref().is_some_and(|url| url.encryption == Encryption::Chain)
            && authorities.is_none()
        {
            self.fault(
                "DATABASE_URL",
                "sslmode=verify-ca needs DATABASE_CA_FILE, because public authorities sign certificates for any host",
            );
        }
        DatabaseConfig {
            pooled: self.pooled("DATABASE_POOLER", url.as_ref()),
            authorities,
            url,
            data_dir: PathBuf::from(self.text("DATA_DIR")),
            bin_dir: self.given("PG_BINDIR").map(PathBuf::from),
            search_path: self.given("PATH").map(Into::into),
            pool_size: self.count("DATABASE_POOL_SIZE", 2, 1000),
        }
    }

    fn database_url(&mut self) -> Option<DatabaseUrl> {
        match DatabaseUrl::parse(self.given("DATABASE_URL")?) {
            Ok(url) => Some(url),
            Err(error) => {
                let form = "must be postgres://user:password@host/database";
                self.fault("DATABASE_URL", format!("{form}: {error}"));
                None
            }
        }
    }

    /// The content of the file, if it contains certificates.
    fn authorities(&mut self, name: &str) -> Option<Vec<u8>> {
        let path = PathBuf::from(self.given(name)?);
        match std::fs::read(&path) {
            Ok(pem) if CertificateDer::pem_slice_iter(&pem).next().is_some_and(|it| it.is_ok()) => {
                return Some(pem);
            }
            Ok(_) => self.fault(name, "must be a file with certificates in PEM format"),
            Err(error) => self.fault(name, error),
        }
        None
    }

    fn pooled(&mut self, name: &str, url: Option<&DatabaseUrl>) -> bool {
        match self.text(name).as_str() {
            "auto" => url.is_some_and(DatabaseUrl::names_a_pooler),
            "none" => false,
            "transaction" => true,
            other => {
                self.fault(name, format!("must be auto, none or transaction, but is `{other}`"));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::read::testing::load;

    #[test]
    fn a_pooler_is_detected_by_its_host_name_unless_configured() {
        let secret = "s".repeat(32);
        let pooled = |url: &str, pooler: &str| {
            let variables =
                [("DATABASE_URL", url), ("DATABASE_POOLER", pooler), ("JWT_SECRET", &*secret)];
            load(&variables).expect("complete").database.pooled
        };
        let (direct, pooler) =
            ("postgres://me@ep-a.example/d", "postgres://me@ep-a-pooler.example/d");
        assert!(!pooled(direct, "") && pooled(pooler, ""));
        assert!(pooled(direct, "transaction") && !pooled(pooler, "none"));
    }

    #[test]
    fn verify_ca_needs_a_configured_authority() {
        let url = ("DATABASE_URL", "postgres://me@localhost/game?sslmode=verify-ca");
        let faults = load(&[url, ("JWT_SECRET", &"s".repeat(32))]).expect_err("no authority");
        assert!(faults[0].message.contains("DATABASE_CA_FILE"), "{faults:?}");
    }
}
