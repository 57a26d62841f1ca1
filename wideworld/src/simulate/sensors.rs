//! Readings of the cold rooms and of the chillers in vehicles.
//!
//! In: a worker. Out: transactions. Readings go on where those of the history ended, if the seed is the same.

use chrono::{NaiveDateTime, SubsecRound as _, Utc};
use rand::RngExt;
use tokio_postgres::Error;

use super::worker::{Done, Worker};
use crate::readings::{COLD_ROOM_SENSORS, VEHICLES, cold_room, sensor_data, vehicle};

/// Now, to the microsecond, as the database keeps it.
fn now() -> NaiveDateTime {
    Utc::now().naive_utc().trunc_subsecs(6)
}

impl Worker {
    /// Reads all sensors. The sensors are in the order of their numbers, so two readings never wait in a circle.
    pub(super) async fn cold_room(&mut self) -> Result<Done, Error> {
        let at = now();
        for sensor in 1..=COLD_ROOM_SENSORS {
            let reading = cold_room(self.seed, sensor, at).to_string();
            let known = self
                .session
                .change(
                    "UPDATE warehouse.cold_room_temperatures
                     SET recorded_when = $2,
                         temperature = ($3::text)::numeric
                     WHERE cold_room_sensor_number = $1",
                    &[&sensor, &at, &reading],
                )
                .await?;
            if known == 0 {
                self.session
                    .change(
                        "INSERT INTO warehouse.cold_room_temperatures
                             (cold_room_sensor_number, recorded_when, temperature)
                         VALUES ($1, $2, ($3::text)::numeric)",
                        &[&sensor, &at, &reading],
                    )
                    .await?;
            }
        }
        Ok(Done::Commit)
    }

    pub(super) async fn vehicle(&mut self) -> Result<Done, Error> {
        let at = now();
        let place = self.rng.random_range(0..VEHICLES.len());
        let name = VEHICLES[place];
        let reading = vehicle(self.seed, crate::plan::key(place), at);
        let data = sensor_data(name, at, reading);
        self.session
            .change(
                "INSERT INTO warehouse.vehicle_temperatures
                     (vehicle_registration, chiller_sensor_number, recorded_when, temperature, full_sensor_data,
                      is_compressed)
                 VALUES ($1, 1, $2, ($3::text)::numeric, $4, false)",
                &[&name, &at, &reading.to_string(), &data],
            )
            .await?;
        Ok(Done::Commit)
    }
}
