//! Everybody and everything on the first day, and how a customer begins.
//!
//! In: the plan. Out: masters. Two suppliers are customers, too, under the same name: two records of one organisation.

use std::ops::Range;

use chrono::NaiveDateTime;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{City, Customer, Item, Masters, Person, Role, Supplier};
use crate::amount::{Cents, Thousandths};
use crate::plan::{Plan, Purpose, key, moment};
use crate::reference::goods::{GOODS, Goods, SOLD_IN};
use crate::reference::lists::{BUYING_GROUPS, COLORS, CUSTOMER_CATEGORIES};
use crate::reference::names;
use crate::reference::places::{CITIES_PER_STATE, STATES, city_name};

/// People who sell, by key.
pub(crate) const SALESPEOPLE: Range<i32> = 2..11;
/// People who pick and pack, by key.
pub(crate) const PICKERS: Range<i32> = 11..21;

/// Suppliers.
const SUPPLIERS: usize = 13;

/// Customers, by place, that are suppliers, too.
const ALSO_SUPPLIERS: Range<usize> = 5..7;

/// Where names of suppliers begin, beyond all names of customers.
const SUPPLIER_NAMES: usize = 2_000;

impl Masters {
    /// Everybody and everything on the first day.
    pub(crate) fn begin(plan: Plan) -> Self {
        let mut rng = plan.rng(0, Purpose::Beginning);
        let since = moment(plan.first_day, 0);
        let cities = (0..STATES.len() * CITIES_PER_STATE).map(|city| City {
            population: STATES[city / CITIES_PER_STATE].3 * 1_000
                / i64::try_from(20 + city % CITIES_PER_STATE * 15).unwrap_or(20),
            since,
        });
        let mut masters = Self {
            plan,
            people: Vec::new(),
            suppliers: Vec::new(),
            customers: Vec::new(),
            items: Vec::new(),
            deals: Vec::new(),
            cities: cities.collect(),
            ended: Vec::new(),
        };
        masters.add_person(Role::System, since);
        for _ in SALESPEOPLE {
            masters.add_person(Role::Salesperson, since);
        }
        for _ in PICKERS {
            masters.add_person(Role::Picker, since);
        }
        for supplier in 0..SUPPLIERS {
            masters.add_supplier(supplier, since, &mut rng);
        }
        for _ in 0..plan.customer_count() {
            masters.add_customer(since, &mut rng);
        }
        for (kind, goods) in GOODS.iter().enumerate() {
            masters.add_items(kind, goods, since, &mut rng);
        }
        masters
    }

    pub(super) fn add_person(&mut self, role: Role, since: NaiveDateTime) -> i32 {
        let number = self.people.len();
        self.people.push(Person { number, role, phone: number, theme: 0, edited_by: 1, since });
        key(number)
    }

    fn add_supplier(&mut self, number: usize, since: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let contact = self.add_person(Role::Contact, since);
        let alternate = self.add_person(Role::Contact, since);
        self.suppliers.push(Supplier {
            name: names::organisation(SUPPLIER_NAMES + number),
            category: rng.random_range(1..=4),
            contact,
            alternate,
            city: rng.random_range(0..self.cities.len()),
            payment_days: [7, 14, 30][rng.random_range(0..3)],
            phone: 10_000 + number,
            edited_by: 1,
            since,
        });
    }

    /// A new customer. The first of each buying group pays for the others of the group.
    pub(super) fn add_customer(&mut self, since: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let number = self.customers.len();
        let groups = BUYING_GROUPS.len();
        let group = match number {
            _ if number < groups => Some(number),
            _ if ALSO_SUPPLIERS.contains(&number) => None,
            _ if rng.random_range(0..100) < 40 => Some(rng.random_range(0..groups)),
            _ => None,
        };
        let contact = self.add_person(Role::Contact, since);
        let alternate = rng.random_bool(0.8).then(|| self.add_person(Role::Contact, since));
        let city = rng.random_range(0..self.cities.len());
        self.customers.push(Customer {
            name: self.customer_name(number, group, city),
            bill_to: key(group.unwrap_or(number)),
            category: key(rng.random_range(0..CUSTOMER_CATEGORIES.len())),
            buying_group: group.map(key),
            contact,
            alternate,
            city,
            credit_limit: group.is_none().then(|| Cents(rng.random_range(10..40) * 10_000)),
            opened: since.date(),
            discount: Thousandths(0),
            is_on_hold: false,
            payment_days: [7, 14, 30][rng.random_range(0..3)],
            phone: 20_000 + number,
            edited_by: 1,
            since,
        });
    }

    fn customer_name(&self, number: usize, group: Option<usize>, city: usize) -> String {
        match group {
            Some(group) => {
                let (state, city) = (city / CITIES_PER_STATE, city % CITIES_PER_STATE);
                let (town, code) = (city_name(state, city), STATES[state].0);
                format!("{} {} ({town}, {code})", BUYING_GROUPS[group], number + 1)
            }
            // These two sell to the wholesaler, too.
            None if ALSO_SUPPLIERS.contains(&number) => {
                self.suppliers[number - ALSO_SUPPLIERS.start].name.clone()
            }
            None => names::organisation(number),
        }
    }

    fn add_items(
        &mut self,
        kind: usize,
        goods: &Goods,
        since: NaiveDateTime,
        rng: &mut ChaCha8Rng,
    ) {
        let colors: Vec<Option<usize>> =
            if goods.has_colors { SOLD_IN.map(Some).to_vec() } else { vec![None] };
        for size in goods.variants {
            for color in &colors {
                let name = match color {
                    Some(color) => format!("{} - {size} ({})", goods.name, COLORS[*color]),
                    None => format!("{} - {size}", goods.name),
                };
                self.items.push(Item {
                    name,
                    kind,
                    supplier: key(kind % SUPPLIERS),
                    color: *color,
                    size,
                    lead_days: rng.random_range(2..=12),
                    price: Cents(goods.price),
                    photo: rng.random_bool(0.35).then_some(0),
                    edited_by: 1,
                    since,
                });
            }
        }
    }
}
