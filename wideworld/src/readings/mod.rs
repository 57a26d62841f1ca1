//! Temperatures of the cold rooms and of the chillers in vehicles.
//!
//! In: the seed and a moment. Out: what a sensor shows then, and rows. A reading is a function of sensor and moment, so
//! histories with another interval agree where they have the same moments, and the simulation goes on from them. Now
//! and then a door stays open for an hour, and the temperature is far too high.

mod gzip;

use std::iter;

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Weekday};
use sha2::{Digest, Sha256};

use crate::amount::Cents;
use crate::line::Line;
use crate::plan::moment;

/// Sensors of the cold rooms.
pub const COLD_ROOM_SENSORS: i32 = 4;

/// Vehicles with a chiller.
pub const VEHICLES: [&str; 3] = ["WW-001", "WW-002", "WW-003"];

/// Seconds between two readings of a vehicle, and the hours in which vehicles are on the road.
const VEHICLE_INTERVAL: usize = 600;
const ON_THE_ROAD: std::ops::Range<u64> = 7..17;

/// One hour of a sensor in this many has its door open.
const OPEN_DOORS: u64 = 500;

/// What a sensor shows at a moment, in hundredths of a degree Celsius.
#[must_use]
pub fn cold_room(seed: u64, sensor: i32, at: NaiveDateTime) -> Cents {
    let open =
        if draw(seed, sensor, "door", hours(at)).is_multiple_of(OPEN_DOORS) { 450 } else { 0 };
    Cents(340 + i64::from(sensor) * 10 + wave(at, 10_800, 60) + noise(seed, sensor, at, 25) + open)
}

/// What the chiller of a vehicle shows at a moment.
#[must_use]
pub fn vehicle(seed: u64, number: i32, at: NaiveDateTime) -> Cents {
    Cents(400 + wave(at, 3_600, 40) + noise(seed, 100 + number, at, 40))
}

fn hours(at: NaiveDateTime) -> i64 {
    at.and_utc().timestamp().div_euclid(3_600)
}

/// Up and down in straight lines, between `-height` and `height`.
fn wave(at: NaiveDateTime, period: i64, height: i64) -> i64 {
    let phase = at.and_utc().timestamp().rem_euclid(period);
    let up = if phase * 2 < period { phase * 2 } else { 2 * period - phase * 2 };
    height * (2 * up - period) / period
}

fn noise(seed: u64, sensor: i32, at: NaiveDateTime, most: i64) -> i64 {
    let drawn = draw(seed, sensor, "noise", at.and_utc().timestamp());
    i64::try_from(drawn % u64::try_from(2 * most + 1).unwrap_or(1)).unwrap_or_default() - most
}

