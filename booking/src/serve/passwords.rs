//! Passwords and tokens: what is stored of them is a hash.
//!
//! In: a password, or nothing. Out: an argon2id hash with its salt, whether a password fits a hash, a token of 256
//! random bits with its SHA-256. Invariant: at most a few passwords are hashed at a time, off the threads that serve
//! requests, because each hash takes 19 MiB and some 20 ms by design.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::problem::{Kind, Problem};

/// Hashes at a time.
const AT_A_TIME: usize = 4;

/// Hashes passwords.
#[derive(Debug)]
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Passwords {
    /// The hash of a password for the database.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let hashed = self
            .apart(move || {
                Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
            })
            .await?;
        hashed.map_err(|_| internal())
    }

    /// Whether the password has this hash. Without a hash there is no account: a hash is made all the same, so that the
    /// time does not tell which addresses have one.
    pub(crate) async fn fits(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        self.apart(move || match hash {
            Some(hash) => PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            }),
            None => {
                let _ = Argon2::default().hash_password(password.as_bytes());
                false
            }
        })
        .await
    }

    /// Does work on another thread. The work goes on when the client goes away, so the work has the place.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.map_err(|_| internal())?;
        let placed = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(placed).await.map_err(|_| internal())
    }
}

fn internal() -> Problem {
    Problem::new(Kind::Internal, "the password cannot be hashed")
}

/// A secret for a client.
pub(crate) fn new_token() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the database knows of a token. The token is random, so one round of a fast hash is enough.
pub(crate) fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_and_no_other_does() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.fits("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.fits("correct Horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.fits("correct horse".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_keeps_its_place_when_the_client_goes_away() {
        let passwords = Passwords::default();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let hashing = passwords.apart(move || {
            begun.send(()).unwrap();
            ends.recv().unwrap();
        });
        tokio::select! {
            _ = hashing => panic!("the work has not ended"),
            begun = begins => begun.unwrap(),
        }
        assert_eq!(passwords.places.available_permits(), AT_A_TIME - 1, "the work goes on");
        end.send(()).unwrap();
        let all = u32::try_from(AT_A_TIME).unwrap();
        drop(passwords.places.acquire_many(all).await.unwrap());
    }

    #[test]
    fn tokens_differ_and_are_not_their_hashes() {
        let (first, second) = (new_token(), new_token());
        assert_ne!(first, second);
        assert_eq!(first.len(), 43);
        assert_eq!(token_hash(&first).len(), 32);
    }
}
