//! Masters as rows.
//!
//! In: a master and the end of its version, if it has ended. Out: lines of COPY. A photo and a password are made from
//! the seed and the key each time, so that nothing of them is kept.

use chrono::NaiveDateTime;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{City, Customer, Deal, DealPrice, Item, Masters, Person, Role, Supplier};
use crate::line::Line;
use crate::plan::{Plan, key, moment};
use crate::reference::places::{
    CITIES_PER_STATE, COUNTRIES, STATES, border, city_location, city_name,
};
use crate::reference::{lists, names};
use crate::tables::{self, Table};

/// Sides of a photo, pixels.
const PHOTO_SIDE: usize = 32;

/// Languages that staff speak beside English.
const LANGUAGES: [&str; 6] = ["Dutch", "Finnish", "Greek", "Polish", "Spanish", "Turkish"];

impl Masters {
    /// Every row of a table of masters as it is now; nothing for other tables.
    pub(crate) fn lines(&self, table: Table) -> Vec<String> {
        let (plan, seed) = (&self.plan, self.plan.seed);
        match table {
            tables::PEOPLE => rows(&self.people, |at, row| person(at, row, None, seed)),
            tables::COUNTRIES => rows(&COUNTRIES, |at, _| country(at, plan)),
            tables::STATE_PROVINCES => rows(&STATES, |at, _| state(at, plan)),
            tables::CITIES => rows(&self.cities, |at, row| city(at, row, None)),
            tables::SYSTEM_PARAMETERS => vec![parameters(plan)],
            tables::SUPPLIERS => rows(&self.suppliers, |at, row| supplier(at, row, None)),
            tables::CUSTOMERS => rows(&self.customers, |at, row| customer(at, row, None)),
            tables::STOCK_ITEMS => rows(&self.items, |at, row| item(at, row, None, seed)),
            tables::STOCK_ITEM_STOCK_GROUPS => self.memberships(),
            tables::SPECIAL_DEALS => rows(&self.deals, deal),
            tables::DELIVERY_METHODS => named(&lists::DELIVERY_METHODS, plan),
            tables::PAYMENT_METHODS => named(&lists::PAYMENT_METHODS, plan),
            tables::TRANSACTION_TYPES => named(&lists::TRANSACTION_TYPES, plan),
            tables::SUPPLIER_CATEGORIES => named(&lists::SUPPLIER_CATEGORIES, plan),
            tables::BUYING_GROUPS => named(&lists::BUYING_GROUPS, plan),
            tables::CUSTOMER_CATEGORIES => named(&lists::CUSTOMER_CATEGORIES, plan),
            tables::COLORS => named(&lists::COLORS, plan),
            tables::PACKAGE_TYPES => named(&lists::PACKAGE_TYPES, plan),
            tables::STOCK_GROUPS => named(&lists::STOCK_GROUPS, plan),
            _ => Vec::new(),
        }
    }

    fn memberships(&self) -> Vec<String> {
        let since = moment(self.plan.first_day, 0);
        let pairs = self.items.iter().enumerate().flat_map(|(item, sold)| {
            sold.goods().groups.iter().map(move |group| (key(item), key(*group)))
        });
        let line = |(at, (item, group))| {
            Line::new().put(key(at)).put(item).put(group).put(1).put(since).end()
        };
        pairs.enumerate().map(line).collect()
    }
}

fn rows<T>(rows: &[T], line: impl Fn(usize, &T) -> String) -> Vec<String> {
    rows.iter().enumerate().map(|(at, row)| line(at, row)).collect()
}

fn named(names: &[&str], plan: &Plan) -> Vec<String> {
    rows(names, |at, name| {
        Line::new().put(key(at)).text(name).put(1).validity(moment(plan.first_day, 0), None).end()
    })
}

fn country(at: usize, plan: &Plan) -> String {
    let country = &COUNTRIES[at];
    Line::new()
        .put(key(at))
        .text(country.name)
        .text(country.formal_name)
        .text(country.alpha3)
        .put(country.numeric)
        .text("Sovereign state")
        .put(country.population)
        .text(country.continent)
        .text(country.continent)
        .text(country.subregion)
        .text(&border(country.centre, 4))
        .put(1)
        .validity(moment(plan.first_day, 0), None)
        .end()
}

fn state(at: usize, plan: &Plan) -> String {
    let (code, name, territory, thousands, centre) = STATES[at];
    Line::new()
        .put(key(at))
        .text(code)
        .text(name)
        .put(1)
        .text(territory)
        .text(&border(centre, 1))
        .put(thousands * 1_000)
        .put(1)
        .validity(moment(plan.first_day, 0), None)
        .end()
}

