//! Edits of customers, people and prices, and special deals.
//!
//! In: a worker. Out: transactions. The database moves the version that ends to the archive.

use rand::RngExt;
use serde_json::json;
use tokio_postgres::Error;

use super::worker::{Done, Worker};
use crate::reference::names;

/// Deals that begin or have begun; older ones are withdrawn when there are more.
const DEALS_MAX: i64 = 500;

impl Worker {
    pub(super) async fn edit_customer(&mut self) -> Result<Done, Error> {
        let customer = self.run.floor.customer(&mut self.rng);
        let editor = self.run.floor.salesperson(&mut self.rng);
        let phone = names::phone(self.rng.random_range(0..80_000));
        let limit = self.rng.random_range(10..60) * 100;
        let changed = match self.rng.random_range(0..3) {
            0 => {
                self.session
                    .change(
                        "UPDATE sales.customers
                         SET phone_number = $2, last_edited_by = $3
                         WHERE customer_id = $1",
                        &[&customer, &phone, &editor],
                    )
                    .await?
            }
            1 => {
                self.session
                    .change(
                        "UPDATE sales.customers
                         SET credit_limit = $2::integer, last_edited_by = $3
                         WHERE customer_id = $1",
                        &[&customer, &limit, &editor],
                    )
                    .await?
            }
            // A hold ends with the next edit of this kind.
            _ => {
                self.session
                    .change(
                        "UPDATE sales.customers
                         SET is_on_credit_hold = NOT is_on_credit_hold AND customer_id % 10 = 0, last_edited_by = $2
                         WHERE customer_id = $1",
                        &[&customer, &editor],
                    )
                    .await?
            }
        };
        Ok(done(changed))
    }

    pub(super) async fn edit_person(&mut self) -> Result<Done, Error> {
        let phone = names::phone(self.rng.random_range(0..80_000));
        let range = "SELECT min(person_id), max(person_id)
                     FROM application.people
                     WHERE NOT is_system_user";
        let Some(person) = self.probe(range).await? else { return Ok(Done::Nothing) };
        let theme = ["plain", "dark", "wide"][self.rng.random_range(0..3)];
        let preferences = json!({"theme": theme, "pages": self.rng.random_range(10..60)});
        let changed = self
            .session
            .change(
                "UPDATE application.people
                 SET phone_number = $2,
                     user_preferences = CASE WHEN is_employee THEN $3::jsonb END,
                     last_edited_by = person_id
                 WHERE person_id = $1",
                &[&person, &phone, &preferences],
            )
            .await?;
        Ok(done(changed))
    }

    pub(super) async fn edit_price(&mut self) -> Result<Done, Error> {
        let item = self.run.floor.item(&mut self.rng);
        let editor = self.run.floor.salesperson(&mut self.rng);
        // Between what it costs and twice of that, in steps of five cents.
        let percent = self.rng.random_range(120..=200);
        let changed = self
            .session
            .change(
                "UPDATE warehouse.stock_items AS si
                 SET unit_price = greatest(0.05, round(h.last_cost_price * $2::integer / 5, 0) * 5 / 100),
                     last_edited_by = $3
                 FROM warehouse.stock_item_holdings AS h
                 WHERE si.stock_item_id = $1
                   AND h.stock_item_id = si.stock_item_id",
                &[&item, &percent, &editor],
            )
            .await?;
        Ok(done(changed))
    }

    /// Offers a deal. When there are many, the oldest is withdrawn.
    pub(super) async fn deal(&mut self) -> Result<Done, Error> {
        let customer = self.run.floor.customer(&mut self.rng);
        let editor = self.run.floor.salesperson(&mut self.rng);
        let percent = self.rng.random_range(2..=15);
        self.session
            .change(
                "INSERT INTO sales.special_deals
                     (customer_id, deal_description, start_date, end_date, discount_percentage, last_edited_by)
                 VALUES ($1, 'Discount for a while', current_date, current_date + 14, $2::integer, $3)",
                &[&customer, &percent, &editor],
            )
            .await?;
        self.session
            .change(
                "DELETE FROM sales.special_deals
                 WHERE special_deal_id = (
                     SELECT min(special_deal_id)
                     FROM sales.special_deals
                     HAVING count(*) > $1
                 )",
                &[&DEALS_MAX],
            )
            .await?;
        Ok(Done::Commit)
    }
}

fn done(changed: u64) -> Done {
    if changed == 0 { Done::Nothing } else { Done::Commit }
}
