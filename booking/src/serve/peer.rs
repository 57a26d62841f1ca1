//! Who asks: the address of a client.
//!
//! In: the connection's address, and behind a proxy the header that the proxy adds. Out: an address for the limits.
//! Without a proxy the header is not believed, because every client can send it. Behind one the last address counts,
//! because the proxy itself wrote it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::problem::{Kind, Problem};

/// The address that the connection comes from, as an extension of each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connected(pub(crate) SocketAddr);

/// The client's address, as an extension of each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    pub(crate) fn of(
        connected: Option<Connected>,
        headers: &HeaderMap,
        behind_proxy: bool,
    ) -> Self {
        let direct = connected.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Connected(at)| at.ip());
        let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
        let last = forwarded
            .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        Self(last.filter(|_| behind_proxy).unwrap_or(direct))
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unknown = || Problem::new(Kind::Internal, "the client's address is not known");
        parts.extensions.get::<Self>().copied().ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_header_counts_only_behind_a_proxy_and_then_its_last_address() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9, 192.0.2.7"));
        let connected = Some(Connected(SocketAddr::from(([127, 0, 0, 1], 9))));
        let of = |behind_proxy| Peer::of(connected, &headers, behind_proxy).0.to_string();
        assert_eq!(of(true), "192.0.2.7");
        assert_eq!(of(false), "127.0.0.1");
    }
}
