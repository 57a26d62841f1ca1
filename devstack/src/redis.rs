//! A Redis server for what instances of the booking service tell each other, and for their cache.
//!
//! In: where it runs, a password. Out: a server on 127.0.0.1 and its URL. It keeps nothing on disk: all that is in it
//! can be made anew from the database. The one user may do what the service does with keys and channels whose names
//! begin with `booking:`, and nothing else.

use std::fmt::Write as _;

use crate::companion::{Companion, CompanionOptions, companion_methods};

/// The user of the booking service.
const USER: &str = "booking";

/// What that user may do.
const COMMANDS: &str = "-@all +auth +hello +ping +select +client|setname +get +set +mget \
    +incr +expire +publish +subscribe +unsubscribe";

/// A running Redis; dropping it kills it.
#[derive(Debug)]
pub struct Redis {
    companion: Companion,
    password: String,
}

companion_methods!(Redis);

impl Redis {
    /// Starts a server.
    ///
    /// # Errors
    /// When the program is missing, the password holds a character that a URL or the configuration cannot, or the
    /// server does not answer.
    pub fn start(options: &CompanionOptions, password: &str) -> anyhow::Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        anyhow::ensure!(
            !password.is_empty() && password.bytes().all(plain),
            "the password of Redis must consist of letters, digits and - _ . ~"
        );
        let companion = Companion::start("redis", "redis-server", options, |companion, port| {
            let text = configuration(port, &companion.home().display().to_string(), password);
            Ok(vec![companion.write("redis.conf", &text)?.into()])
        })?;
        Ok(Self { companion, password: password.to_owned() })
    }

    /// The URL, with user and password.
    pub fn url(&self) -> String {
        format!("redis://{USER}:{}@127.0.0.1:{}", self.password, self.port())
    }
}

fn configuration(port: u16, home: &str, password: &str) -> String {
    let mut text = String::new();
    for line in [
        "bind 127.0.0.1".to_owned(),
        format!("port {port}"),
        format!("dir \"{home}\""),
        "daemonize no".to_owned(),
        // Nothing is kept on disk.
        "save \"\"".to_owned(),
        "appendonly no".to_owned(),
        // What is used least goes first when the memory is full.
        "maxmemory 64mb".to_owned(),
        "maxmemory-policy allkeys-lru".to_owned(),
        "user default off".to_owned(),
        format!("user {USER} on >{password} ~booking:* &booking:* {COMMANDS}"),
    ] {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployed::differences;

    #[test]
    fn the_composition_has_the_same_redis() {
        let ours = configuration(6379, "/tmp", "$BOOKING_REDIS_PASSWORD");
        let (ours, theirs) = differences(&ours, "deploy/redis/start.sh");
        assert_eq!(ours, ["bind 127.0.0.1", "dir \"/tmp\"", "daemonize no"]);
        assert_eq!(theirs, ["dir /tmp"]);
    }
}
