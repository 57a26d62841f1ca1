//! How often a client may ask: a bucket of tokens for each address.
//!
//! In: an address and the time. Out: whether a request may go on, or after how many seconds. A bucket holds a burst and
//! fills at a rate. Addresses of IPv6 count by their /64, because a client has all of it. Memory is bounded: when there
//! are too many buckets, the full ones go, because a full bucket is what a new client has; if that is not enough, all
//! go.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Addresses that are remembered at most: some 6 MiB.
const BUCKETS_MAX: usize = 100_000;

/// A rate and a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// Requests a second, more than zero.
    pub(crate) per_second: f64,
    /// Requests at once.
    pub(crate) burst: f64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The buckets of all clients.
#[derive(Debug)]
pub(crate) struct Limiter<K = IpAddr> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl Limiter {
    /// Takes a token for an address.
    ///
    /// # Errors
    /// The seconds until there is one, rounded up.
    pub(crate) fn take(&self, client: IpAddr, now: Instant) -> Result<(), u64> {
        self.take_for(whole_client(client), now)
    }
}

impl<K: Eq + Hash> Limiter<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// The seconds until there is one, rounded up.
    pub(crate) fn take_for(&self, client: K, now: Instant) -> Result<(), u64> {
        let Rate { per_second, burst } = self.rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| self.tokens(*bucket, now) < burst);
            if buckets.len() >= BUCKETS_MAX {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(client).or_insert(Bucket { tokens: burst, at: now });
        let tokens = self.tokens(*bucket, now);
        if tokens < 1.0 {
            *bucket = Bucket { tokens, at: now };
            return Err(Duration::from_secs_f64((1.0 - tokens) / per_second).as_secs() + 1);
        }
        *bucket = Bucket { tokens: tokens - 1.0, at: now };
        Ok(())
    }

    fn tokens(&self, bucket: Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + passed * self.rate.per_second).min(self.rate.burst)
    }
}

/// What counts as one client: an address of IPv4, or the /64 of an address of IPv6.
pub(crate) fn whole_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3.0 };

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (limiter, now) = (Limiter::new(RATE), Instant::now());
        let client = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert_eq!(limiter.take(client, now), Ok(()));
        }
        assert_eq!(limiter.take(client, now), Err(1));
        let later = now + Duration::from_millis(500);
        assert_eq!(limiter.take(client, later), Ok(()));
        assert!(limiter.take(client, later).is_err());
    }

    #[test]
    fn clients_do_not_share_a_bucket_and_a_network_of_ipv6_does() {
        let (limiter, now) = (Limiter::new(Rate { burst: 1.0, ..RATE }), Instant::now());
        let take = |text: &str| limiter.take(text.parse().unwrap(), now).is_ok();
        assert!(take("192.0.2.1") && take("192.0.2.2") && take("2001:db8::1"));
        assert!(!take("::ffff:192.0.2.1"));
        assert!(!take("2001:db8::ffff:1"));
        assert!(take("2001:db8:0:1::1"));
    }
}
