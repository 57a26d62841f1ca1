//! What all requests share: the databases, the limits, the counts.
//!
//! In: settings. Out: reads and changes. A read that may be a little old goes to the replica, if there is one, and to
//! the primary when the replica fails. Everything else goes to the primary. A replica that hangs accepts connections
//! and never answers: it has a part of the request's time, and then it is left alone for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::cache::Cache;
use super::limiter::{Limiter, Rate};
use super::metrics::Metrics;
use super::passwords::Passwords;
use super::pool::{Pool, Use};
use super::problem::{Kind, Problem};
use super::redis_link::Link;
use super::settings::ServeOptions;
use super::touched;
use super::uploads::Uploads;
use super::work::{Patience, Work, run};

/// How long a replica that did not answer in time is asked nothing.
const REST: Duration = Duration::from_secs(5);

/// Connections to the warehouse at most: its questions are large, and nobody waits for them to book.
const WAREHOUSE_POOL: usize = 4;
/// How long a question to the warehouse may take.
const WAREHOUSE_TIME: Duration = Duration::from_secs(5);

/// The state, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Service(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: ServeOptions,
    primary: Pool,
    replica: Option<Replica>,
    warehouse: Option<Pool>,
    patience: Patience,
    metrics: Metrics,
    passwords: Passwords,
    requests: Option<Limiter>,
    sign_ins: Option<Limiter>,
    messages: Option<Limiter<i64>>,
    bell: Bell,
    cache: Cache,
    uploads: Option<Uploads>,
}

/// The replica, and whether it is asked.
#[derive(Debug)]
struct Replica {
    pool: Pool,
    rests_until: Mutex<Option<Instant>>,
}

impl Replica {
    fn new(pool: Pool) -> Self {
        Self { pool, rests_until: Mutex::default() }
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// It did not answer in time: its connections are not used again, and it is left alone for a while.
    fn rest(&self) {
        tracing::warn!(rest_s = REST.as_secs(), "the replica does not answer in time");
        let until = Instant::now() + REST;
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.pool.forget_idle();
    }
}

impl Service {
    pub(crate) fn new(options: ServeOptions) -> Self {
        let pool = |target| Pool::new(target, options.pool_size, options.pool_wait);
        let limiter = |per_second: f64, burst: f64| {
            (per_second > 0.0).then(|| Limiter::new(Rate { per_second, burst: burst.max(1.0) }))
        };
        let metrics = Metrics::default();
        // A slow command of the cache has its connection rest, and not that of the chats.
        let link = || options.redis.clone().map(|target| Link::new(target, options.redis_time));
        let shared = Shared {
            messages: (options.chat_rate > 0.0).then(|| {
                let burst = options.chat_burst.max(1.0);
                Limiter::new(Rate { per_second: options.chat_rate, burst })
            }),
            bell: Bell::new(link(), metrics.live().clone()),
            cache: Cache::new(link(), options.search_time, metrics.live().clone()),
            primary: pool(options.primary.clone()),
            replica: options.replica.clone().map(pool).map(Replica::new),
            warehouse: options.warehouse.clone().map(|warehouse| {
                Pool::new(warehouse, WAREHOUSE_POOL, options.pool_wait.min(WAREHOUSE_TIME))
            }),
            // A request has time to be done again after a failover, and its last statement may still end.
            patience: Patience {
                statement: options.request_time,
                again: options.request_time.mul_f64(0.8),
            },
            metrics,
            passwords: Passwords::default(),
            requests: limiter(options.rate, options.burst),
            sign_ins: limiter(options.sign_in_rate, options.sign_in_burst),
            uploads: options.uploads.clone().map(Uploads::new),
            options,
        };
        Self(Arc::new(shared))
    }

    pub(crate) fn options(&self) -> &ServeOptions {
        &self.0.options
    }

