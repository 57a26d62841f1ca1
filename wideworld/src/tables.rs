//! The tables by name, in the order in which rows can be put into them.
//!
//! Out: names and column lists. A table stands after every table that it refers to, but for columns of the table itself
//! and `last_edited_by`, which the first people hold.

/// A table with its schema and its columns, and whether it has an archive of ended versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Schema and name.
    pub name: &'static str,
    /// Columns in the order in which rows are written.
    pub columns: &'static str,
    /// Whether ended versions of its rows are kept in an archive.
    pub is_versioned: bool,
}

macro_rules! tables {
    ($($constant:ident $name:literal $columns:literal $is_versioned:literal)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Table =
                Table { name: $name, columns: $columns, is_versioned: $is_versioned };
        )*

        /// All 31 tables, referenced ones first.
        pub const ALL: [Table; 31] = [$($constant),*];
    };
}

tables! {
    PEOPLE "application.people"
        "person_id, full_name, preferred_name, search_name, is_permitted_to_logon, logon_name, is_external_logon_provider, \
         hashed_password, is_system_user, is_employee, is_salesperson, user_preferences, phone_number, fax_number, \
         email_address, photo, custom_fields, other_languages, last_edited_by, valid_from, valid_to" true
    COUNTRIES "application.countries"
        "country_id, country_name, formal_name, iso_alpha3_code, iso_numeric_code, country_type, \
         latest_recorded_population, continent, region, subregion, border, last_edited_by, valid_from, valid_to" true
    STATE_PROVINCES "application.state_provinces"
        "state_province_id, state_province_code, state_province_name, country_id, sales_territory, border, \
         latest_recorded_population, last_edited_by, valid_from, valid_to" true
    CITIES "application.cities"
        "city_id, city_name, state_province_id, location, latest_recorded_population, last_edited_by, valid_from, \
         valid_to" true
    DELIVERY_METHODS "application.delivery_methods"
        "delivery_method_id, delivery_method_name, last_edited_by, valid_from, valid_to" true
    PAYMENT_METHODS "application.payment_methods"
        "payment_method_id, payment_method_name, last_edited_by, valid_from, valid_to" true
    TRANSACTION_TYPES "application.transaction_types"
        "transaction_type_id, transaction_type_name, last_edited_by, valid_from, valid_to" true
    SYSTEM_PARAMETERS "application.system_parameters"
        "system_parameter_id, delivery_address_line1, delivery_address_line2, delivery_city_id, delivery_postal_code, \
         delivery_location, postal_address_line1, postal_address_line2, postal_city_id, postal_postal_code, \
         application_settings, last_edited_by, last_edited_when" false
    SUPPLIER_CATEGORIES "purchasing.supplier_categories"
        "supplier_category_id, supplier_category_name, last_edited_by, valid_from, valid_to" true
    SUPPLIERS "purchasing.suppliers"
        "supplier_id, supplier_name, supplier_category_id, primary_contact_person_id, alternate_contact_person_id, \
         delivery_method_id, delivery_city_id, postal_city_id, supplier_reference, bank_account_name, \
         bank_account_branch, bank_account_code, bank_account_number, bank_international_code, payment_days, \
         internal_comments, phone_number, fax_number, website_url, delivery_address_line1, delivery_address_line2, \
         delivery_postal_code, delivery_location, postal_address_line1, postal_address_line2, postal_postal_code, \
         last_edited_by, valid_from, valid_to" true
    BUYING_GROUPS "sales.buying_groups"
        "buying_group_id, buying_group_name, last_edited_by, valid_from, valid_to" true
    CUSTOMER_CATEGORIES "sales.customer_categories"
        "customer_category_id, customer_category_name, last_edited_by, valid_from, valid_to" true
    CUSTOMERS "sales.customers"
        "customer_id, customer_name, bill_to_customer_id, customer_category_id, buying_group_id, \
         primary_contact_person_id, alternate_contact_person_id, delivery_method_id, delivery_city_id, postal_city_id, \
         credit_limit, account_opened_date, standard_discount_percentage, is_statement_sent, is_on_credit_hold, \
         payment_days, phone_number, fax_number, delivery_run, run_position, website_url, delivery_address_line1, \
         delivery_address_line2, delivery_postal_code, delivery_location, postal_address_line1, postal_address_line2, \
         postal_postal_code, last_edited_by, valid_from, valid_to" true
    COLORS "warehouse.colors"
        "color_id, color_name, last_edited_by, valid_from, valid_to" true
    PACKAGE_TYPES "warehouse.package_types"
        "package_type_id, package_type_name, last_edited_by, valid_from, valid_to" true
    STOCK_GROUPS "warehouse.stock_groups"
        "stock_group_id, stock_group_name, last_edited_by, valid_from, valid_to" true
    STOCK_ITEMS "warehouse.stock_items"
        "stock_item_id, stock_item_name, supplier_id, color_id, unit_package_id, outer_package_id, brand, size, \
         lead_time_days, quantity_per_outer, is_chiller_stock, barcode, tax_rate, unit_price, recommended_retail_price, \
         typical_weight_per_unit, marketing_comments, internal_comments, photo, custom_fields, tags, search_details, \
         last_edited_by, valid_from, valid_to" true
    STOCK_ITEM_HOLDINGS "warehouse.stock_item_holdings"
        "stock_item_id, quantity_on_hand, bin_location, last_stocktake_quantity, last_cost_price, reorder_level, \
         target_stock_level, last_edited_by, last_edited_when" false
    STOCK_ITEM_STOCK_GROUPS "warehouse.stock_item_stock_groups"
        "stock_item_stock_group_id, stock_item_id, stock_group_id, last_edited_by, last_edited_when" false
    SPECIAL_DEALS "sales.special_deals"
        "special_deal_id, stock_item_id, customer_id, buying_group_id, customer_category_id, stock_group_id, \
         deal_description, start_date, end_date, discount_amount, discount_percentage, unit_price, last_edited_by, \
         last_edited_when" false
    ORDERS "sales.orders"
        "order_id, customer_id, salesperson_person_id, picked_by_person_id, contact_person_id, backorder_order_id, \
         order_date, expected_delivery_date, customer_purchase_order_number, is_undersupply_backordered, comments, \
         delivery_instructions, internal_comments, picking_completed_when, last_edited_by, last_edited_when" false
    ORDER_LINES "sales.order_lines"
        "order_line_id, order_id, stock_item_id, description, package_type_id, quantity, unit_price, tax_rate, \
         picked_quantity, picking_completed_when, last_edited_by, last_edited_when" false
    INVOICES "sales.invoices"
        "invoice_id, customer_id, bill_to_customer_id, order_id, delivery_method_id, contact_person_id, \
         accounts_person_id, salesperson_person_id, packed_by_person_id, invoice_date, customer_purchase_order_number, \
         is_credit_note, credit_note_reason, comments, delivery_instructions, internal_comments, total_dry_items, \
         total_chiller_items, delivery_run, run_position, returned_delivery_data, confirmed_delivery_time, \
         confirmed_received_by, last_edited_by, last_edited_when" false
    INVOICE_LINES "sales.invoice_lines"
        "invoice_line_id, invoice_id, stock_item_id, description, package_type_id, quantity, unit_price, tax_rate, \
         tax_amount, line_profit, extended_price, last_edited_by, last_edited_when" false
    PURCHASE_ORDERS "purchasing.purchase_orders"
        "purchase_order_id, supplier_id, order_date, delivery_method_id, contact_person_id, expected_delivery_date, \
         supplier_reference, is_order_finalized, comments, internal_comments, last_edited_by, last_edited_when" false
    PURCHASE_ORDER_LINES "purchasing.purchase_order_lines"
        "purchase_order_line_id, purchase_order_id, stock_item_id, ordered_outers, description, received_outers, \
         package_type_id, expected_unit_price_per_outer, last_receipt_date, is_order_line_finalized, last_edited_by, \
         last_edited_when" false
    CUSTOMER_TRANSACTIONS "sales.customer_transactions"
        "customer_transaction_id, customer_id, transaction_type_id, invoice_id, payment_method_id, transaction_date, \
         amount_excluding_tax, tax_amount, transaction_amount, outstanding_balance, finalization_date, is_finalized, \
         last_edited_by, last_edited_when" false
    SUPPLIER_TRANSACTIONS "purchasing.supplier_transactions"
        "supplier_transaction_id, supplier_id, transaction_type_id, purchase_order_id, payment_method_id, \
         supplier_invoice_number, transaction_date, amount_excluding_tax, tax_amount, transaction_amount, \
         outstanding_balance, finalization_date, is_finalized, last_edited_by, last_edited_when" false
    STOCK_ITEM_TRANSACTIONS "warehouse.stock_item_transactions"
        "stock_item_transaction_id, stock_item_id, transaction_type_id, customer_id, invoice_id, supplier_id, \
         purchase_order_id, transaction_occurred_when, quantity, last_edited_by, last_edited_when" false
    VEHICLE_TEMPERATURES "warehouse.vehicle_temperatures"
        "vehicle_temperature_id, vehicle_registration, chiller_sensor_number, recorded_when, temperature, \
         full_sensor_data, is_compressed, compressed_sensor_data" false
    COLD_ROOM_TEMPERATURES "warehouse.cold_room_temperatures"
        "cold_room_temperature_id, cold_room_sensor_number, recorded_when, temperature, valid_from, valid_to" true
}

impl Table {
    /// Schema and name of the archive of its ended versions.
    #[must_use]
    pub fn archive(self) -> Option<String> {
        self.is_versioned.then(|| format!("{}_archive", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn there_are_31_tables_of_which_17_have_an_archive() {
        assert_eq!(ALL.iter().filter(|table| table.is_versioned).count(), 17);
        let mut names: Vec<_> = ALL.iter().map(|table| table.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 31);
    }

    #[test]
    fn versioned_tables_end_with_their_validity() {
        for table in ALL {
            let ends = table.columns.ends_with("valid_from, valid_to");
            assert_eq!(ends, table.is_versioned, "{}", table.name);
        }
    }
}
