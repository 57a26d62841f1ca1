//! Which routes and days a change of the service has touched.
//!
//! In: the flights that the work of a request looks at before it changes them. Out: routes with days. The statements
//! below `store` read every flight that they change, after they have locked it, so they note it here, and whoever
//! answers the request learns it without another query. Work that nobody watches notes nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;

use chrono::NaiveDate;

/// Flights of a route that depart on a day, by the clock of UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteDay {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) day: NaiveDate,
}

tokio::task_local! {
    static NOTED: RefCell<BTreeSet<RouteDay>>;
}

/// Watches work; gives its outcome and what it has touched, if it succeeded or not.
pub(crate) async fn watch<T>(work: impl Future<Output = T>) -> (T, BTreeSet<RouteDay>) {
    let watched = async {
        let outcome = work.await;
        (outcome, NOTED.with(RefCell::take))
    };
    NOTED.scope(RefCell::default(), watched).await
}

/// Notes what is touched.
pub(crate) fn note(touched: impl Iterator<Item = RouteDay>) {
    // Nobody watches, when there is no scope.
    let _ = NOTED.try_with(|noted| noted.borrow_mut().extend(touched));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_below_comes_out_above() {
        let route = |day| RouteDay {
            from: "AAA".to_owned(),
            to: "BBB".to_owned(),
            day: NaiveDate::from_ymd_opt(2026, 6, day).unwrap(),
        };
        note([route(1)].into_iter());
        let below = async {
            note([route(2)].into_iter());
            tokio::task::yield_now().await;
            note([route(3), route(2)].into_iter());
            7
        };
        assert_eq!(watch(below).await, (7, BTreeSet::from([route(2), route(3)])));
    }
}
