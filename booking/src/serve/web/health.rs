//! How the parts of the service are, for the home page.
//!
//! In: the service. Out: a line for each part that is configured. A part that does not answer in time is away; the page
//! waits for none of them longer. To add a part: a function that looks at it and gives words, and a line in [`parts`].

use std::time::{Duration, Instant};

use tokio_postgres::Transaction;

use super::super::problem::{Kind, Problem};
use super::super::state::Service;
use super::super::work::{Failure, Mode, Work};
use super::reports;

/// How long a part may take to answer.
pub(crate) const TIME: Duration = Duration::from_secs(2);

/// A part as the page shows it.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Whether it does its work.
    pub(crate) is_well: bool,
    /// What it says of itself, or why it does not do its work.
    pub(crate) words: String,
    /// How long it took to answer, milliseconds.
    pub(crate) took_ms: u128,
}

/// Looks at a part. The outcome is what the part says of itself, or why it does not do its work.
pub(crate) async fn probe(
    name: &'static str,
    look: impl Future<Output = Result<String, Problem>>,
) -> Part {
    let started = Instant::now();
    let outcome = tokio::time::timeout(TIME, look).await.unwrap_or_else(|_| {
        let detail = format!("does not answer within {} s", TIME.as_secs());
        Err(Problem::new(Kind::Unavailable, detail))
    });
    let is_well = outcome.is_ok();
    let words = outcome.unwrap_or_else(|problem| problem.detail().to_owned());
    Part { name, is_well, words, took_ms: started.elapsed().as_millis() }
}

/// All parts that are configured, all asked at the same time.
pub(crate) async fn parts(service: &Service, primary: Option<&Node>) -> Vec<Part> {
    let primary = probe("Primary", async { primary_words(primary) });
    let replica = optional(service.has_replica(), probe("Replica", replica(service)));
    let warehouse = optional(service.has_warehouse(), probe("Warehouse", reports::health(service)));
    let has_redis = service.options().redis.is_some();
    let redis = optional(has_redis, probe("Redis", async { redis_words(service) }));
    let uploads = optional(service.uploads().is_ok(), probe("Uploads", uploads(service)));
    let (primary, replica, warehouse, redis, uploads) =
        tokio::join!(primary, replica, warehouse, redis, uploads);
    let others = [replica, warehouse, redis, uploads].into_iter().flatten();
    std::iter::once(primary).chain(others).collect()
}

/// A part that may not be configured.
async fn optional(is_configured: bool, part: impl Future<Output = Part>) -> Option<Part> {
    if is_configured { Some(part.await) } else { None }
}

fn redis_words(service: &Service) -> Result<String, Problem> {
    let away = "is not heard: chats are a second slower, and searches are not kept";
    if service.bell().hears_others() {
        return Ok("tells the other instances of new chat messages, and keeps searches".to_owned());
    }
    Err(Problem::new(Kind::Unavailable, away))
}

fn primary_words(node: Option<&Node>) -> Result<String, Problem> {
    let away = || Problem::new(Kind::Unavailable, "the database cannot be reached");
    let node = node.ok_or_else(away)?;
    if node.is_replica {
        return Err(Problem::new(Kind::Unavailable, "it takes no writes: it is a replica"));
    }
    Ok("takes writes".to_owned())
}

async fn replica(service: &Service) -> Result<String, Problem> {
    let node = service.look_at_replica(&Look).await?;
    Ok(match node.delay_s {
        _ if !node.is_replica => "answers reads; it is no replica".to_owned(),
        Some(delay) => format!("answers reads; its last transaction is {delay:.1} s old"),
        None => "answers reads".to_owned(),
    })
}

async fn uploads(service: &Service) -> Result<String, Problem> {
    service.uploads()?.store().probe().await?;
    Ok("takes files".to_owned())
}

/// The server that answers behind an address.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Its own address and port; a socket has none.
    pub(crate) address: String,
    pub(crate) is_replica: bool,
    pub(crate) version: String,
    /// What tells one cluster from another: its replicas have the same.
    pub(crate) system_identifier: String,
    /// Counts the promotions of replicas.
    pub(crate) timeline: i32,
    /// How long ago the last transaction that a replica knows was committed.
    pub(crate) delay_s: Option<f64>,
}

/// Asks which server answers.
#[derive(Debug)]
pub(crate) struct Look;

impl Work for Look {
    type Output = Node;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Node, Failure> {
        let row = tx
            .query_typed_one(
                "SELECT
                     coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket'),
                     pg_catalog.pg_is_in_recovery(),
                     current_setting('server_version'),
                     (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
                     (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
                     extract(epoch FROM clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
                         ::double precision",
                &[],
            )
            .await?;
        Ok(Node {
            address: row.get(0),
            is_replica: row.get(1),
            version: row.get(2),
            system_identifier: row.get(3),
            timeline: row.get(4),
            delay_s: row.get(5),
        })
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}