pub(super) fn city(at: usize, city: &City, to: Option<NaiveDateTime>) -> String {
    let (state, number) = (at / CITIES_PER_STATE, at % CITIES_PER_STATE);
    Line::new()
        .put(key(at))
        .text(&city_name(state, number))
        .put(key(state))
        .text(&city_location(state, number))
        .put(city.population)
        .put(1)
        .validity(city.since, to)
        .end()
}

fn location(city: usize) -> String {
    city_location(city / CITIES_PER_STATE, city % CITIES_PER_STATE)
}

fn postal_code(number: usize) -> String {
    format!("{:05}", 10_000 + number * 73 % 89_999)
}

fn parameters(plan: &Plan) -> String {
    let settings = json!({
        "Site": {"SEO": {"Title": "Wide World Importers"}, "Languages": ["en"]},
        "Currency": "USD",
        "ColdRoom": {"Sensors": 4, "AlarmAbove": 6.0},
    });
    Line::new()
        .put(1)
        .text(&names::street(1))
        .null()
        .put(key(50))
        .text(&postal_code(50))
        .text(&location(50))
        .text("PO Box 1000")
        .null()
        .put(key(50))
        .text(&postal_code(50))
        .text(&settings.to_string())
        .put(1)
        .put(moment(plan.first_day, 0))
        .end()
}

pub(super) fn person(at: usize, person: &Person, to: Option<NaiveDateTime>, seed: u64) -> String {
    let (given, family) = match person.role {
        Role::System => ("System", "Account"),
        _ => names::person(person.number),
    };
    let full_name = format!("{given} {family}");
    let is_staff = matches!(person.role, Role::Salesperson | Role::Picker);
    let logon = is_staff.then(|| format!("{}.{at}@wideworld.example", given.to_lowercase()));
    let theme = ["plain", "dark", "wide"][person.theme % 3];
    let preferences = json!({"theme": theme, "pages": 25});
    let custom = is_staff.then(|| custom_fields(at, person));
    let languages = custom.as_ref().map(|fields| fields["OtherLanguages"].to_string());
    let email = format!("{}.{at}@people.example", family.to_lowercase());
    Line::new()
        .put(key(at))
        .text(&full_name)
        .text(given)
        .text(&format!("{given} {full_name}"))
        .flag(is_staff)
        .maybe_text(logon.as_deref())
        .flag(false)
        .maybe_bytes(is_staff.then(|| password(seed, at)).as_deref())
        .flag(person.role == Role::System)
        .flag(is_staff)
        .flag(person.role == Role::Salesperson)
        .maybe_text(is_staff.then(|| preferences.to_string()).as_deref())
        .text(&names::phone(person.phone))
        .text(&names::phone(person.phone + 1))
        .text(&email)
        .maybe_bytes(is_staff.then(|| photo(seed, at, 0)).as_deref())
        .maybe_text(custom.map(|fields| fields.to_string()).as_deref())
        .maybe_text(languages.as_deref())
        .put(person.edited_by)
        .validity(person.since, to)
        .end()
}

fn custom_fields(at: usize, person: &Person) -> Value {
    let languages: Vec<&str> =
        (0..at % 3).map(|other| LANGUAGES[(at + other) % LANGUAGES.len()]).collect();
    let title = if person.role == Role::Salesperson { "Salesperson" } else { "Warehouse worker" };
    json!({"OtherLanguages": languages, "Title": title, "Commission": at % 5})
}

/// What stands for a hashed password. It is the hash of a number and opens nothing.
fn password(seed: u64, at: usize) -> Vec<u8> {
    Sha256::digest(format!("{seed} {at}")).to_vec()
}

/// A picture of noise in the format PPM: it does not compress, so it is kept out of line.
fn photo(seed: u64, at: usize, version: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::MAX - (u64::try_from(at).unwrap_or_default() << 16) - version);
    let mut picture = format!("P6 {PHOTO_SIDE} {PHOTO_SIDE} 255\n").into_bytes();
    picture.extend((0..PHOTO_SIDE * PHOTO_SIDE * 3).map(|_| rng.random::<u8>()));
    picture
}

pub(super) fn supplier(at: usize, supplier: &Supplier, to: Option<NaiveDateTime>) -> String {
    Line::new()
        .put(key(at))
        .text(&supplier.name)
        .put(supplier.category)
        .put(supplier.contact)
        .put(supplier.alternate)
        .put(lists::BY_ROAD)
        .put(key(supplier.city))
        .put(key(supplier.city))
        .text(&format!("REF-{:05}", at * 7_919 % 99_999))
        .text(&supplier.name.chars().take(50).collect::<String>())
        .text("Main Branch")
        .text(&format!("{:06}", 100_000 + at * 911))
        .text(&format!("{:010}", 4_000_000_000_u64 + u64::from(key(at).unsigned_abs()) * 7_907))
        .text(&format!("{:05}", 10_000 + at * 37))
        .put(supplier.payment_days)
        .null()
        .text(&names::phone(supplier.phone))
        .text(&names::phone(supplier.phone + 1))
        .text(&format!("https://{}", names::domain("supplier", at + 1)))
        .text(&names::street(at + 700))
        .null()
        .text(&postal_code(supplier.city))
        .text(&location(supplier.city))
        .text(&format!("PO Box {}", 2_000 + at))
        .null()
        .text(&postal_code(supplier.city))
        .put(supplier.edited_by)
        .validity(supplier.since, to)
        .end()
}

