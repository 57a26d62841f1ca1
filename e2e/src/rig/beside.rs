//! What stands beside reader and loader: the data set, the booking service before, the marts behind.
//!
//! In: a rig. Out: a source that is seeded, a service on it, the refresher of the warehouse's marts, a session as the
//! dashboards have it.

use std::time::Duration;

use anyhow::Context;
use devstack::{PostgresAddress, Process, ProcessOptions};
use tokio_postgres::Client;

use super::{PASSWORD, Rig};
use crate::service::Service;
use crate::sql;

impl Rig {
    /// Fills the source with a data set of this scale.
    ///
    /// # Errors
    /// When `booking seed` fails.
    pub fn seed(&self, scale: f64) -> anyhow::Result<()> {
        let log = self.options.dir.join("seed.log");
        let source = &self.options.source;
        let options = ProcessOptions::new(devstack::binary("booking")?, log)
            .args(["seed", "--scale", &scale.to_string()])
            .env("BOOKING_DATABASE_URL", source.url(self.name(), "booking_app", PASSWORD));
        let mut process = Process::start(&options)?;
        let code = process.wait_exit(Duration::from_secs(120))?;
        anyhow::ensure!(code == 0, "booking seed ended with {code}: {}", process.last_lines(3));
        Ok(())
    }

    /// The source is another server from now on, with the same database: a promoted standby. What runs does not know.
    pub fn lead_to(&mut self, source: &PostgresAddress) {
        self.options.source = source.clone();
    }

    /// Starts the booking service on the source.
    ///
    /// # Errors
    /// When it is not ready in time.
    pub fn start_service(&self, words: &[&str]) -> anyhow::Result<Service> {
        let url = self.options.source.url(self.name(), "booking_service", PASSWORD);
        Service::start(&url, &self.options.dir, words, &[])
    }

    /// Starts `vault-loader refresh-marts` as an installation does.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_mart_refresher(&self) -> anyhow::Result<Process> {
        let words = ["refresh-marts"];
        let options = self.loader_options(self.name(), "mart_refresher", &words, &[])?.0;
        Process::start(&options.log_to(self.options.dir.join("mart-refresher.log")))
    }

    /// A session on the warehouse as the role that the dashboards have.
    ///
    /// # Errors
    /// When the warehouse refuses it.
    pub async fn as_mart_reader(&self) -> anyhow::Result<Client> {
        let warehouse = &self.options.warehouse;
        let target = warehouse.connection_string(self.name(), "mart_reader", PASSWORD);
        sql::connect(&target).await.context("mart_reader cannot connect")
    }
}
