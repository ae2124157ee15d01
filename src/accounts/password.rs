//! Hashing passwords: on the blocking pool, because a hash takes long, and only a few at the same time.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::PasswordVerifier;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use tokio::sync::Semaphore;

use super::{Accounts, Error, Identity, Password};
use crate::store::accounts::Account;

/// OWASP's parameters for argon2id: 19 MiB, two passes, one lane (Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many sign-ins may wait per hash that is being calculated. Further ones are refused.
const WAITING_PER_WORKER: usize = 32;

/// The hash that is verified if the username is unknown, so that the answer takes as long as for a known one.
static DECOY: LazyLock<String> = LazyLock::new(|| hash_now("decoy").unwrap_or_default());

/// The result of comparing a password with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Wrong,
    Correct,
    /// The password is correct, but the hash is that of its typed form. Earlier releases hashed that form.
    CorrectAsTyped,
}

/// Hashes and verifies passwords.
pub struct PasswordHasher {
    workers: Arc<Semaphore>,
    /// One permit for each sign-in whose hash is being calculated or that waits.
    admission: Semaphore,
}

impl PasswordHasher {
    /// Hashes at most `concurrency` passwords at the same time.
    pub fn new(concurrency: usize) -> Self {
        Self {
            workers: Arc::new(Semaphore::new(concurrency)),
            admission: Semaphore::new(concurrency * (1 + WAITING_PER_WORKER)),
        }
    }

    /// The hash of a password, in PHC form.
    ///
    /// # Errors
    /// Returns [`Error::Overloaded`] if too many sign-ins wait.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.run(move || hash_now(&password.composed)).await?.ok_or(Error::Overloaded)
    }

    /// Compares a password with `hash`. Without a hash it takes as long and returns `Match::Wrong`.
    ///
    /// # Errors
    /// Returns [`Error::Overloaded`] if too many sign-ins wait.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<Match, Error> {
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| DECOY.clone());
            let matches =
                |text: &str| hasher().verify_password(text.as_bytes(), hash.as_str()).is_ok();
            let found = if matches(&password.composed) {
                Match::Correct
            } else if password.typed.as_deref().is_some_and(matches) {
                Match::CorrectAsTyped
            } else {
                Match::Wrong
            };
            if known { found } else { Match::Wrong }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _admitted = self.admission.try_acquire().map_err(|_| Error::Overloaded)?;
        let worker = Arc::clone(&self.workers).acquire_owned().await;
        let worker = worker.map_err(|_| Error::Overloaded)?;
        // The closure owns the permit: if the client closes its connection, the hash is still calculated to its end.
        let work = move || {
            let _worker = worker;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Overloaded)
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .unwrap_or_else(|error| unreachable!("the parameters are in range: {error}"));
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(password: &str) -> Option<String> {
    hasher().hash_password(password.as_bytes()).ok().map(|hash| hash.to_string())
}

impl Accounts {
    /// Replaces a player's password and ends its other sessions.
    ///
    /// # Errors
    /// Returns [`Error::InvalidCredentials`] if `current` is not the password or the player is a guest.
    pub async fn change_password(
        &self,
        identity: Identity,
        current: Password,
        new: Password,
    ) -> Result<(), Error> {
        let account = self.store.find_account_of(identity.player).await?;
        let account = self.verify_password(account, current).await?;
        let Account { password_hash, .. } = account.ok_or(Error::InvalidCredentials)?;
        let hash = self.hasher.hash(new).await?;
        let now = self.clock.now();
        let mut transaction = self.store.begin().await?;
        transaction.hold_player(identity.player).await?;
        let changed =
            transaction.change_password(identity.player, &password_hash, &hash, now).await?;
        if !changed {
            // Another request changed the password after it was verified, so `current` is no longer the
            // password.
            transaction.rollback().await?;
            return Err(Error::InvalidCredentials);
        }
        let kept = [identity.session];
        let substitute = self.clock.substitute();
        let ended = transaction.end_other_sessions(identity.player, &kept, substitute).await?;
        transaction.commit().await?;
        self.note_ended(&ended);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.into()).expect("long enough")
    }

    #[tokio::test]
    async fn a_password_is_verified_against_its_own_hash_only() {
        let hasher = PasswordHasher::new(1);
        let hash = hasher.hash(password("correct horse")).await.expect("admitted");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify =
            async |text, hash| hasher.verify(password(text), hash).await.expect("admitted");
        assert_eq!(verify("correct horse", Some(hash.clone())).await, Match::Correct);
        assert_eq!(verify("wrong horse", Some(hash)).await, Match::Wrong);
        let decoy = Password { composed: "decoy".into(), typed: None };
        assert_eq!(hasher.verify(decoy, None).await.expect("admitted"), Match::Wrong);
    }

    #[tokio::test]
    async fn a_password_is_correct_in_its_composed_and_its_typed_form() {
        let hasher = PasswordHasher::new(1);
        let (typed, composed) = ("pa\u{308}sswo\u{308}rd", "pässwörd");
        let hash = hasher.hash(password(typed)).await.expect("admitted");
        for text in [typed, composed] {
            let found = hasher.verify(password(text), Some(hash.clone())).await.expect("admitted");
            assert_eq!(found, Match::Correct, "{text}");
        }
        let old = hash_now(typed).expect("a hash");
        let found =
            async |text| hasher.verify(password(text), Some(old.clone())).await.expect("admitted");
        assert_eq!(found(typed).await, Match::CorrectAsTyped);
        assert_eq!(found(composed).await, Match::Wrong);
    }

    #[tokio::test]
    async fn sign_ins_beyond_the_queue_limit_are_refused() {
        let hasher = PasswordHasher::new(1);
        let held =
            hasher.admission.acquire_many(1 + WAITING_PER_WORKER as u32).await.expect("free");
        assert!(matches!(hasher.hash(password("any horse")).await, Err(Error::Overloaded)));
        drop(held);
        assert!(hasher.hash(password("any horse")).await.is_ok());
    }
}