pub(super) fn customer(at: usize, customer: &Customer, to: Option<NaiveDateTime>) -> String {
    let (run, position) = customer.run();
    Line::new()
        .put(key(at))
        .text(&customer.name)
        .put(customer.bill_to)
        .put(customer.category)
        .maybe(customer.buying_group)
        .put(customer.contact)
        .maybe(customer.alternate)
        .put(lists::BY_VAN)
        .put(key(customer.city))
        .put(key(customer.city))
        .maybe(customer.credit_limit)
        .put(customer.opened)
        .put(customer.discount)
        .flag(at.is_multiple_of(5))
        .flag(customer.is_on_hold)
        .put(customer.payment_days)
        .text(&names::phone(customer.phone))
        .text(&names::phone(customer.phone + 1))
        .text(&run)
        .text(&position)
        .text(&format!("https://{}", names::domain("customer", at + 1)))
        .text(&names::street(at))
        .maybe_text(at.is_multiple_of(4).then_some("Loading dock"))
        .text(&postal_code(customer.city))
        .text(&location(customer.city))
        .text(&format!("PO Box {}", 3_000 + at))
        .null()
        .text(&postal_code(customer.city))
        .put(customer.edited_by)
        .validity(customer.since, to)
        .end()
}

pub(super) fn item(at: usize, item: &Item, to: Option<NaiveDateTime>, seed: u64) -> String {
    let goods = item.goods();
    let comments =
        at.is_multiple_of(3).then(|| format!("A {} for every desk", goods.name.to_lowercase()));
    let tags: Vec<&str> = goods.groups.iter().map(|group| lists::STOCK_GROUPS[*group]).collect();
    let tags = json!(tags);
    let custom = json!({"CountryOfManufacture": COUNTRIES[at % 16].name, "Tags": tags});
    let picture = item.photo.map(|version| photo(seed, 100_000 + at, version));
    let details = format!("{} {}", item.name, comments.as_deref().unwrap_or_default());
    Line::new()
        .put(key(at))
        .text(&item.name)
        .put(item.supplier)
        .maybe(item.color.map(key))
        .put(key(goods.package))
        .put(lists::CARTON)
        .maybe_text(at.is_multiple_of(2).then_some("Wide World"))
        .text(item.size)
        .put(item.lead_days)
        .put(goods.per_outer)
        .flag(item.is_chilled())
        .text(&format!("87{:011}", at * 104_729))
        .put(item.tax_rate())
        .put(item.price)
        .put(item.price + item.price.percent(crate::amount::Thousandths(49_500)))
        .put(crate::amount::Thousandths(goods.weight))
        .maybe_text(comments.as_deref())
        .null()
        .maybe_bytes(picture.as_deref())
        .text(&custom.to_string())
        .text(&tags.to_string())
        .text(&details)
        .put(item.edited_by)
        .validity(item.since, to)
        .end()
}

fn deal(at: usize, deal: &Deal) -> String {
    let line = Line::new().put(key(at));
    let line = match deal.price {
        DealPrice::Percent { stock_group, buying_group, .. } => {
            line.nulls(2).put(buying_group).null().put(key(stock_group)).text("Group discount")
        }
        DealPrice::Amount { item, .. } => line.put(key(item)).nulls(4).text("Item reduced"),
        DealPrice::Fixed { item, customer, .. } => {
            line.put(key(item)).put(customer).nulls(3).text("Price agreed")
        }
    };
    let line = line.put(deal.from).put(deal.to);
    let line = match deal.price {
        DealPrice::Percent { off, .. } => line.null().put(off).null(),
        DealPrice::Amount { off, .. } => line.put(off).nulls(2),
        DealPrice::Fixed { price, .. } => line.nulls(2).put(price),
    };
    line.put(2).put(moment(deal.from, 0)).end()
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn a_line_has_a_field_for_each_column() {
        let first_day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        let mut masters = Masters::begin(Plan { seed: 1, first_day, scale: 0.1 });
        for day in 0..40 {
            masters.advance(day);
        }
        for table in tables::ALL {
            let columns = table.columns.split(", ").count();
            for line in masters.lines(table) {
                assert_eq!(line.split('\t').count(), columns, "{}: {line}", table.name);
            }
        }
    }
}
