//! What the service does in the database. Every statement is below this module.
//!
//! In: a transaction and values that were checked. Out: the types of the answers, or a refusal. Whoever locks a booking
//! and flights locks the booking first, and flights in the order of their ids, as the simulator does.

pub(crate) mod accounts;
pub(crate) mod bookings;
pub(crate) mod browsers;
pub(crate) mod flights;
pub(crate) mod items;
pub(crate) mod live;
pub(crate) mod reference;
pub(crate) mod reports;
pub(crate) mod sales;
pub(crate) mod seats;
pub(crate) mod uploads;
