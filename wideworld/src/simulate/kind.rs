//! What happens at the wholesaler, and how often when nobody has set anything else.

/// A kind of event; each is one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A customer orders one to five stock items.
    Order,
    /// An order is picked; what is missing becomes an order of its own.
    Pick,
    /// A picked order is invoiced, and its goods leave the shelf.
    Invoice,
    /// An invoice is delivered.
    Deliver,
    /// A customer pays open invoices.
    Payment,
    /// A supplier gets an order for what runs low.
    PurchaseOrder,
    /// A purchase order comes in.
    Receive,
    /// A supplier is paid.
    SupplierPayment,
    /// A shelf is counted.
    Stocktake,
    /// All sensors of the cold rooms are read.
    ColdRoom,
    /// The chiller of a vehicle is read.
    Vehicle,
    /// A customer is edited.
    EditCustomer,
    /// A person is edited.
    EditPerson,
    /// The price of a stock item is edited.
    EditPrice,
    /// A special deal is offered, or an old one withdrawn.
    Deal,
}

/// All kinds, with their events a second at speed 1.
pub const KINDS: [(Kind, f64); 15] = [
    (Kind::Order, 1.0),
    (Kind::Pick, 1.1),
    (Kind::Invoice, 1.1),
    (Kind::Deliver, 1.1),
    (Kind::Payment, 0.6),
    (Kind::PurchaseOrder, 0.1),
    (Kind::Receive, 0.1),
    (Kind::SupplierPayment, 0.1),
    (Kind::Stocktake, 0.1),
    (Kind::ColdRoom, 0.2),
    (Kind::Vehicle, 0.1),
    (Kind::EditCustomer, 0.1),
    (Kind::EditPerson, 0.1),
    (Kind::EditPrice, 0.05),
    (Kind::Deal, 0.02),
];

/// Number of kinds.
pub const KIND_COUNT: usize = KINDS.len();

impl Kind {
    /// Place in [`KINDS`].
    #[must_use]
    pub fn index(self) -> usize {
        KINDS.iter().position(|(kind, _)| *kind == self).expect("the list has every kind")
    }

    /// Name on the page and in the summary.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Order => "orders",
            Self::Pick => "picks",
            Self::Invoice => "invoices",
            Self::Deliver => "deliveries",
            Self::Payment => "payments",
            Self::PurchaseOrder => "purchase orders",
            Self::Receive => "receipts",
            Self::SupplierPayment => "supplier payments",
            Self::Stocktake => "stocktakes",
            Self::ColdRoom => "cold-room readings",
            Self::Vehicle => "vehicle readings",
            Self::EditCustomer => "customer edits",
            Self::EditPerson => "people edits",
            Self::EditPrice => "price edits",
            Self::Deal => "special deals",
        }
    }

    /// Name on the command line, in metrics and in forms.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Pick => "pick",
            Self::Invoice => "invoice",
            Self::Deliver => "deliver",
            Self::Payment => "payment",
            Self::PurchaseOrder => "purchase_order",
            Self::Receive => "receive",
            Self::SupplierPayment => "supplier_payment",
            Self::Stocktake => "stocktake",
            Self::ColdRoom => "cold_room",
            Self::Vehicle => "vehicle",
            Self::EditCustomer => "edit_customer",
            Self::EditPerson => "edit_person",
            Self::EditPrice => "edit_price",
            Self::Deal => "deal",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        KINDS.iter().map(|(kind, _)| *kind).find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, Kind};

    #[test]
    fn a_name_leads_back_to_its_kind() {
        for (place, (kind, rate)) in KINDS.iter().enumerate() {
            assert_eq!(Kind::of_name(kind.name()), Some(*kind));
            assert_eq!(kind.index(), place);
            assert!(*rate > 0.0);
        }
        assert_eq!(Kind::of_name("strike"), None);
    }
}
