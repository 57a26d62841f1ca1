//! The short lists that other rows refer to by place: number one is the first.

pub(crate) const DELIVERY_METHODS: [&str; 10] = [
    "Post",
    "Courier",
    "Delivery Van",
    "Customer Collect",
    "Chilled Van",
    "Customer Courier",
    "Air Freight",
    "Road Freight",
    "Rail Freight",
    "Sea Freight",
];
/// `Delivery Van`
pub(crate) const BY_VAN: i32 = 3;
/// `Road Freight`
pub(crate) const BY_ROAD: i32 = 8;

pub(crate) const PAYMENT_METHODS: [&str; 4] = ["Cash", "Check", "Credit-Card", "EFT"];
/// `EFT`
pub(crate) const BY_TRANSFER: i32 = 4;

pub(crate) const TRANSACTION_TYPES: [&str; 13] = [
    "Customer Invoice",
    "Customer Credit Note",
    "Customer Payment Received",
    "Customer Refund",
    "Supplier Invoice",
    "Supplier Credit Note",
    "Supplier Payment Issued",
    "Supplier Refund",
    "Stock Transfer",
    "Stock Issue",
    "Stock Receipt",
    "Stock Adjustment at Stocktake",
    "Customer Contra",
];
/// `Customer Invoice`
pub(crate) const CUSTOMER_INVOICE: i32 = 1;
/// `Customer Payment Received`
pub(crate) const CUSTOMER_PAYMENT: i32 = 3;
/// `Supplier Invoice`
pub(crate) const SUPPLIER_INVOICE: i32 = 5;
/// `Supplier Payment Issued`
pub(crate) const SUPPLIER_PAYMENT: i32 = 7;
/// `Stock Issue`
pub(crate) const STOCK_ISSUE: i32 = 10;
/// `Stock Receipt`
pub(crate) const STOCK_RECEIPT: i32 = 11;
/// `Stock Adjustment at Stocktake`
pub(crate) const STOCKTAKE: i32 = 12;

pub(crate) const SUPPLIER_CATEGORIES: [&str; 7] = [
    "Novelty Goods",
    "Toys",
    "Clothing",
    "Packaging",
    "Courier Services",
    "Insurance Services",
    "Financial Services",
];

pub(crate) const CUSTOMER_CATEGORIES: [&str; 6] =
    ["Novelty Shop", "Supermarket", "Computer Shop", "Gift Shop", "Corporate", "General Retailer"];

pub(crate) const BUYING_GROUPS: [&str; 3] = ["Harbour Toys", "Granite Gifts", "Prairie Stores"];

pub(crate) const COLORS: [&str; 16] = [
    "Azure", "Beige", "Black", "Blue", "Charcoal", "Green", "Grey", "Ivory", "Khaki", "Maroon",
    "Orange", "Pink", "Red", "Silver", "White", "Yellow",
];

pub(crate) const PACKAGE_TYPES: [&str; 9] =
    ["Bag", "Bottle", "Box", "Carton", "Crate", "Each", "Packet", "Pair", "Roll"];
/// `Carton`
pub(crate) const CARTON: i32 = 4;

pub(crate) const STOCK_GROUPS: [&str; 8] = [
    "Novelty Items",
    "Clothing",
    "Mugs",
    "Toys",
    "Packaging Materials",
    "Computing Novelties",
    "Edible Novelties",
    "Footwear",
];
