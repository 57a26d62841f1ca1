//! What all live connections of an instance share: rooms, boards, places, the stop.
//!
//! In: the service, the stop. Out: the parts, for those who serve connections.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::bell::Bell;
use super::super::live_metrics::LiveMetrics;
use super::super::state::Service;
use super::boards::Boards;
use super::entry::Places;
use super::rooms::Rooms;

/// What all live connections of an instance share.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: Service,
    rooms: Rooms,
    boards: Boards,
    places: Arc<Places>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl Live {
    pub(crate) fn new(service: Service, stop: CancellationToken) -> Self {
        let options = service.options();
        let places = Places::new(options.live_connections_max, options.live_connections_each_max);
        let shared = Shared {
            rooms: Rooms::default(),
            boards: Boards::default(),
            places,
            connections: TaskTracker::new(),
            stop,
            service,
        };
        Self(Arc::new(shared))
    }

    pub(super) fn service(&self) -> &Service {
        &self.0.service
    }

    pub(super) fn metrics(&self) -> &LiveMetrics {
        self.0.service.metrics().live()
    }

    pub(super) fn bell(&self) -> &Bell {
        self.0.service.bell()
    }

    pub(super) fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    pub(super) fn boards(&self) -> &Boards {
        &self.0.boards
    }

    pub(super) fn places(&self) -> &Arc<Places> {
        &self.0.places
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Those who are served; closed at the stop.
    pub(super) fn connections(&self) -> &TaskTracker {
        &self.0.connections
    }
}
