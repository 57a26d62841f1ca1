//! The checks of parents that have no table: references, non-historized links, and the rows of a multi-active table.
//!
//! In: a table with its bindings. Out: the link that a multi-active table has for itself, and the columns of the
//! parent's key that the satellites hold. A multi-active table hangs on a hub and has several rows for one key of it.
//! Kafka keeps the order of events for each row only, so each row has a history of its own: the hash key is that of a
//! link with the hub and a dependent key. No other table knows such a link, and nothing else is written for it.
//!
//! A delete names the primary key only. So the hash key of a non-historized link is made of what the primary key
//! determines, and the other hubs stand beside the attributes.

use std::collections::HashSet;

use super::super::ids::{ColumnId, HubBindingId, IdVec, LinkBindingId};
use super::super::types::{
    CarriedColumn, CarriedFrom, Column, Hub, HubBinding, Link, LinkBinding, LinkKind, LinkRole,
    Parent, Satellite,
};
use super::super::{Cast, STATUS_COLUMNS, is_technical};
use super::Builder;

impl Builder<'_> {
    /// The parent of a multi-active table: a binding to a link of its own, which is added to `links`. The link comes
    /// too, and its id is the next one of the model.
    pub(super) fn multi_active(
        &mut self,
        hubs: &IdVec<HubBindingId, HubBinding>,
        links: &mut IdVec<LinkBindingId, LinkBinding>,
        key: &[ColumnId],
    ) -> Option<(Parent, Link)> {
        let name = &self.table.parent;
        let columns = self.column_ids("multi_active", &self.table.multi_active);
        let Some(hub) = self.entities.hubs.find_id(|hub| hub.name == *name && !hub.is_carried)
        else {
            let remedy =
                "let the parent be a hub, and describe what is no hub with all columns of its key";
            self.complain("multi_active", format!("the parent {name} is no hub"), remedy);
            return None;
        };
        let wanted: HashSet<ColumnId> = key.iter().copied().collect();
        let fits = |binding: &HubBinding| {
            let all = binding.columns.iter().chain(&columns).copied();
            let count = binding.columns.len() + columns.len();
            binding.hub == hub && count == key.len() && all.collect::<HashSet<_>>() == wanted
        };
        let Some(binding) = hubs.find_id(fits) else {
            let problem = format!("the primary key is not the key of {name} and these columns");
            let remedy = "name all columns of the primary key by which the table does not bind the hub, and no others";
            self.complain("multi_active", problem, remedy);
            return None;
        };
        let link = self.own_link(&hubs[binding], &self.entities.hubs[hub], &columns);
        let id = links.push(LinkBinding {
            link: self.entities.links.next_id(),
            bindings: vec![binding],
            keyed: vec![binding],
            dependent_key: columns,
            effectivity: None,
        });
        Some((Parent::Link(id), link))
    }

    /// The link of a multi-active table. Its name is none that a table could have.
    fn own_link(&self, binding: &HubBinding, hub: &Hub, columns: &[ColumnId]) -> Link {
        let key: Vec<Column> = columns
            .iter()
            .map(|&column| Column {
                name: self.columns[column].vault_name().to_owned(),
                stored_as: None,
                // What a column holds is said where the table has it, and makes no other link.
                comment: String::new(),
                ..self.columns[column].clone()
            })
            .collect();
        let names: Vec<&str> = key.iter().map(|column| column.name.as_str()).collect();
        let names = names.join(", ");
        Link {
            name: format!("{} by {names} of {}", hub.name, self.label),
            comment: format!("rows of one key of {}, told apart by {names}", hub.name),
            roles: vec![LinkRole { role: binding.role.clone(), hub: binding.hub }],
            dependent_key: key,
            kind: LinkKind::MultiActive,
        }
    }

    /// Whether a link of the model can be stated by this table.
    pub(super) fn check_stated(&mut self, field: &str, link: &Link, effectivity: Option<&str>) {
        if !link.is_carried() {
            return;
        }
        if self.table.parent != link.name {
            let problem = "it is non-historized, so only the table whose parent it is states it";
            self.complain(field, problem, "state another link, or remove non_historized");
        } else if effectivity.is_some() {
            self.complain(field, "a non-historized link never changes", "remove effectivity");
        }
    }

    /// The hub bindings of a link that its hash key is made of.
    pub(super) fn keyed(
        &self,
        link: &Link,
        roles: &[HubBindingId],
        hubs: &IdVec<HubBindingId, HubBinding>,
        key: &[ColumnId],
    ) -> Vec<HubBindingId> {
        let determined = |role: &&HubBindingId| {
            !link.is_carried() || hubs[**role].columns.iter().all(|column| key.contains(column))
        };
        roles.iter().filter(determined).copied().collect()
    }

    /// A non-historized link has its attributes in its own table.
    fn check_attributes(&mut self, link: &Link) {
        let is_alone = matches!(self.table.satellites.as_slice(), [only] if only.name == link.name);
        if link.kind == LinkKind::NonHistorized && !is_alone {
            let problem =
                format!("{} is non-historized and holds the attributes itself", link.name);
            let remedy = format!(
                "give the table one satellite, with the name {} and all attributes; a link without attributes needs no \
                 non_historized",
                link.name
            );
            self.complain("satellite", problem, remedy);
        }
    }

    /// The columns of the parent's key, where the parent has no table of its own. `own` is the link that a multi-active
    /// table has for itself.
    pub(super) fn carried(
        &mut self,
        hubs: &IdVec<HubBindingId, HubBinding>,
        parent: Parent,
        links: &IdVec<LinkBindingId, LinkBinding>,
        own: Option<&Link>,
    ) -> Vec<CarriedColumn> {
        let entities = self.entities;
        let link = match parent {
            Parent::Hub(_) => None,
            Parent::Link(bound) => own.or_else(|| Some(&entities.links[links[bound].link])),
        };
        if let Some(link) = link {
            self.check_attributes(link);
        }
        let value = |column: ColumnId, cast: Cast, key: &Column, comment: String| CarriedColumn {
            name: key.name.clone(),
            from: CarriedFrom::Value { column, cast, kind: key.kind },
            comment,
        };
        match (parent, link) {
            (Parent::Hub(binding), _) => {
                let HubBinding { hub, columns, casts, .. } = &hubs[binding];
                let hub = &self.entities.hubs[*hub];
                let parts = columns.iter().zip(casts).zip(&hub.key);
                let comment = format!("key of {}", hub.name);
                let parts =
                    parts.map(|((&column, &cast), key)| value(column, cast, key, comment.clone()));
                parts.filter(|_| hub.is_carried).collect()
            }
            (Parent::Link(binding), Some(link)) if link.is_carried() => {
                let roles = link.roles.iter().enumerate().map(|(place, role)| CarriedColumn {
                    name: role.column(),
                    from: CarriedFrom::Role(place),
                    comment: format!("hash key in {}", self.entities.hubs[role.hub].name),
                });
                let comment = match link.kind {
                    LinkKind::MultiActive => "tells rows of one key of the hub apart",
                    _ => "dependent child key: part of the relationship, no concept of its own",
                };
                let parts = links[binding].dependent_key.iter().zip(&link.dependent_key);
                let parts = parts.map(|(&column, key)| {
                    let said = if key.comment.is_empty() { comment } else { &key.comment };
                    value(column, Cast::Same, key, said.to_owned())
                });
                roles.chain(parts).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A column of the parent's key stands beside the satellites' own columns, so its name has to be free.
    pub(super) fn check_carried(&mut self, carried: &[CarriedColumn], satellites: &[Satellite]) {
        for CarriedColumn { name, .. } in carried {
            let place = format!("table {} key column {name}", self.label);
            self.problems.identifier(&place, name);
            if is_technical(name) || STATUS_COLUMNS.contains(&name.as_str()) {
                let problem = "satellites have a technical column of that name beside it";
                let remedy = "choose another name: of the reference's key, or of the role, or by { type = \"…\", stored_as = \"…\" }";
                self.problems.complain(&place, problem, remedy);
            }
            let taken = satellites.iter().find(|satellite| {
                let mut columns = satellite.columns.iter();
                columns.any(|&column| self.columns[column].vault_name() == name)
            });
            if let Some(satellite) = taken {
                let problem = format!("{} has an attribute of that name beside it", satellite.name);
                let remedy = "store the attribute under another name: write { type = \"…\", stored_as = \"…\" }";
                self.problems.complain(&place, problem, remedy);
            }
        }
        for (place, CarriedColumn { name, .. }) in carried.iter().enumerate() {
            if carried[..place].iter().any(|other| other.name == *name) {
                let problem = format!("two columns of the parent's key are called {name}");
                self.complain("parent", problem, "give the role another name");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::parse;
    use super::*;

    const SHOP: &str = include_str!("../../../tests/support/shop.vault.toml");

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        assert!(SHOP.contains(from), "the model no longer holds {from:?}");
        let err = parse(&SHOP.replacen(from, to, 1)).expect_err("an invalid model is refused");
        assert!(err.to_string().contains(expected), "{err}");
    }

    #[test]
    fn satellites_hold_the_key_of_a_parent_without_a_table() {
        let model = parse(SHOP).unwrap();
        let carried = |table: &str| {
            let table = model.tables.iter().find(|other| other.name == table).unwrap();
            let names = table.carried.iter().map(|carried| carried.name.as_str());
            (model.has_no_parent_table(table), names.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(carried("phones"), (true, "customer_hash_key kind".to_owned()));
        assert_eq!(carried("currencies"), (true, "currency_code".to_owned()));
        let payment = "customer_hash_key sales_order_hash_key payment_id".to_owned();
        assert_eq!(carried("payments"), (false, payment));
        let payments = model.tables.iter().find(|table| table.name == "payments").unwrap();
        assert!(payments.parent_bindings().is_empty(), "a delete knows the payment's number only");
        let own = model.links.iter().find(|link| link.kind == LinkKind::MultiActive).unwrap();
        assert_eq!(own.name, "hub_customers by kind of phones");
    }

    #[test]
    fn a_multi_active_table_needs_a_hub_and_the_rest_of_its_key() {
        let several = "multi_active = [\"kind\"]";
        check(several, "multi_active = [\"sort\"]", "multi_active: the table has no column sort");
        check(
            several,
            "multi_active = [\"kind\", \"number\"]",
            "multi_active: the primary key is not the key of hub_customers and these columns: name all columns",
        );
        check(
            "parent = \"ref_currencies\"",
            "parent = \"ref_currencies\"\nmulti_active = [\"digits\"]",
            "multi_active: the parent ref_currencies is no hub: let the parent be a hub",
        );
        check(several, "", "table phones parent: the key does not determine hub_customers");
        let folding = SHOP
            .replace(
                "customer_id\", type = \"integer\" }",
                "customer_id\", type = \"text\", fold = true }",
            )
            .replace("customer_id = \"integer\"", "customer_id = \"text\"");
        let err = parse(&folding).unwrap_err().to_string();
        assert!(err.contains("table phones parent: hub_customers folds its key"), "{err}");
        assert!(!err.contains("payments"), "a payment's key has no part of the hub: {err}");
    }

    #[test]
    fn names_beside_the_parent_s_key_are_free() {
        check(
            "kind = \"text\"\nnumber = \"text\"",
            "kind = { type = \"text\", stored_as = \"number\" }\nnumber = \"text\"",
            "sat_phones has an attribute of that name beside it: store the attribute under another name",
        );
        check(
            "kind = \"text\"\nnumber = \"text\"",
            "kind = { type = \"text\", stored_as = \"record_lsn\" }\nnumber = \"text\"",
            "table phones key column record_lsn: satellites have a technical column of that name",
        );
        check(
            "kind = \"text\"\nnumber = \"text\"",
            "kind = { type = \"text\", stored_as = \"customer_hash_key\" }\nnumber = \"text\"",
            "two columns of the parent's key are called customer_hash_key: give the role another name",
        );
        check(
            "title = \"text\"",
            "title = { type = \"text\", stored_as = \"currency_code\" }",
            "table currencies key column currency_code: sat_currencies has an attribute of that name",
        );
    }

    #[test]
    fn a_reference_is_bound_by_its_own_tables_alone() {
        check(
            "hub = \"hub_operators\" },\n]\ndependent",
            "hub = \"ref_currencies\" },\n]\ndependent",
            "link_phone_operators role operator: ref_currencies is a reference, and no link names one: put the code into a satellite",
        );
        check(
            "columns = [\"order_no\"] },\n",
            "columns = [\"order_no\"] },\n  { hub = \"ref_currencies\", columns = [\"currency\"] },\n",
            "table payments hub ref_currencies: a reference is bound by the tables whose parent it is, and by no others: leave the binding out",
        );
        check(
            "columns = [\"code\"] }]",
            "columns = [\"code\"] }, { role = \"old\", hub = \"ref_currencies\", columns = [\"old\"] }]",
            "the table has no column old",
        );
        let twice = SHOP
            .replacen(
                "columns = [\"code\"] }]",
                "columns = [\"code\"] }, { role = \"old\", hub = \"ref_currencies\", columns = [\"old\"] }]",
                1,
            )
            .replacen("title = \"text\"", "title = \"text\"\nold = \"char(3)\"", 1);
        let err = parse(&twice).unwrap_err().to_string();
        assert!(err.contains("no link can name one: remove the binding"), "{err}");
        check("name = \"ref_currencies\"", "name = \"currencies\"", "does not begin with ref_");
        check(
            "key = [{ name = \"currency_code\", type = \"char(3)\" }]",
            "key = []",
            "ref_currencies: has no key column: name at least one in key",
        );
    }

    #[test]
    fn a_non_historized_link_is_one_table_s() {
        let attributes = "[[table.satellite]]\nname = \"link_payments\"";
        check(
            attributes,
            "[[table.satellite]]\nname = \"sat_payments\"",
            "table payments satellite: link_payments is non-historized and holds the attributes itself: give the table one satellite, \
             with the name link_payments",
        );
        check(
            attributes,
            "[[table.satellite]]\nname = \"sat_currency\"\ncolumns = [\"currency\"]\n[[table.satellite]]\nname = \"link_payments\"",
            "give the table one satellite",
        );
        check(
            "non_historized = true",
            "",
            "table payments link link_payments: the row's key does not determine it",
        );
        check(
            "name = \"link_payments\"\ncomment",
            "name = \"link_phones\"\nhubs = [{ role = \"customer\", hub = \"hub_customers\" }]\n\
             dependent_key = [{ name = \"kind\", type = \"text\" }]\nnon_historized = true\n\n[[link]]\nname = \"link_payments\"\ncomment",
            "link_phones: no table has it as its parent, and it is non-historized: let the table whose rows it holds",
        );
        check(
            "links = [{ link = \"link_payments\", dependent_key = [\"payment_id\"] }]",
            "links = [{ link = \"link_payments\", dependent_key = [\"payment_id\"], effectivity = \"sat_e\" }]",
            "table payments link link_payments: a non-historized link never changes: remove effectivity",
        );
        check(
            "dependent_key = [\"payment_id\"] }]",
            "dependent_key = [\"amount\"] }]",
            "table payments link link_payments: column amount is integer",
        );
        check(
            "key = [\"payment_id\"]",
            "key = [\"payment_id\", \"customer_id\", \"currency\"]",
            "table payments parent: the key does not determine link_payments: bind those columns",
        );
    }

    #[test]
    fn nothing_else_states_a_non_historized_link() {
        let refunds = SHOP.replace("name = \"payments\"", "name = \"refunds\"");
        let (_, refunds) = refunds.split_once("name = \"refunds\"").unwrap();
        let refunds = refunds.replace("sat_payments_", "sat_refunds_");
        let two = format!("{SHOP}\n[[table]]\nname = \"refunds\"{refunds}");
        let err = parse(&two).unwrap_err().to_string();
        let expected = "link_payments: the tables payments and refunds have it as their parent, and it is non-historized: give each";
        assert!(err.contains(expected), "{err}");
        check(
            "links = [{ link = \"link_phone_operators\"",
            "links = [{ link = \"link_payments\" }, { link = \"link_phone_operators\"",
            "table phones link link_payments: it is non-historized, so only the table whose parent it is states it: state another link",
        );
    }
}
