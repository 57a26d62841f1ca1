//! Who may open a WebSocket: the origin of a page, the number of connections.
//!
//! In: a request's headers, who asks. Out: a place, which is free again when it is dropped, or a refusal. A browser
//! sends cookies along with a WebSocket that another site's page opens, and no rule of browsers stops that page from
//! reading what comes. So a request that names an origin must name this service's, or one that the operator allows.
//! Programs that are no browsers name none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use super::super::limiter::whole_client;
use super::super::problem::{Kind, Problem};

/// Refuses a page of another site.
pub(super) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = host.is_some_and(|host| {
        ["http://", "https://"].iter().any(|scheme| {
            origin.strip_prefix(scheme).is_some_and(|named| named.eq_ignore_ascii_case(host))
        })
    });
    if is_own || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    let detail = "a page of another site may not connect; --allowed-origin names those that may";
    Err(Problem::new(Kind::Forbidden, detail))
}

/// Who has connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Customer(i64),
    Address(IpAddr),
}

impl Who {
    /// Whoever asks from an address, or from its network, as for the limits of requests.
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Address(whole_client(address))
    }
}

/// How many connections there are, in all and of each.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_of_each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_each: HashMap<Who, usize>,
}

/// A place among all connections.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

/// A place among somebody's connections.
#[derive(Debug)]
pub(super) struct OwnPlace(Arc<Places>, Who);

impl Places {
    pub(super) fn new(most: usize, most_of_each: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_each, taken: Mutex::default() })
    }

    /// A place among all.
    pub(super) fn take(self: &Arc<Self>) -> Result<Place, Problem> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            let detail = "this instance has as many live connections as it takes";
            return Err(Problem::new(Kind::Unavailable, detail));
        }
        taken.all += 1;
        Ok(Place(Arc::clone(self)))
    }

    /// A place among those of an address.
    pub(super) fn take_at(self: &Arc<Self>, address: IpAddr) -> Result<OwnPlace, Problem> {
        self.take_own(Who::at(address)).ok_or_else(|| {
            let detail = "this address has as many live connections as it may";
            Problem::new(Kind::Unavailable, detail)
        })
    }

    /// A place among those of somebody.
    pub(super) fn take_own(self: &Arc<Self>, who: Who) -> Option<OwnPlace> {
        let mut taken = self.taken();
        let own = taken.of_each.entry(who).or_default();
        if *own >= self.most_of_each {
            return None;
        }
        *own += 1;
        Some(OwnPlace(Arc::clone(self), who))
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken().all -= 1;
    }
}

impl Drop for OwnPlace {
    fn drop(&mut self) {
        let mut taken = self.0.taken();
        if let Some(own) = taken.of_each.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                taken.of_each.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_page_of_another_site_is_refused() {
        let check = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("booking.example:4000"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            check_origin(&headers, &["https://partner.example".to_owned()]).is_ok()
        };
        assert!(check(None), "a program names none");
        assert!(check(Some("http://booking.example:4000")));
        assert!(check(Some("https://BOOKING.example:4000")));
        assert!(check(Some("https://partner.example")));
        for other in [
            "http://booking.example",
            "http://evil.example",
            "http://booking.example:4000.evil.example",
            "null",
            "",
        ] {
            assert!(!check(Some(other)), "{other}");
        }
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::new(2, 1);
        let (one, _two) = (places.take().unwrap(), places.take().unwrap());
        assert!(places.take().is_err());
        drop(one);
        assert!(places.take().is_ok());
        let own = places.take_own(Who::Customer(1));
        assert!(own.is_some() && places.take_own(Who::Customer(1)).is_none());
        assert!(places.take_own(Who::Customer(2)).is_some());
        drop(own);
        assert!(places.take_own(Who::Customer(1)).is_some());
        assert!(places.taken().of_each.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let places = Places::new(9, 1);
        let take = |text: &str| places.take_at(text.parse().unwrap());
        let kept = [take("2001:db8::1").unwrap(), take("192.0.2.1").unwrap()];
        assert!(take("2001:db8::ffff:1").is_err() && take("::ffff:192.0.2.1").is_err());
        assert!(take("2001:db8:0:1::1").is_ok() && take("192.0.2.2").is_ok());
        drop(kept);
        assert!(take("2001:db8::ffff:1").is_ok());
    }
}
