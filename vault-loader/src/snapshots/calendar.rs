//! When snapshots are taken, and which of them are kept.
//!
//! In: a calendar and times as the clocks of its time zone show them. Out: the times of snapshots, and a verdict about
//! each. All of it is pure. The warehouse knows time zones and turns such a time into an instant.
//!
//! The age of a snapshot is counted in days, weeks, months and years of the calendar, back from the newest snapshot
//! and not from any clock. So a warehouse that stands still loses no snapshot, and two builds at different times keep
//! the same ones. A day of 23 or 25 hours is a day.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, Weekday};

use crate::model::Calendar;

/// Whether a snapshot is kept when `newest` is the newest one.
pub(super) fn is_kept(calendar: &Calendar, time: NaiveDateTime, newest: NaiveDateTime) -> bool {
    let (day, last) = (time.date(), newest.date());
    let keep = calendar.keep;
    let age_days = last.signed_duration_since(day).num_days();
    if age_days < i64::from(keep.days) {
        return true;
    }
    if calendar.times.first() != Some(&time.time()) {
        return false;
    }
    let months = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
    let is_weekly = day.weekday() == Weekday::Mon && age_days < i64::from(keep.weeks) * 7;
    let is_monthly = day.day() == 1 && months(last) - months(day) < i64::from(keep.months);
    let age_years = i64::from(last.year()) - i64::from(day.year());
    let is_yearly = day.ordinal() == 1 && age_years < i64::from(keep.years);
    is_weekly || is_monthly || is_yearly
}

/// A day before which no snapshot is kept when the newest one is of this day. Nothing was published before 1970.
pub(super) fn first_kept(calendar: &Calendar, newest: NaiveDate) -> NaiveDate {
    let keep = calendar.keep;
    let days = u64::from(keep.days).max(u64::from(keep.weeks) * 7);
    let months = u32::from(keep.months).max(u32::from(keep.years) * 12);
    let by_days = newest.checked_sub_days(Days::new(days));
    // Twelve months more reach the first day of the year.
    let by_months = newest.checked_sub_months(Months::new(months + 12));
    let epoch = NaiveDate::default();
    let first = by_days.unwrap_or(epoch).min(by_months.unwrap_or(epoch));
    first.max(epoch)
}

/// The times of snapshots on these days, in order.
pub(super) fn times(
    calendar: &Calendar,
    first: NaiveDate,
    last: NaiveDate,
) -> impl Iterator<Item = NaiveDateTime> {
    let days = first.iter_days().take_while(move |day| *day <= last);
    days.flat_map(|day| calendar.times.iter().map(move |time| day.and_time(*time)))
}

/// The day before, as far as the calendar goes.
pub(super) fn day_before(day: NaiveDate) -> NaiveDate {
    day.checked_sub_days(Days::new(1)).unwrap_or(day)
}

