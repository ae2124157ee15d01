//! Hashing passwords, on other threads than those that serve requests, and only a few at the same time.

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

/// Sign-ins that may wait for each hash that is being calculated. Further ones are refused.
const WAITING_PER_WORKER: usize = 32;

/// A hash that is verified for an unknown username, so that the answer takes as long as for a known one.
static DECOY: LazyLock<String> = LazyLock::new(|| hash_now("decoy").unwrap_or_default());

/// The result of comparing a password with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Wrong,
    Right,
    /// The hash belongs to the typed form of the password. Earlier releases hashed that form.
    AsTyped,
}

/// Hashes and verifies passwords.
pub struct PasswordHasher {
    workers: Arc<Semaphore>,
    /// A permit for each sign-in that is served or waits.
    places: Semaphore,
}

impl PasswordHasher {
    /// Hashes at most `concurrency` passwords at the same time.
    pub fn new(concurrency: usize) -> Self {
        Self {
            workers: Arc::new(Semaphore::new(concurrency)),
            places: Semaphore::new(concurrency * (1 + WAITING_PER_WORKER)),
        }
    }

    /// The hash of a password, in PHC form.
    ///
    /// # Errors
    /// Returns [`Error::Overloaded`] if too many sign-ins wait.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.run(move || hash_now(&password.composed)).await?.ok_or(Error::Overloaded)
    }

    /// Compares a password with `hash`. Without a hash it takes as long, and the result is that the password is wrong.
    ///
    /// # Errors
    /// Returns [`Error::Overloaded`] if too many sign-ins wait.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<Match, Error> {
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| DECOY.clone());
            let is = |text: &str| hasher().verify_password(text.as_bytes(), hash.as_str()).is_ok();
            let found = if is(&password.composed) {
                Match::Right
            } else if password.typed.as_deref().is_some_and(is) {
                Match::AsTyped
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
        let _place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        let worker = Arc::clone(&self.workers).acquire_owned().await;
        let worker = worker.map_err(|_| Error::Overloaded)?;
        // The permit is released when the hash is finished, even if the client closes its connection before.
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
        let account = self.verified(account, current).await?;
        let Account { password_hash, .. } = account.ok_or(Error::InvalidCredentials)?;
        let hash = self.hasher.hash(new).await?;
        let now = self.clock.now();
        let mut transaction = self.store.begin().await?;
        transaction.hold_player(identity.player).await?;
        let changed =
            transaction.change_password(identity.player, &password_hash, &hash, now).await?;
        if !changed {
            // Another change came first, so `current` is no longer the password.
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
        let hash = hasher.hash(password("correct horse")).await.expect("room");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let is = async |text, hash| hasher.verify(password(text), hash).await.expect("room");
        assert_eq!(is("correct horse", Some(hash.clone())).await, Match::Right);
        assert_eq!(is("wrong horse", Some(hash)).await, Match::Wrong);
        let decoy = Password { composed: "decoy".into(), typed: None };
        assert_eq!(hasher.verify(decoy, None).await.expect("room"), Match::Wrong);
    }

    #[tokio::test]
    async fn a_password_is_right_in_either_form() {
        let hasher = PasswordHasher::new(1);
        let (typed, composed) = ("pa\u{308}sswo\u{308}rd", "pässwörd");
        let hash = hasher.hash(password(typed)).await.expect("room");
        for text in [typed, composed] {
            let found = hasher.verify(password(text), Some(hash.clone())).await.expect("room");
            assert_eq!(found, Match::Right, "{text}");
        }
        let old = hash_now(typed).expect("a hash");
        let found =
            async |text| hasher.verify(password(text), Some(old.clone())).await.expect("room");
        assert_eq!(found(typed).await, Match::AsTyped);
        assert_eq!(found(composed).await, Match::Wrong);
    }

    #[tokio::test]
    async fn too_many_concurrent_sign_ins_are_refused_instead_of_queued() {
        let hasher = PasswordHasher::new(1);
        let held = hasher.places.acquire_many(1 + WAITING_PER_WORKER as u32).await.expect("free");
        assert!(matches!(hasher.hash(password("any horse")).await, Err(Error::Overloaded)));
        drop(held);
        assert!(hasher.hash(password("any horse")).await.is_ok());
    }
}
