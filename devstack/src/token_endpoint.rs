//! An endpoint that gives out tokens for OAUTHBEARER, for tests.
//!
//! In: a client id, its secret, and the principal that a token names. Out: a URL, and tokens for whoever knows both
//! (`client_credentials` of RFC 6749). The tokens are not signed: Kafka's own validator for development takes such.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

/// How long a token lives.
const LIFE: Duration = Duration::from_secs(3600);

/// How long a caller may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running endpoint; dropped, it ends.
#[derive(Debug)]
pub struct TokenEndpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// What a caller has to send: `Basic` and both in base64.
    authorization: String,
    subject: String,
    given: AtomicU64,
    ended: AtomicBool,
}

impl TokenEndpoint {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(client_id: &str, client_secret: &str, subject: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            authorization: format!(
                "Basic {}",
                STANDARD.encode(format!("{client_id}:{client_secret}"))
            ),
            subject: subject.to_owned(),
            given: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
                // A caller that is gone is no failure of ours.
                let _ = stream.map(|stream| serving.answer(&stream));
            }
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// The URL.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// How many tokens it has given out.
    pub fn given(&self) -> u64 {
        self.shared.given.load(Ordering::Relaxed)
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // One more caller ends the wait for callers.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = BufReader::new(stream);
        let (mut known, mut length) = (false, 0);
        let mut line = String::new();
        loop {
            line.clear();
            if request.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "authorization" => known = value.trim() == self.authorization,
                "content-length" => length = value.trim().parse().unwrap_or(0),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        request.read_exact(&mut body)?;
        let asked = String::from_utf8_lossy(&body).contains("grant_type=client_credentials");
        let (status, answer) = if known && asked {
            self.given.fetch_add(1, Ordering::Relaxed);
            let life = LIFE.as_secs();
            let token = self.token();
            ("200 OK", json!({"access_token": token, "token_type": "Bearer", "expires_in": life}))
        } else {
            ("401 Unauthorized", json!({"error": "invalid_client"}))
        };
        let answer = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        )
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (now, end) = (now.as_secs(), (now + LIFE).as_secs());
        let claims = json!({"sub": self.subject, "iat": now, "exp": end, "scope": "kafka"});
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str, secret: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent
            .post(url)
            .header("authorization", format!("Basic {}", STANDARD.encode(format!("id:{secret}"))))
            .send("grant_type=client_credentials")
            .unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    #[test]
    fn only_who_knows_the_secret_gets_a_token() {
        let endpoint = TokenEndpoint::start("id", "secret", "somebody").unwrap();
        let (status, body) = ask(&endpoint.url(), "wrong");
        assert_eq!(
            (status, body.as_str(), endpoint.given()),
            (401, r#"{"error":"invalid_client"}"#, 0)
        );
        let (status, body) = ask(&endpoint.url(), "secret");
        assert_eq!((status, endpoint.given()), (200, 1));
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let token = answer["access_token"].as_str().unwrap();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["sub"], "somebody");
    }
}