/// The day after, as far as the calendar goes.
pub(super) fn day_after(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Keep;

    fn calendar(clock: &[(u32, u32)], keep: Keep) -> Calendar {
        let times = clock
            .iter()
            .map(|&(hour, minute)| chrono::NaiveTime::from_hms_opt(hour, minute, 0).unwrap());
        Calendar { time_zone: "Europe/Berlin".to_owned(), times: times.collect(), keep }
    }

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    const KEEP: Keep = Keep { days: 3, weeks: 2, months: 3, years: 2 };

    /// The days of the snapshots that are left of two years when this is the newest.
    fn left(keep: Keep, newest: &str) -> Vec<String> {
        let calendar = calendar(&[(0, 0)], keep);
        let newest = at(newest);
        let first = NaiveDate::from_ymd_opt(2024, 6, 1).unwrap();
        let all = times(&calendar, first, newest.date());
        let kept = all.filter(|time| is_kept(&calendar, *time, newest));
        kept.map(|time| time.date().to_string()).collect()
    }

    #[test]
    fn days_weeks_months_and_years_are_kept_each_for_its_time() {
        // 2026-03-18 is a Wednesday.
        assert_eq!(
            left(KEEP, "2026-03-18 00:00"),
            [
                "2025-01-01", // year
                "2026-01-01", // year and month
                "2026-02-01", // month
                "2026-03-01", // month
                "2026-03-09", // Monday
                "2026-03-16", // Monday, and one of three days
                "2026-03-17",
                "2026-03-18",
            ]
        );
        let days = Keep { days: 2, weeks: 0, months: 0, years: 0 };
        assert_eq!(left(days, "2026-03-01 00:00"), ["2026-02-28", "2026-03-01"]);
    }

    #[test]
    fn nothing_is_kept_of_before_the_first_day() {
        let newest = at("2026-03-18 00:00");
        for keep in [
            KEEP,
            Keep { days: 2, weeks: 0, months: 0, years: 0 },
            Keep { days: 1, weeks: 300, months: 0, years: 0 },
            Keep { days: 1, weeks: 0, months: 40, years: 0 },
            Keep { days: 1, weeks: 0, months: 0, years: 20 },
            Keep { days: u16::MAX, weeks: u16::MAX, months: u16::MAX, years: u16::MAX },
        ] {
            let calendar = calendar(&[(0, 0)], keep);
            let first = first_kept(&calendar, newest.date());
            let epoch = NaiveDate::default();
            let mut before = times(&calendar, epoch, day_before(first));
            let lost = before.find(|time| time.date() < first && is_kept(&calendar, *time, newest));
            assert_eq!(lost, None, "{keep:?}");
        }
    }

    #[test]
    fn what_is_dropped_never_comes_back() {
        let calendar = calendar(&[(0, 0)], KEEP);
        let first = NaiveDate::from_ymd_opt(2025, 11, 1).unwrap();
        let last = NaiveDate::from_ymd_opt(2026, 4, 1).unwrap();
        let all: Vec<NaiveDateTime> = times(&calendar, first, last).collect();
        for (place, time) in all.iter().enumerate() {
            let kept: Vec<bool> =
                all[place..].iter().map(|newest| is_kept(&calendar, *time, *newest)).collect();
            assert!(kept[0], "the newest one is kept");
            assert!(kept.is_sorted_by(|a, b| a >= b), "{time} comes back: {kept:?}");
        }
    }

    #[test]
    fn of_several_times_a_day_the_first_is_the_one_that_is_kept_long() {
        let calendar = calendar(&[(6, 0), (18, 30)], KEEP);
        let newest = at("2026-03-18 06:00");
        for (time, expected) in [
            ("2026-03-16 18:30", true),
            ("2026-03-09 06:00", true),
            ("2026-03-09 18:30", false),
            ("2026-03-01 18:30", false),
            ("2026-03-15 06:00", false),
        ] {
            assert_eq!(is_kept(&calendar, at(time), newest), expected, "{time}");
        }
    }

    #[test]
    fn days_on_which_clocks_change_have_the_same_times_as_others() {
        // In Berlin the clocks go from 02:00 to 03:00 on 29 March 2026, and back from 03:00 to 02:00 on 25 October.
        let calendar = calendar(&[(0, 0), (2, 30)], KEEP);
        for (first, last) in [("2026-03-28", "2026-03-30"), ("2026-10-24", "2026-10-26")] {
            let [first, last] = [first, last].map(|day| day.parse::<NaiveDate>().unwrap());
            let found: Vec<NaiveDateTime> = times(&calendar, first, last).collect();
            assert_eq!(found.len(), 6);
            assert!(found.is_sorted());
            // Three days are kept, whatever their hours.
            let newest = last.and_hms_opt(2, 30, 0).unwrap();
            assert!(found.iter().all(|time| is_kept(&calendar, *time, newest)));
            let next = day_after(last).and_hms_opt(0, 0, 0).unwrap();
            assert!(!is_kept(&calendar, found[1], next));
        }
    }
}