fn draw(seed: u64, sensor: i32, what: &str, at: i64) -> u64 {
    let hash = Sha256::digest(format!("{seed} {sensor} {what} {at}"));
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

/// The moments at which the cold rooms are read on a day.
fn moments(date: NaiveDate, interval: u32) -> impl Iterator<Item = NaiveDateTime> {
    let step = usize::try_from(interval.max(1)).unwrap_or(usize::MAX);
    (0..86_400).step_by(step).map(move |second| moment(date, second))
}

/// The row of a sensor's reading; its version ends with the next reading, or is current.
pub(crate) fn cold_room_line(
    seed: u64,
    sensor: i32,
    at: NaiveDateTime,
    until: Option<NaiveDateTime>,
) -> String {
    Line::new()
        .put(sensor)
        .put(sensor)
        .put(at)
        .put(cold_room(seed, sensor, at))
        .validity(at, until)
        .end()
}

/// The rows of the versions that end on a day, and of those that are current after it. `next` is the first moment of
/// the next day, if there is one.
pub(crate) fn cold_room_day(
    seed: u64,
    date: NaiveDate,
    interval: u32,
    next: Option<NaiveDateTime>,
) -> impl Iterator<Item = (bool, String)> {
    moments(date, interval).flat_map(move |at| {
        let following = at + TimeDelta::seconds(i64::from(interval.max(1)));
        let until = if following.date() == date { Some(following) } else { next };
        (1..=COLD_ROOM_SENSORS)
            .map(move |sensor| (until.is_some(), cold_room_line(seed, sensor, at, until)))
    })
}

/// The rows of the vehicles on a day, with keys from `first_key` on. Nobody drives on Sundays.
pub(crate) fn vehicle_day(
    seed: u64,
    date: NaiveDate,
    first_key: i64,
) -> impl Iterator<Item = String> {
    let hours = if date.weekday() == Weekday::Sun { 0..0 } else { ON_THE_ROAD };
    let times = hours.flat_map(|hour| {
        (0..3_600).step_by(VEHICLE_INTERVAL).map(move |second| hour * 3_600 + second)
    });
    let readings = times.flat_map(move |second| {
        VEHICLES.iter().zip(1..).map(move |(name, number)| (*name, number, moment(date, second)))
    });
    iter::zip(first_key.., readings)
        .map(move |(key, (name, number, at))| vehicle_line(seed, key, name, number, at))
}

fn vehicle_line(seed: u64, key: i64, name: &str, number: i32, at: NaiveDateTime) -> String {
    let reading = vehicle(seed, number, at);
    let data = sensor_data(name, at, reading);
    // Every other hour the device sends its data compressed.
    let compressed = at.hour().is_multiple_of(2).then(|| gzip::stored(data.as_bytes()));
    Line::new()
        .put(key)
        .text(name)
        .put(1)
        .put(at)
        .put(reading)
        .maybe_text(compressed.is_none().then_some(data.as_str()))
        .flag(compressed.is_some())
        .maybe_bytes(compressed.as_deref())
        .end()
}

/// What a device in a vehicle sends.
#[must_use]
pub fn sensor_data(name: &str, at: NaiveDateTime, reading: Cents) -> String {
    serde_json::json!({
        "Recordings": [{
            "type": "Feature",
            "properties": {
                "rego": name,
                "sensor": 1,
                "when": at.to_string(),
                "temp": reading.to_string(),
            },
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, 2).unwrap()
    }

    #[test]
    fn readings_stay_in_range_and_doors_are_open_now_and_then() {
        let mut alarms = 0;
        for hour in 0..5_000 {
            let at = moment(day(), hour * 3_600);
            for sensor in 1..=COLD_ROOM_SENSORS {
                let reading = cold_room(1, sensor, at);
                assert!((200..=950).contains(&reading.0), "{reading}");
                alarms += u32::from(reading.0 > 600);
            }
        }
        assert!((10..120).contains(&alarms), "{alarms}");
    }

    #[test]
    fn versions_of_a_sensor_follow_each_other_into_the_next_day() {
        let next = moment(day().succ_opt().unwrap(), 0);
        let mut ends: Option<String> = None;
        let mut count = 0;
        for (has_ended, line) in cold_room_day(1, day(), 7, Some(next)) {
            let fields: Vec<&str> = line.split('\t').collect();
            assert!(has_ended);
            if fields[0] == "1" {
                assert_eq!(fields[2], fields[4]);
                assert!(ends.is_none_or(|end| end == fields[4]), "{line}");
                ends = Some(fields[5].to_owned());
                count += 1;
            }
        }
        assert_eq!(ends, Some(next.to_string()));
        assert_eq!(count, 86_400_u32.div_ceil(7));
    }

    #[test]
    fn only_the_last_reading_of_each_sensor_is_current_at_the_end() {
        let current = cold_room_day(1, day(), 60, None).filter(|(has_ended, _)| !has_ended);
        let keys: Vec<String> =
            current.map(|(_, line)| line.split('\t').next().unwrap().to_owned()).collect();
        assert_eq!(keys, ["1", "2", "3", "4"]);
    }

    #[test]
    fn vehicles_are_on_the_road_for_ten_hours_but_on_sundays() {
        assert_eq!(vehicle_day(1, day(), 1).count(), 10 * 6 * 3);
        let sunday = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        assert_eq!(vehicle_day(1, sunday, 1).count(), 0);
    }
}
