//! Paths and their answers, as Kafka Connect 4.3.0 with Debezium 3.6.0.Final gives them.
//!
//! In: a request and the state. Out: a status code and a body whose members stand in the worker's own order.

use std::time::Instant;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::health;
use super::state::{ConnectorState, RestState};
use crate::connector::properties::CONNECTOR_CLASS;
use crate::metrics;
use crate::readiness::judge;

/// The version of Kafka Connect whose answers these are.
const CONNECT_VERSION: &str = "4.3.0";

/// Stands in the place of the commit that a worker was built from, and says which program this really is.
const COMMIT: &str = concat!("vaultstream-", env!("CARGO_PKG_VERSION"));

/// The class of Debezium's task, which a worker adds to a task's configuration.
const TASK_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnectorTask";

/// Paths by which a worker can be changed. They are known here, but no method on them is allowed.
const CLOSED: [&str; 8] = [
    "/connectors/{name}/pause",
    "/connectors/{name}/resume",
    "/connectors/{name}/stop",
    "/connectors/{name}/restart",
    "/connectors/{name}/topics/reset",
    "/connectors/{name}/tasks/{task}/restart",
    "/connector-plugins/{plugin}/config/validate",
    "/admin/loggers/{logger}",
];

pub(super) fn router(state: RestState) -> Router {
    let open: [(&str, MethodRouter<RestState>); 13] = [
        ("/connectors", get(connectors)),
        ("/connectors/{name}", get(connector)),
        ("/connectors/{name}/config", get(config)),
        ("/connectors/{name}/status", get(status)),
        ("/connectors/{name}/tasks", get(tasks)),
        ("/connectors/{name}/tasks/{task}/status", get(task_status)),
        ("/connectors/{name}/topics", get(topics)),
        ("/connectors/{name}/offsets", get(offsets)),
        ("/connector-plugins", get(plugins)),
        ("/admin/loggers", get(loggers)),
        ("/health", get(health::health)),
        ("/ready", get(health::ready)),
        ("/metrics", get(scrape)),
    ];
    let closed = CLOSED.into_iter().map(|path| (path, MethodRouter::new()));
    let router = open.into_iter().chain(closed).fold(
        Router::new().route("/", get(root)),
        // A slash at the end makes no difference to a worker.
        |router, (path, methods)| {
            router.route(&format!("{path}/"), methods.clone()).route(path, methods)
        },
    );
    router
        .fallback(|| async { Answer::error(StatusCode::NOT_FOUND, "HTTP 404 Not Found") })
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        let allow = [(ALLOW, "HEAD,GET,OPTIONS"), (CONTENT_TYPE, "text/plain")];
        return (StatusCode::OK, allow, "HEAD, GET, OPTIONS").into_response();
    }
    Answer::error(StatusCode::METHOD_NOT_ALLOWED, "HTTP 405 Method Not Allowed").into_response()
}

async fn root(State(state): State<RestState>) -> Answer {
    Answer::ok(json!({
        "version": CONNECT_VERSION,
        "commit": COMMIT,
        "kafka_cluster_id": state.kafka_cluster_id(),
    }))
}

async fn connectors(State(state): State<RestState>, RawQuery(query): RawQuery) -> Answer {
    let name = &state.identity().name;
    let query = query.unwrap_or_default();
    let expansions: Vec<&str> = query
        .split('&')
        .filter_map(|pair| match pair.split_once('=') {
            Some(("expand", what)) => Some(what),
            None if pair == "expand" => Some(""),
            _ => None,
        })
        .collect();
    if expansions.is_empty() {
        return Answer::ok(json!([name]));
    }
    let mut expanded = Map::new();
    for expansion in expansions {
        match expansion {
            "status" => expanded.insert("status".to_owned(), status_body(&state)),
            "info" => expanded.insert("info".to_owned(), info_body(&state)),
            // A worker logs it and goes on.
            _ => None,
        };
    }
    Answer::ok(json!({name: expanded}))
}

