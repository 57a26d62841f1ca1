//! The page of the simulation: it shows, it steers, and it lets nobody else steer.

use std::net::SocketAddr;
use std::sync::Arc;

use shared::secret::Secret;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use ureq::Agent;
use wideworld::page::{PageOptions, serve};
use wideworld::simulate::{Control, Kind, Settings};

/// A page without a database: what it shows and does is between it and the control.
struct Served {
    address: SocketAddr,
    control: Arc<Control>,
    _stop: DropGuard,
}

/// An answer.
struct Answer {
    code: u16,
    location: String,
    cookie: String,
    policy: String,
    body: String,
}

impl Served {
    async fn start(token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = Arc::new(Control::new(Settings::default()));
        let options =
            PageOptions::new(Arc::clone(&control), Arc::default(), token.map(Secret::new));
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, options, stop.clone()));
        Self { address, control, _stop: stop.drop_guard() }
    }

    /// Sends a request; with fields it is a form.
    async fn ask(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: Option<&[(&str, &str)]>,
    ) -> Answer {
        let url = format!("http://{}{path}", self.address);
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let fields: Option<Vec<_>> = fields.map(|fields| {
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        });
        tokio::task::spawn_blocking(move || ask(&url, &headers, fields.as_deref())).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(path, &[], None).await
    }

    async fn form_token(&self) -> String {
        let body = self.get("/").await.body;
        let (_, rest) = body.split_once(r#"name="token" value=""#).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }
}

fn ask(url: &str, headers: &[(String, String)], fields: Option<&[(String, String)]>) -> Answer {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .build()
        .into();
    let mut response = match fields {
        None => {
            let request = agent.get(url).header("connection", "close");
            headers
                .iter()
                .fold(request, |request, (name, value)| request.header(name, value))
                .call()
        }
        Some(fields) => {
            let request = agent.post(url).header("connection", "close");
            let request =
                headers.iter().fold(request, |request, (name, value)| request.header(name, value));
            request.send_form(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        }
    }
    .unwrap();
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    Answer {
        code: response.status().as_u16(),
        location: header("location"),
        cookie: header("set-cookie"),
        policy: header("content-security-policy"),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

#[tokio::test]
async fn the_page_shows_every_kind_and_needs_no_script() {
    let served = Served::start(None).await;
    let page = served.get("/").await;
    assert_eq!(page.code, 200);
    for kind in ["orders", "cold-room readings", "special deals"] {
        assert!(page.body.contains(kind), "{kind}");
    }
    assert!(!page.body.contains("<script") && page.policy.contains("default-src 'none'"));
    let style = served.get("/wideworld.css").await;
    assert!(style.code == 200 && style.body.contains("--ground"));
    assert_eq!(served.get("/health").await.code, 200);
    let metrics = served.get("/metrics").await.body;
    assert!(metrics.contains(r#"wideworld_events_total{kind="order"} 0"#), "{metrics}");
    assert!(metrics.contains("wideworld_changes_total 0"), "{metrics}");
}

#[tokio::test]
async fn forms_set_rates_pause_and_begin_bursts() {
    let served = Served::start(None).await;
    let token = served.form_token().await;
    let rates = [("token", token.as_str()), ("order", "7.5"), ("speed", "2")];
    let answer = served.ask("/rates", &[], Some(&rates)).await;
    assert_eq!((answer.code, answer.location.as_str()), (303, "/"));
    let settings = served.control.settings();
    assert_eq!((settings.rates[Kind::Order.index()], settings.speed), (7.5, 2.0));
    let only = [("token", token.as_str())];
    served.ask("/pause", &[], Some(&only)).await;
    assert!(served.control.settings().is_paused);
    assert!(served.get("/").await.body.contains("paused"));
    served.ask("/resume", &[], Some(&only)).await;
    assert!(!served.control.settings().is_paused);
    let burst = [("token", token.as_str()), ("factor", "5"), ("seconds", "60")];
    served.ask("/burst", &[], Some(&burst)).await;
    assert!(served.control.settings().burst.is_some_and(|burst| burst.factor == 5.0));
    assert!(served.get("/").await.body.contains("5 times as much"));
}

#[tokio::test]
async fn a_wrong_number_is_named_and_changes_nothing() {
    let served = Served::start(None).await;
    let token = served.form_token().await;
    for (field, value, expected) in [
        ("order", "often", "the rate of orders is no number"),
        ("pick", "-1", "the rate of picks -1 is not a number between 0 and 1000"),
        ("changes_max", "5000", "the limit of changes 5000"),
    ] {
        let fields = [("token", token.as_str()), ("speed", "9"), (field, value)];
        let answer = served.ask("/rates", &[], Some(&fields)).await;
        assert_eq!(answer.code, 422, "{field}");
        assert!(answer.body.contains(expected), "{}", answer.body);
    }
    let long = [("token", token.as_str()), ("factor", "2"), ("seconds", "1e9")];
    assert_eq!(served.ask("/burst", &[], Some(&long)).await.code, 422);
    assert_eq!(served.control.settings(), Settings::default());
}

#[tokio::test]
async fn a_form_from_elsewhere_and_a_foreign_name_are_refused() {
    let served = Served::start(None).await;
    for fields in [vec![], vec![("token", "guessed")]] {
        assert_eq!(served.ask("/pause", &[], Some(&fields)).await.code, 403);
    }
    let token = served.form_token().await;
    let foreign = [("host", "rebound.example:80")];
    assert_eq!(served.ask("/", &foreign, None).await.code, 403);
    let fields = [("token", token.as_str())];
    assert_eq!(served.ask("/pause", &foreign, Some(&fields)).await.code, 403);
    assert!(!served.control.settings().is_paused);
}

#[tokio::test]
async fn with_a_token_only_whoever_knows_it_sees_and_steers() {
    let served = Served::start(Some("a long token")).await;
    let answer = served.get("/").await;
    assert_eq!((answer.code, answer.location.as_str()), (303, "/sign-in"));
    let wrong = served.ask("/sign-in", &[], Some(&[("page_token", "guess")])).await;
    assert!(wrong.code == 403 && wrong.cookie.is_empty());
    let right = served.ask("/sign-in", &[], Some(&[("page_token", "a long token")])).await;
    assert!(
        right.code == 303 && right.cookie.contains("HttpOnly; SameSite=Strict"),
        "{}",
        right.cookie
    );
    let cookie = right.cookie.split(';').next().unwrap();
    assert!(!cookie.contains("long"));
    let page = served.ask("/", &[("cookie", cookie)], None).await;
    assert!(page.code == 200 && page.body.contains("orders"));
    assert_eq!(served.get("/health").await.code, 200, "who watches needs no token");
}

#[tokio::test]
async fn a_page_loads_itself_again_if_that_is_wanted() {
    let served = Served::start(None).await;
    let body = served.get("/?refresh=5").await.body;
    assert!(body.contains("Loaded again every 5 s"), "{body}");
    assert!(served.get("/?refresh=0").await.body.contains("Load again every 2 s"));
}
