//! Who may look and steer.
//!
//! In: the headers of a request, or what somebody entered. Out: whether they are let in.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HOST};
use rand::RngExt;
use sha2::{Digest, Sha256};
use shared::secret::Secret;

/// The cookie of whoever has signed in.
pub(super) const COOKIE_NAME: &str = "wideworld";

/// The tokens.
#[derive(Debug)]
pub(super) struct Door {
    token: Option<Secret>,
    /// What the tokens of forms and the cookie are made of; new in each process.
    secret: [u8; 32],
}

impl Door {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token, secret: rand::rng().random() }
    }

    /// The token of the forms of this process.
    pub(super) fn form_token(&self) -> String {
        self.derived(b"form")
    }

    /// The value of the cookie of whoever has signed in.
    pub(super) fn cookie(&self) -> String {
        self.derived(b"cookie")
    }

    fn derived(&self, purpose: &[u8]) -> String {
        hex::encode(Sha256::new().chain_update(self.secret).chain_update(purpose).finalize())
    }

    /// Whether a form came from a page of this process.
    pub(super) fn knows_form(&self, token: &str) -> bool {
        is_same(token, &self.form_token())
    }

    /// Whether somebody entered the right token. Without a token nobody needs to sign in.
    pub(super) fn opens(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|own| is_same(token, own.expose()))
    }

    pub(super) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        match self.token {
            None => names_this_machine(headers),
            Some(_) => cookies(headers).any(|cookie| is_same(cookie, &self.cookie())),
        }
    }
}

/// Compares hashes, so that the time tells nothing about the texts.
fn is_same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs =
        texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// Whether the browser named this machine by a loopback address or by `localhost`.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(host: &'static str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        assert_eq!(names_this_machine(&headers), expected, "{host}");
    }

    #[test]
    fn only_loopback_names_are_this_machine() {
        check("localhost:4100", true);
        check("127.0.0.1", true);
        check("127.0.0.1:4100", true);
        check("[::1]:4100", true);
        check("[::1]", true);
        check("localhost.evil.example:4100", false);
        check("192.0.2.7:4100", false);
        assert!(!names_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn the_cookie_tells_nothing_of_the_token_and_opens_the_door() {
        let door = Door::new(Some(Secret::new("open sesame")));
        assert!(door.opens("open sesame") && !door.opens("open") && !door.opens(""));
        let mut headers = HeaderMap::new();
        assert!(!door.lets_in(&headers));
        let cookie = format!("other=1; {COOKIE_NAME}={}", door.cookie());
        headers.insert(COOKIE, HeaderValue::try_from(cookie).unwrap());
        assert!(door.lets_in(&headers));
        assert!(!Door::new(Some(Secret::new("open sesame"))).lets_in(&headers), "another process");
    }
}
