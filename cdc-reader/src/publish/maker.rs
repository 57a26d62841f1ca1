//! Makes the topics that records are sent to, beside the thread that sends them.
//!
//! In: the names of the captured tables' topics at a session's start, and the name of each record's topic. Out: topics
//! that exist, or the failure that ends the session. A topic is looked for, and made where it is missing, at the start
//! or when its first record comes.
//!
//! Invariants: the sending thread never waits here. The records of a topic that does not exist yet wait in librdkafka,
//! in their order and within the bound of the producer's queue; the records of other topics go on. A topic that cannot
//! be made now is tried again without end, because the cluster may only be slow or away. A topic that can never be made
//! is a failure.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shared::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use shared::kafka::Cluster;

use super::failure::PublishError;
use super::topics::{NewTopics, TopicAdmin};
use crate::disposition::Disposition;

/// The first wait before a topic is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(200);

/// The longest one. A cluster that is back is noticed within it.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How long a start waits for its topics. Topics that are not made by then are made beside the stream.
const START_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often that wait looks.
const START_WAIT_STEP: Duration = Duration::from_millis(20);

/// What is called with the name of each topic that gets its first record.
pub type OnFirstRecord = Box<dyn Fn(&str) + Send>;

/// The topics that one producer writes to.
pub struct TopicMaker {
    /// Those that were asked for.
    asked: HashSet<String>,
    /// Those that have had a record.
    used: HashSet<String>,
    /// The last one that was needed: rows of one table follow each other.
    last: String,
    on_first_record: OnFirstRecord,
    requests: Option<Sender<String>>,
    /// Topics that were asked for and are not made yet.
    missing: Arc<AtomicUsize>,
    failure: Arc<Mutex<Option<PublishError>>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl TopicMaker {
    /// Starts the thread that makes topics of the form `new` at these brokers.
    #[must_use]
    pub fn start(
        cluster: &Cluster,
        new: NewTopics,
        runtime: tokio::runtime::Handle,
        on_first_record: OnFirstRecord,
    ) -> Self {
        let (sender, requests) = channel();
        let (failure, stop) = (Arc::default(), CancellationToken::new());
        let missing = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            cluster: cluster.clone(),
            new,
            runtime,
            requests,
            missing: Arc::clone(&missing),
            failure: Arc::clone(&failure),
            stop: stop.clone(),
        };
        Self {
            asked: HashSet::new(),
            used: HashSet::new(),
            last: String::new(),
            on_first_record,
            requests: Some(sender),
            missing,
            failure,
            stop,
            thread: Some(std::thread::spawn(move || worker.run())),
        }
    }

    /// A record is about to be sent to this topic.
    pub fn need(&mut self, topic: &str) {
        if self.last == topic {
            return;
        }
        topic.clone_into(&mut self.last);
        if self.used.insert(topic.to_owned()) {
            (self.on_first_record)(topic);
            self.ask(topic);
        }
    }

    fn ask(&mut self, topic: &str) {
        if self.asked.insert(topic.to_owned()) {
            self.missing.fetch_add(1, Ordering::Relaxed);
            // The thread ends only when the sender is gone.
            let _ = self.requests.as_ref().map(|requests| requests.send(topic.to_owned()));
        }
    }

    /// Asks for these topics before they have a record, and waits a while for them. A consumer that is there from the
    /// start then knows all of them, whenever their first records come.
    pub fn prepare(&mut self, topics: impl Iterator<Item = String>, stop: &CancellationToken) {
        topics.for_each(|topic| self.ask(&topic));
        let begin = Instant::now();
        while self.missing.load(Ordering::Relaxed) > 0
            && begin.elapsed() < START_WAIT_MAX
            && !stop.is_cancelled()
            && self.failure().is_none()
        {
            std::thread::sleep(START_WAIT_STEP);
        }
    }

    /// Looks for every topic again. A failed producer may have failed because somebody has deleted a topic.
    pub fn forget(&mut self) {
        self.asked.clear();
        self.used.clear();
        self.last.clear();
        // What is asked for again counts again.
        self.missing.store(0, Ordering::Relaxed);
    }

    /// Why a topic can never be made as configured, if that is known of one.
    #[must_use]
    pub fn failure(&self) -> Option<PublishError> {
        lock(&self.failure).clone()
    }
}

impl Drop for TopicMaker {
    fn drop(&mut self) {
        self.stop.cancel();
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Worker {
    cluster: Cluster,
    new: NewTopics,
    runtime: tokio::runtime::Handle,
    requests: Receiver<String>,
    missing: Arc<AtomicUsize>,
    failure: Arc<Mutex<Option<PublishError>>>,
    stop: CancellationToken,
}

impl Worker {
    fn run(self) {
        let mut wanted: Vec<String> = Vec::new();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            if wanted.is_empty() {
                backoff.reset();
                match self.requests.recv() {
                    Ok(topic) => wanted.push(topic),
                    Err(_) => return,
                }
            }
            wanted.extend(self.requests.try_iter());
            wanted = self.attempt(wanted, &mut backoff);
            if self.stop.is_cancelled() {
                return;
            }
            if wanted.is_empty() {
                continue;
            }
            match self.requests.recv_timeout(backoff.next_delay()) {
                Ok(topic) => wanted.push(topic),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Makes these topics, and gives those that do not exist, with the reason.
    fn make(&self, admin: &TopicAdmin, wanted: &[String]) -> Vec<(String, PublishError)> {
        let mut failed = Vec::new();
        for part in wanted.chunks(self.new.per_request()) {
            let not_made = self.runtime.block_on(admin.make(part, &self.new, &self.stop));
            if self.stop.is_cancelled() {
                break;
            }
            let made = part.len() - not_made.len().min(part.len());
            let _ = self.missing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |missing| {
                Some(missing.saturating_sub(made))
            });
            failed.extend(not_made);
        }
        failed
    }

    /// Makes these topics, and gives those that have to be tried again.
    fn attempt(&self, wanted: Vec<String>, backoff: &mut Backoff) -> Vec<String> {
        let failed = match TopicAdmin::new(&self.cluster) {
            Ok(admin) => self.make(&admin, &wanted),
            Err(error) => wanted.iter().map(|topic| (topic.clone(), error.clone())).collect(),
        };
        if self.stop.is_cancelled() {
            return wanted;
        }
        let may_log = backoff.attempts() == 0 || backoff.should_log();
        let mut again = Vec::new();
        for (topic, error) in failed {
            match error.disposition() {
                Disposition::Stop => {
                    lock(&self.failure).get_or_insert(error);
                }
                Disposition::Retry => {
                    if may_log {
                        tracing::warn!(
                            topic,
                            %error,
                            attempts = backoff.attempts() + 1,
                            "the topic cannot be made yet: its records wait, those of other topics go on; trying again"
                        );
                    }
                    again.push(topic);
                }
            }
        }
        again
    }
}
