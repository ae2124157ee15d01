//! Access tokens: short-lived JWTs, signed with HMAC-SHA-256, that name a player and a session.

use std::sync::Once;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, new_error};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use signature::{Signer, Verifier};
use uuid::Uuid;

use super::{Error, Identity, Verified};
use crate::config::Secret;
use crate::domain::Timestamp;

const ISSUER: &str = "idlewatt";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The player.
    sub: Uuid,
    /// The session.
    sid: Uuid,
    /// Seconds since the Unix epoch, like `exp`.
    iat: i64,
    exp: i64,
}

/// Signs and verifies access tokens.
pub struct AccessTokens {
    signing_key: EncodingKey,
    /// The current key, then the previous one.
    verifying_keys: Vec<DecodingKey>,
    validation: Validation,
    ttl: Duration,
    secret: Secret,
}

impl AccessTokens {
    /// Signs with `secret`. Accepts tokens that were signed with `secret` or with `previous`.
    pub fn new(secret: Secret, previous: Option<&Secret>, ttl: Duration) -> Self {
        install_hs256();
        let mut validation = Validation::new(Algorithm::HS256);
        // `verify` compares the expiry with the database's time; the library would use the system clock.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.set_issuer(&[ISSUER]);
        let key = |secret: &Secret| DecodingKey::from_secret(secret.reveal().as_bytes());
        Self {
            signing_key: EncodingKey::from_secret(secret.reveal().as_bytes()),
            verifying_keys: std::iter::once(&secret).chain(previous).map(key).collect(),
            validation,
            ttl,
            secret,
        }
    }

    /// How long a token is valid.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Issues a token for a session at `now`.
    pub fn issue(&self, identity: Identity, now: Timestamp) -> Result<String, Error> {
        let issued = now.as_micros().div_euclid(1_000_000);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: identity.player,
            sid: identity.session,
            iat: issued,
            exp: issued + i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX / 2),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing_key)
            .map_err(|_| Error::Unauthenticated)
    }

    /// Verifies a token at `now`.
    ///
    /// # Errors
    /// Returns [`Error::Unauthenticated`] or [`Error::TokenExpired`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, Error> {
        let decode = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok();
        let claims = self.verifying_keys.iter().find_map(decode).ok_or(Error::Unauthenticated)?;
        let Claims { sub: player, sid: session, exp, .. } = claims.claims;
        let expires_at = Timestamp::from_micros(exp.saturating_mul(1_000_000));
        if now >= expires_at {
            return Err(Error::TokenExpired);
        }
        Ok(Verified { identity: Identity { player, session }, expires_at })
    }

    /// The first 16 bytes of the HMAC of `purpose` and `parts`. Nobody can calculate it without the server's secret.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = hmac_with(self.secret.reveal().as_bytes());
        mac.update(purpose.as_bytes());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut tag = [0; 16];
        tag.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        tag
    }
}

fn hmac_with(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

/// HS256 for `jsonwebtoken`. The library's own crypto providers would also compile RSA and elliptic curves.
struct Hs256(Hmac<Sha256>);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut mac = self.0.clone();
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

fn install_hs256() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256(hmac_with(key.as_bytes())))),
            _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
        },
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256(hmac_with(key.try_get_as_bytes()?)))),
            _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| PROVIDER.install_default().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const TTL: Duration = Duration::from_mins(1);

    fn tokens(secret: &str, previous: Option<&str>) -> AccessTokens {
        AccessTokens::new(Secret::new(secret), previous.map(Secret::new).as_ref(), TTL)
    }

    fn identity() -> Identity {
        Identity {
            player: Uuid::from_u128(rand::random()),
            session: uuid::Uuid::from_u128(rand::random()),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let (tokens, identity) = (tokens("one", None), identity());
        let token = tokens.issue(identity, at(1000)).expect("signed");
        let verified = tokens.verify(&token, at(1059)).expect("valid");
        assert_eq!((verified.identity, verified.expires_at), (identity, at(1060)));
        assert!(matches!(tokens.verify(&token, at(1060)), Err(Error::TokenExpired)));
    }

    #[test]
    fn tokens_signed_with_the_previous_secret_stay_valid() {
        let (before, identity) = (tokens("one", None), identity());
        let token = before.issue(identity, at(0)).expect("signed");
        assert!(tokens("two", Some("one")).verify(&token, at(1)).is_ok());
        assert!(matches!(tokens("two", None).verify(&token, at(1)), Err(Error::Unauthenticated)));
    }

    #[test]
    fn forged_tokens_are_rejected() {
        let (tokens, identity) = (tokens("one", None), identity());
        let token = tokens.issue(identity, at(0)).expect("signed");
        let parts: Vec<&str> = token.split('.').collect();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let other = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","typ":"JWT"}"#);
        let changed = URL_SAFE_NO_PAD.encode(
            String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).expect("base64"))
                .expect("UTF-8")
                .replace("\"exp\":60", "\"exp\":99999"),
        );
        for forged in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{other}.{}.{}", parts[1], parts[2]),
            format!("{}.{changed}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
        ] {
            assert!(
                matches!(tokens.verify(&forged, at(1)), Err(Error::Unauthenticated)),
                "{forged}"
            );
        }
    }
}