async fn connector(State(state): State<RestState>, Path(name): Path<String>) -> Answer {
    found(&state, &name, info_body)
}

async fn config(State(state): State<RestState>, Path(name): Path<String>) -> Answer {
    found(&state, &name, |state| config_body(state).into())
}

async fn status(State(state): State<RestState>, Path(name): Path<String>) -> Answer {
    if name == state.identity().name {
        return Answer::ok(status_body(&state));
    }
    Answer::error(StatusCode::NOT_FOUND, &format!("No status found for connector {name}"))
}

async fn tasks(State(state): State<RestState>, Path(name): Path<String>) -> Answer {
    found(&state, &name, |state| {
        let mut config = config_body(state);
        config.insert("task.class".to_owned(), TASK_CLASS.into());
        json!([{"id": {"connector": state.identity().name, "task": 0}, "config": config}])
    })
}

async fn task_status(
    State(state): State<RestState>,
    Path((name, task)): Path<(String, String)>,
) -> Answer {
    let Ok(task) = task.parse::<i32>() else {
        return Answer::error(StatusCode::NOT_FOUND, "HTTP 404 Not Found");
    };
    if name == state.identity().name && task == 0 {
        return Answer::ok(task_body(&state));
    }
    Answer::error(StatusCode::NOT_FOUND, &format!("No status found for task {name}-{task}"))
}

async fn topics(State(state): State<RestState>, Path(name): Path<String>) -> Answer {
    let topics = if name == state.identity().name { state.topics() } else { Vec::new() };
    Answer::ok(json!({name: {"topics": topics}}))
}

async fn offsets(State(state): State<RestState>, Path(name): Path<String>) -> Answer {
    found(&state, &name, |state| {
        let partition = json!({"server": state.identity().topic_prefix});
        let stored = state.offset().map(|offset| json!({"partition": partition, "offset": offset}));
        json!({"offsets": stored.into_iter().collect::<Vec<_>>()})
    })
}

async fn plugins(State(state): State<RestState>) -> Answer {
    let version = &state.identity().version;
    Answer::ok(json!([{"class": CONNECTOR_CLASS, "type": "source", "version": version}]))
}

async fn loggers() -> Answer {
    Answer::ok(json!({}))
}

async fn scrape(State(state): State<RestState>) -> Response {
    let ready = judge(&state.progress().facts(Instant::now())).is_ok();
    state.metrics().ready.set(i64::from(ready));
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics().encode()).into_response()
}

fn found(state: &RestState, name: &str, body: impl FnOnce(&RestState) -> Value) -> Answer {
    if name == state.identity().name { Answer::ok(body(state)) } else { Answer::no_connector(name) }
}

fn config_body(state: &RestState) -> Map<String, Value> {
    let config = &state.identity().config;
    config.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

fn info_body(state: &RestState) -> Value {
    let name = &state.identity().name;
    // A worker lists a task once the connector has been assigned.
    let started = state.status().connector != ConnectorState::Unassigned;
    let tasks: Vec<Value> =
        started.then(|| json!({"connector": name, "task": 0})).into_iter().collect();
    json!({"name": name, "config": config_body(state), "tasks": tasks, "type": "source"})
}

fn status_body(state: &RestState) -> Value {
    json!({
        "name": state.identity().name,
        "connector": state_body(state, Map::new(), &state.status().connector),
        "tasks": [task_body(state)],
        "type": "source",
    })
}

fn task_body(state: &RestState) -> Value {
    let mut body = Map::new();
    body.insert("id".to_owned(), 0.into());
    state_body(state, body, &state.status().task).into()
}

fn state_body(
    state: &RestState,
    mut body: Map<String, Value>,
    shown: &ConnectorState,
) -> Map<String, Value> {
    let identity = state.identity();
    body.insert("state".to_owned(), shown.as_str().into());
    body.insert("worker_id".to_owned(), identity.worker_id.as_str().into());
    body.insert("version".to_owned(), identity.version.as_str().into());
    if let Some(trace) = shown.trace() {
        body.insert("trace".to_owned(), trace.into());
    }
    body
}
