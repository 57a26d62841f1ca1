//! Waits for a condition with a deadline. Tests wait in this way only.
//!
//! In: a deadline, the name of what is awaited, a condition that is asked again and again. Out: the value it became
//! true with.
//! Invariant: after the deadline, the error always names what was awaited and the last reason why it was not there.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// The first pause between two questions; it grows from here.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause, short enough that waiting does not slow a test down.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// An answer to "is it there yet?".
///
/// `false`, `None` and `Err` mean "not yet"; the text of an `Err` is shown when time runs out.
pub trait Condition {
    /// What a fulfilled condition yields.
    type Output;

    /// The value if the condition holds, otherwise why not.
    fn outcome(self) -> Result<Self::Output, Option<String>>;
}

impl Condition for bool {
    type Output = ();

    fn outcome(self) -> Result<(), Option<String>> {
        if self { Ok(()) } else { Err(None) }
    }
}

impl<T> Condition for Option<T> {
    type Output = T;

    fn outcome(self) -> Result<T, Option<String>> {
        self.ok_or(None)
    }
}

impl<E: Display> Condition for Result<bool, E> {
    type Output = ();

    fn outcome(self) -> Result<(), Option<String>> {
        match self {
            Ok(met) => met.outcome(),
            Err(err) => Err(Some(format!("{err:#}"))),
        }
    }
}

impl<T, E: Display> Condition for Result<Option<T>, E> {
    type Output = T;

    fn outcome(self) -> Result<T, Option<String>> {
        match self {
            Ok(value) => value.outcome(),
            Err(err) => Err(Some(format!("{err:#}"))),
        }
    }
}

/// Time kept for one wait: when it ends, the next pause, the last reason heard.
struct Patience {
    deadline: Duration,
    ends: Instant,
    pause: Duration,
    reason: Option<String>,
}

impl Patience {
    fn new(deadline: Duration) -> Self {
        Self { deadline, ends: Instant::now() + deadline, pause: FIRST_PAUSE, reason: None }
    }

    /// How long to pause before asking again, or the error when time is up.
    fn next(&mut self, what: &str, reason: Option<String>) -> anyhow::Result<Duration> {
        self.reason = reason.or_else(|| self.reason.take());
        if Instant::now() >= self.ends {
            let reason = self
                .reason
                .as_deref()
                .map(|reason| format!("; last answer: {reason}"))
                .unwrap_or_default();
            anyhow::bail!("waited {:?} in vain for {what}{reason}", self.deadline);
        }
        let pause = self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(pause)
    }
}

/// Asks `condition` until it holds; an error naming `what` when `deadline` has passed.
pub fn try_wait_for<C: Condition>(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> C,
) -> anyhow::Result<C::Output> {
    let mut patience = Patience::new(deadline);
    loop {
        match condition().outcome() {
            Ok(value) => return Ok(value),
            Err(reason) => std::thread::sleep(patience.next(what, reason)?),
        }
    }
}

/// Like [`try_wait_for`], for tests.
///
/// # Panics
/// When `deadline` has passed.
#[track_caller]
pub fn wait_for<C: Condition>(
    deadline: Duration,
    what: &str,
    condition: impl FnMut() -> C,
) -> C::Output {
    match try_wait_for(deadline, what, condition) {
        Ok(value) => value,
        Err(err) => panic!("{err}"),
    }
}

/// Asks the async `condition` until it holds; an error naming `what` when `deadline` has passed.
///
/// The deadline is looked at between two questions: a condition that never answers needs a timeout of its own.
pub async fn try_wait_for_async<C: Condition>(
    deadline: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> C,
) -> anyhow::Result<C::Output> {
    let mut patience = Patience::new(deadline);
    loop {
        match condition().await.outcome() {
            Ok(value) => return Ok(value),
            Err(reason) => tokio::time::sleep(patience.next(what, reason)?).await,
        }
    }
}

/// Like [`try_wait_for_async`], for tests.
///
/// # Panics
/// When `deadline` has passed.
pub async fn wait_for_async<C: Condition>(
    deadline: Duration,
    what: &str,
    condition: impl AsyncFnMut() -> C,
) -> C::Output {
    match try_wait_for_async(deadline, what, condition).await {
        Ok(value) => value,
        Err(err) => panic!("{err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_the_condition_comes_back() {
        let mut asked = 0;
        let value = wait_for(Duration::from_secs(5), "a third question", || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(value, 3);
    }

    #[test]
    fn running_out_of_time_names_what_was_awaited_and_the_last_reason() {
        let never = try_wait_for(Duration::ZERO, "the slot", || Err::<bool, _>("no such slot"));
        let message = never.unwrap_err().to_string();
        assert!(message.contains("for the slot; last answer: no such slot"), "{message}");
    }

    #[tokio::test]
    async fn an_async_condition_is_asked_until_it_holds() {
        let mut asked = 0;
        wait_for_async(Duration::from_secs(5), "a second question", async || {
            asked += 1;
            Ok::<_, String>(asked == 2)
        })
        .await;
        assert_eq!(asked, 2);
    }
}
