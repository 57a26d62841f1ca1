//! What all requests share: the databases, the limits, the counts.
//!
//! In: settings. Out: reads and changes. A read that may be a little old goes to the replica, if there is one, and to
//! the primary when the replica fails. Everything else goes to the primary. A replica that hangs accepts connections
//! and never answers: it has a part of the request's time, and then it is left alone for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::limiter::{Limiter, Rate};
use super::metrics::Metrics;
use super::passwords::Passwords;
use super::pool::{Pool, Use};
use super::problem::{Kind, Problem};
use super::settings::ServeOptions;
use super::uploads::Uploads;
use super::work::{Patience, Work, run};

/// How long a replica that did not answer in time is asked nothing.
const REST: Duration = Duration::from_secs(5);

/// The state, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Service(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: ServeOptions,
    primary: Pool,
    replica: Option<Replica>,
    patience: Patience,
    metrics: Metrics,
    passwords: Passwords,
    requests: Option<Limiter>,
    sign_ins: Option<Limiter>,
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
        let shared = Shared {
            primary: pool(options.primary.clone()),
            replica: options.replica.clone().map(pool).map(Replica::new),
            // A request has time to be done again after a failover, and its last statement may still end.
            patience: Patience {
                statement: options.request_time,
                again: options.request_time.mul_f64(0.8),
            },
            metrics: Metrics::default(),
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
        std::iter::once(("primary", self.0.primary.usage())).chain(replica).collect()
    }

    /// Does work on the primary.
    pub(crate) async fn on_primary<W: Work>(&self, work: &W) -> Result<W::Output, Problem> {
        run(&self.0.primary, self.0.patience, &self.0.metrics, work).await
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

    /// Gives no connection to anybody any more.
    pub(crate) fn close(&self) {
        self.0.primary.close();
        if let Some(replica) = &self.0.replica {
            replica.pool.close();
        }
    }
}