    /// What the instance is called.
    pub(crate) fn instance(&self) -> &str {
        self.0.options.instance.as_deref().unwrap_or("unnamed")
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// The limit of all requests.
    pub(crate) fn requests(&self) -> Option<&Limiter> {
        self.0.requests.as_ref()
    }

    /// The limit of attempts to sign up or in.
    pub(crate) fn sign_ins(&self) -> Option<&Limiter> {
        self.0.sign_ins.as_ref()
    }

    /// The store of files, if there is one.
    pub(crate) fn uploads(&self) -> Result<&Uploads, Problem> {
        self.0
            .uploads
            .as_ref()
            .ok_or_else(|| Problem::new(Kind::Unavailable, "this service has no store of files"))
    }

    pub(crate) fn primary(&self) -> &Pool {
        &self.0.primary
    }

    /// How the pools are used.
    pub(crate) fn usage(&self) -> Vec<(&'static str, Use)> {
        let replica = self.0.replica.as_ref().map(|replica| ("replica", replica.pool.usage()));
        let warehouse = self.0.warehouse.as_ref().map(|pool| ("warehouse", pool.usage()));
        let primary = std::iter::once(("primary", self.0.primary.usage()));
        primary.chain(replica).chain(warehouse).collect()
    }

    /// Does work on the primary.
    pub(crate) async fn on_primary<W: Work>(&self, work: &W) -> Result<W::Output, Problem> {
        run(&self.0.primary, self.0.patience, &self.0.metrics, work).await
    }

    /// The limit of a customer's chat messages.
    pub(crate) fn messages(&self) -> Option<&Limiter<i64>> {
        self.0.messages.as_ref()
    }

    /// The bell of the chats.
    pub(crate) fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// What searches have found.
    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Does work that changes what can be bought. Before its client learns the outcome, no instance shows the state
    /// before it any more.
    pub(crate) async fn change<W: Work>(&self, work: &W) -> Result<W::Output, Problem> {
        let (outcome, touched) = touched::watch(self.on_primary(work)).await;
        let may_be_done = match &outcome {
            Ok(_) => true,
            Err(problem) => problem.kind == Kind::OutcomeUnknown,
        };
        if may_be_done {
            self.0.cache.forget(&touched).await;
        }
        outcome
    }

    /// Reads what may be a little old.
    pub(crate) async fn on_replica<W: Work>(&self, work: &W) -> Result<W::Output, Problem> {
        let Some(replica) = self.0.replica.as_ref().filter(|replica| !replica.rests()) else {
            return self.on_primary(work).await;
        };
        // A replica that is away or hangs must not cost the time in which the primary could answer.
        let time = self.0.options.request_time / 4;
        let short = Patience { statement: time, again: self.0.patience.again / 8 };
        let asked = run(&replica.pool, short, &self.0.metrics, work);
        // Bound to a name, so that the connection is back in its pool before the pool is emptied.
        let outcome = tokio::time::timeout(time, asked).await;
        match outcome {
            Ok(Err(problem)) if problem.kind == Kind::Unavailable => {}
            Ok(outcome) => return outcome,
            Err(_) => replica.rest(),
        }
        self.on_primary(work).await
    }

    pub(crate) fn has_replica(&self) -> bool {
        self.0.replica.is_some()
    }

    /// Asks the replica and nobody else.
    pub(crate) async fn look_at_replica<W: Work>(&self, work: &W) -> Result<W::Output, Problem> {
        let Some(replica) = &self.0.replica else {
            return Err(Problem::new(Kind::Unavailable, "there is no replica"));
        };
        let time = self.0.options.request_time / 4;
        let short = Patience { statement: time, again: Duration::ZERO };
        run(&replica.pool, short, &self.0.metrics, work).await
    }

    pub(crate) fn has_warehouse(&self) -> bool {
        self.0.warehouse.is_some()
    }

    /// Asks the warehouse, for a bounded time.
    pub(crate) async fn on_warehouse<W: Work>(&self, work: &W) -> Result<W::Output, Problem> {
        let Some(warehouse) = &self.0.warehouse else {
            return Err(Problem::new(Kind::Unavailable, "no warehouse is configured"));
        };
        let time = WAREHOUSE_TIME.min(self.0.options.request_time / 2);
        let patience = Patience { statement: time, again: Duration::ZERO };
        let asked = run(warehouse, patience, &self.0.metrics, work);
        tokio::time::timeout(time, asked).await.unwrap_or_else(|_| {
            let detail = format!("the warehouse does not answer within {} s", time.as_secs_f32());
            Err(Problem::new(Kind::Unavailable, detail))
        })
    }

    /// Gives no connection to anybody any more.
    pub(crate) fn close(&self) {
        self.0.primary.close();
        if let Some(replica) = &self.0.replica {
            replica.pool.close();
        }
        if let Some(warehouse) = &self.0.warehouse {
            warehouse.close();
        }
    }
}
