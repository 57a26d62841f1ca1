//! `booking serve`: what it promises, over real connections to a real database.

mod beside_simulation;
mod browser;
mod chatter;
mod client;
mod fleet;
mod limits;
mod live;
mod live_pages;
mod loading;
mod operations;
mod pages;
mod pooled;
mod privacy;
mod races;
mod recovery;
mod sharing;
mod shop;
mod uploads;
mod uploads_page;
mod uploads_s3;
mod validation;
mod web_booking;
mod web_reference;
mod web_reports;
mod web_sessions;
