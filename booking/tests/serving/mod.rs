//! `booking serve`: what it promises, over real connections to a real database.

mod beside_simulation;
mod browser;
mod client;
mod limits;
mod operations;
mod pages;
mod privacy;
mod races;
mod recovery;
mod shop;
mod uploads;
mod uploads_s3;
mod validation;
mod web_sessions;
