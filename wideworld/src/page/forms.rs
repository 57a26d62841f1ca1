//! What the forms do.
//!
//! In: a form with its token. Out: changed settings and the way back to the page, or the page with what is wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::door::COOKIE_NAME;
use super::state::Page;
use super::view::{not_signed_in, refused};
use crate::simulate::{BURST_MAX, Burst, KINDS, OutOfRange, Settings};

type Fields = HashMap<String, String>;

/// What is wrong with a form.
type Wrong = String;

fn back() -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response()
}

/// Makes a change if the form came from a page of this process.
fn steer(
    page: &Page,
    fields: &Fields,
    change: impl FnOnce(&mut Settings) -> Result<(), Wrong>,
) -> Response {
    if !fields.get("token").is_some_and(|token| page.door.knows_form(token)) {
        let notice =
            "The form is from another run of the simulation. Look at the page, and decide again.";
        return refused(page, StatusCode::FORBIDDEN, notice);
    }
    let mut wanted = page.control.settings();
    let changed = change(&mut wanted).and_then(|()| {
        page.control
            .change(|settings| *settings = wanted)
            .map_err(|out: OutOfRange| out.to_string())
    });
    match changed {
        Ok(()) => {
            let settings = page.control.settings();
            tracing::info!(
                speed = settings.speed,
                changes_max = settings.changes_max,
                is_paused = settings.is_paused,
                "steered"
            );
            back()
        }
        Err(wrong) => refused(page, StatusCode::UNPROCESSABLE_ENTITY, &wrong),
    }
}

fn number(fields: &Fields, name: &str, title: &str) -> Result<Option<f64>, Wrong> {
    let Some(text) = fields.get(name) else { return Ok(None) };
    let number = text.trim().parse();
    number.map(Some).map_err(|_| format!("{title} is no number: write one such as 2.5"))
}

/// Sets rates, the speed and the limit.
pub(super) async fn rates(State(page): State<Arc<Page>>, Form(fields): Form<Fields>) -> Response {
    steer(&page, &fields, |settings| {
        for (kind, _) in KINDS {
            let title = format!("the rate of {}", kind.title());
            if let Some(rate) = number(&fields, kind.name(), &title)? {
                settings.rates[kind.index()] = rate;
            }
        }
        if let Some(speed) = number(&fields, "speed", "the speed")? {
            settings.speed = speed;
        }
        if let Some(most) = number(&fields, "changes_max", "the limit of changes")? {
            settings.changes_max = most;
        }
        Ok(())
    })
}

/// Lets nothing happen any more.
pub(super) async fn pause(State(page): State<Arc<Page>>, Form(fields): Form<Fields>) -> Response {
    steer(&page, &fields, |settings| {
        settings.is_paused = true;
        Ok(())
    })
}

/// Ends a pause.
pub(super) async fn resume(State(page): State<Arc<Page>>, Form(fields): Form<Fields>) -> Response {
    steer(&page, &fields, |settings| {
        settings.is_paused = false;
        Ok(())
    })
}

/// Begins a burst.
pub(super) async fn burst(State(page): State<Arc<Page>>, Form(fields): Form<Fields>) -> Response {
    steer(&page, &fields, |settings| {
        let factor = number(&fields, "factor", "the factor")?.unwrap_or(10.0);
        let seconds = number(&fields, "seconds", "the length")?.unwrap_or(10.0);
        let length =
            Duration::try_from_secs_f64(seconds).ok().filter(|length| *length <= BURST_MAX);
        let length = length
            .ok_or_else(|| format!("a burst lasts between 0 and {} s", BURST_MAX.as_secs()))?;
        settings.burst = Some(Burst { factor, until: Instant::now() + length });
        Ok(())
    })
}

/// Lets somebody in who knows the token.
pub(super) async fn sign_in(State(page): State<Arc<Page>>, Form(fields): Form<Fields>) -> Response {
    let entered = fields.get("page_token").map_or("", String::as_str);
    if !page.door.opens(entered) {
        return not_signed_in("This is not the token of this simulation.");
    }
    let cookie = format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Strict", page.door.cookie());
    (StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)]).into_response()
}
