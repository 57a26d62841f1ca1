//! Tests of the REST interface. The expected answers are those of a real worker.

use std::net::SocketAddr;

use devstack::http::{Answer, request};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::check as check_health;
use super::{ConnectorState, HealthError, Identity, Question, RestState, bind, serve, worker_id};
use crate::connector::{Connector, ProcessVariables, parse};
use crate::metrics::Metrics;
use crate::readiness::Phase;

/// A reader's REST interface on a free port, with nothing behind it.
struct Served {
    address: SocketAddr,
    state: RestState,
    cancel: CancellationToken,
}

impl Served {
    async fn start(connector: &Connector) -> Self {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity {
            name: connector.name.clone(),
            config: connector.shown(),
            version: connector.settings.version.clone(),
            topic_prefix: connector.settings.topic_prefix.clone(),
            worker_id: worker_id(address, None),
        };
        let state = RestState::new(identity, Metrics::new(&connector.settings.topic_prefix));
        let cancel = CancellationToken::new();
        tokio::spawn(serve(listener, state.clone(), cancel.clone()));
        Self { address, state, cancel }
    }

    async fn ask(&self, method: &'static str, path: &str) -> Answer {
        ask(method, format!("http://{}{path}", self.address)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn ask(method: &'static str, url: String) -> Answer {
    tokio::task::spawn_blocking(move || request(method, &url, None).unwrap()).await.unwrap()
}

/// A real worker's answer. While others create and delete connectors it rebalances, and answers most questions with a
/// conflict.
async fn ask_worker(url: &str, path: &str) -> Answer {
    let patience = std::time::Duration::from_secs(90);
    devstack::wait_for_async(patience, "the worker to have rebalanced", async || {
        let answer = ask("GET", format!("{url}{path}")).await;
        if answer.status == 409 { Err(answer.body) } else { Ok(Some(answer)) }
    })
    .await
}

fn connector(name: &str, password: &str) -> Connector {
    parse(&config(name, password, 5432).to_string(), &ProcessVariables).unwrap()
}

fn config(name: &str, password: &str, port: u16) -> Value {
    json!({"name": name, "config": {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": "127.0.0.1",
        "database.port": port.to_string(),
        "database.user": "admin",
        "database.password": password,
        "database.dbname": name,
        "topic.prefix": name,
        "plugin.name": "pgoutput",
        "slot.name": name,
        "publication.name": name,
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
    }})
}

#[track_caller]
fn check(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (status, body));
    assert!(answer.head.to_ascii_lowercase().contains("content-type: application/json"));
}

#[tokio::test]
async fn a_running_connector_is_described_in_a_worker_s_order() {
    let served = Served::start(&connector("air", "x")).await;
    served.state.set(ConnectorState::Running);
    served.state.set_kafka_cluster_id("abc");
    for topic in ["air.public.b", "air.public.a", "air.public.b"] {
        served.state.note_topic(topic);
    }
    served.state.set_offset(json!({"lsn": 7, "txId": 1}));
    let worker = served.address;
    let running = format!(r#""state":"RUNNING","worker_id":"{worker}","version":"3.6.0.Final""#);
    let status = format!(
        r#"{{"name":"air","connector":{{{running}}},"tasks":[{{"id":0,{running}}}],"type":"source"}}"#
    );
    check(&served.get("/connectors/air/status").await, 200, &status);
    check(
        &served.get("/connectors?expand=status").await,
        200,
        &format!(r#"{{"air":{{"status":{status}}}}}"#),
    );
    check(&served.get("/connectors").await, 200, r#"["air"]"#);
    check(&served.get("/connectors/").await, 200, r#"["air"]"#);
    check(&served.get("/connectors?expand=nope").await, 200, r#"{"air":{}}"#);
    check(
        &served.get("/").await,
        200,
        &format!(
            r#"{{"version":"4.3.0","commit":"vaultstream-{}","kafka_cluster_id":"abc"}}"#,
            env!("CARGO_PKG_VERSION")
        ),
    );
    check(
        &served.get("/connectors/air/topics").await,
        200,
        r#"{"air":{"topics":["air.public.b","air.public.a"]}}"#,
    );
    check(
        &served.get("/connectors/air/offsets").await,
        200,
        r#"{"offsets":[{"partition":{"server":"air"},"offset":{"lsn":7,"txId":1}}]}"#,
    );
}

#[tokio::test]
async fn a_password_in_the_file_is_not_in_any_answer() {
    let served = Served::start(&connector("air", "hunter2")).await;
    for path in [
        "/connectors/air",
        "/connectors/air/config",
        "/connectors/air/tasks",
        "/connectors?expand=info",
    ] {
        let answer = served.get(path).await;
        assert!(answer.body.contains(r#""database.password":"***""#), "{path}: {}", answer.body);
        assert!(!answer.body.contains("hunter2"), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_changes_a_connector_is_a_method_that_is_not_allowed() {
    let served = Served::start(&connector("air", "x")).await;
    let body = r#"{"error_code":405,"message":"HTTP 405 Method Not Allowed"}"#;
    for (method, path) in [
        ("POST", "/connectors"),
        ("DELETE", "/connectors/air"),
        ("PUT", "/connectors/air/config"),
        ("PUT", "/connectors/air/pause"),
        ("POST", "/connectors/air/restart"),
        ("DELETE", "/connectors/air/offsets"),
        ("POST", "/health"),
        ("PUT", "/"),
    ] {
        check(&served.ask(method, path).await, 405, body);
    }
    let body = r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#;
    check(&served.get("/connectors/air/nope").await, 404, body);
}

#[tokio::test]
async fn a_reader_is_healthy_from_its_start_to_its_failure() {
    let served = Served::start(&connector("air", "x")).await;
    let address = served.address.to_string();
    for state in [
        ConnectorState::Unassigned,
        ConnectorState::Running,
        ConnectorState::Restarting,
        ConnectorState::Paused,
    ] {
        served.state.set(state);
        assert_eq!(served.get("/health").await.status, 200);
        check_health(&address, Question::Health).await.unwrap();
    }

    served.state.set_task(ConnectorState::Failed { trace: "slot is gone\n\tbecause".to_owned() });
    let answer = served.get("/health").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains(r#""status":"unhealthy""#) && answer.body.contains("slot is gone")
    );
    let task = served.get("/connectors/air/tasks/0/status").await.json().unwrap();
    assert_eq!(task["state"], "FAILED");
    assert_eq!(task["trace"], "slot is gone\n\tbecause");
}

#[tokio::test]
async fn a_reader_is_ready_while_it_streams() {
    let served = Served::start(&connector("air", "x")).await;
    let address = served.address.to_string();
    let ready = || check_health(&address, Question::Ready);
    let waiting = r#"{"status":"not ready","message":"connecting to the source and to Kafka"}"#;
    check(&served.get("/ready").await, 503, waiting);
    assert!(matches!(ready().await, Err(HealthError::Unhealthy { code: 503, .. })));
    let metric = async || served.get("/metrics").await.body;
    assert!(metric().await.contains("\ncdc_reader_ready 0\n"));

    let now = std::time::Instant::now();
    served.state.progress().enter(Phase::Streaming, now);
    check(&served.get("/ready").await, 200, r#"{"status":"ready"}"#);
    ready().await.unwrap();
    assert!(metric().await.contains("\ncdc_reader_ready 1\n"));

    served.state.progress().enter(Phase::Restarting { cause: "gone".to_owned() }, now);
    let restarting = r#"{"status":"not ready","message":"connecting again after a failure: gone"}"#;
    check(&served.get("/ready").await, 503, restarting);
}

#[tokio::test]
async fn the_health_check_names_what_is_wrong_with_the_address() {
    let taken = bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = bind(&address).await.unwrap_err().to_string();
    assert!(refused.contains(&address) && refused.contains("CDC_READER_LISTEN"), "{refused}");
    drop(taken);
    let unreachable = check_health(&address, Question::Health).await.unwrap_err();
    assert!(matches!(unreachable, HealthError::Unreachable { .. }), "{unreachable}");
}

#[tokio::test]
async fn metrics_are_served_in_the_form_that_prometheus_asks_for() {
    let served = Served::start(&connector("air", "x")).await;
    let answer = served.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains(crate::metrics::CONTENT_TYPE), "{}", answer.head);
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn serving_ends_when_it_is_cancelled_though_a_client_holds_its_connection() {
    let connector = connector("air", "x");
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let idle = Served::start(&connector).await;
    let cancel = CancellationToken::new();
    let server = tokio::spawn(serve(listener, idle.state.clone(), cancel.clone()));
    let _held = tokio::net::TcpStream::connect(address).await.unwrap();
    cancel.cancel();
    server.await.unwrap();
}

/// Every answer that both can give is compared with the one of a worker that runs Debezium with the same configuration.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_a_real_worker() {
    let name = format!("rest{}", std::process::id());
    let real = tokio::task::spawn_blocking({
        let name = name.clone();
        move || RealConnector::create(&name)
    })
    .await
    .unwrap();
    let worker = real.rest.url().to_owned();
    let connector =
        parse(&config(&name, "adminpassword", real.port).to_string(), &ProcessVariables);
    let served = Served::start(&connector.unwrap()).await;
    served.state.set(ConnectorState::Running);

    let paths = [
        "/connectors/NAME",
        "/connectors/NAME/",
        "/connectors/NAME/config",
        "/connectors/NAME/status",
        "/connectors/NAME/tasks",
        "/connectors/NAME/tasks/0/status",
        "/connectors/NAME/tasks/1/status",
        "/connectors/NAME/tasks/x/status",
        "/connectors/NAME/tasks/0",
        "/connectors/NAME/nope",
        "/connectors/nope",
        "/connectors/nope/config",
        "/connectors/nope/status",
        "/connectors/nope/tasks",
        "/connectors/nope/tasks/0/status",
        "/connectors/nope/topics",
        "/connectors/nope/offsets",
        "/connectors/a%20b",
        "/connector-plugins",
        "/admin/loggers",
        "/health",
        "/nope",
    ];
    for path in paths.map(|path| path.replace("NAME", &name)) {
        let theirs = ask_worker(&worker, &path).await;
        let ours = served.get(&path).await;
        assert_eq!(ours.status, theirs.status, "{path}");
        let theirs = comparable(&theirs.body, &worker);
        let ours = comparable(&ours.body, &format!("http://{}", served.address));
        assert_eq!(ours, theirs, "{path}");
    }
    for (method, path) in [
        ("PUT", "/"),
        ("DELETE", "/connectors"),
        ("POST", "/connectors/x/status"),
        ("PUT", "/health"),
    ] {
        let theirs = ask(method, format!("{worker}{path}")).await;
        let ours = served.ask(method, path).await;
        assert_eq!((ours.status, ours.body), (theirs.status, theirs.body), "{method} {path}");
    }
    let expanded = "/connectors?expand=info&expand=status";
    let theirs = ask_worker(&worker, expanded).await.json().unwrap();
    let ours = served.get(expanded).await.json().unwrap();
    let members =
        |value: &Value| value[&name].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&ours), members(&theirs));
}

/// A Debezium that captures a database of this test's own, deleted at the end, however that comes.
struct RealConnector {
    rest: devstack::ConnectRest,
    port: u16,
    name: String,
}

impl RealConnector {
    fn create(name: &str) -> Self {
        let stack = devstack::shared::stack();
        let database = &stack.postgres15;
        database.execute("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        database.execute(name, "CREATE TABLE t(id int PRIMARY KEY)").unwrap();
        let real = Self { rest: stack.connect(), port: database.port, name: name.to_owned() };
        real.rest.create(&config(name, "adminpassword", database.port)).unwrap();
        real
    }
}

impl Drop for RealConnector {
    fn drop(&mut self) {
        if let Err(error) = self.rest.delete(&self.name) {
            eprintln!("connector {} stays: {error:#}", self.name);
        }
        // The worker lets go of the slot a moment after it has forgotten the connector.
        let slot = format!("SELECT pg_drop_replication_slot('{}')", self.name);
        let database = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let primary = &devstack::shared::stack().postgres15;
        let patience = std::time::Duration::from_secs(20);
        let dropped = devstack::try_wait_for(patience, "the slot to be dropped", || {
            primary.execute("postgres", &slot).map(|()| Some(()))
        })
        .and_then(|()| primary.execute("postgres", &database));
        if let Err(error) = dropped {
            eprintln!("slot or database {} stays: {error:#}", self.name);
        }
    }
}

/// The text with its one deliberate difference taken out: members of a configuration sorted, the password masked, the
/// worker's own address replaced. Everything else has to be equal to the letter.
fn comparable(body: &str, url: &str) -> String {
    let mut value: Value = serde_json::from_str(body).unwrap();
    sort_configurations(&mut value);
    let address = url.trim_start_matches("http://");
    value.to_string().replace(address, "worker").replace("adminpassword", "***")
}

fn sort_configurations(value: &mut Value) {
    match value {
        Value::Object(members) if members.contains_key("connector.class") => members.sort_keys(),
        Value::Object(members) => members.values_mut().for_each(sort_configurations),
        Value::Array(items) => items.iter_mut().for_each(sort_configurations),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
