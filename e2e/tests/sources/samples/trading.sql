-- A company that trades in food, with the tables and the mixed-case names of a sample database that many people know:
-- employees who report to each other, a table whose name has a blank, keys of characters, small and real numbers,
-- pictures, foreign keys that may be NULL, m:n tables of texts, a table whose only key is a unique index.
CREATE TABLE "Categories" (
    "CategoryID" smallint PRIMARY KEY,
    "CategoryName" varchar(15) NOT NULL,
    "Description" text,
    "Picture" bytea
);
CREATE TABLE "CustomerDemographics" (
    "CustomerTypeID" bpchar(10) PRIMARY KEY,
    "CustomerDesc" text
);
CREATE TABLE "Customers" (
    "CustomerID" bpchar(5) PRIMARY KEY,
    "CompanyName" varchar(40) NOT NULL,
    "ContactName" varchar(30),
    "ContactTitle" varchar(30),
    "Address" varchar(60),
    "City" varchar(15),
    "Region" varchar(15),
    "PostalCode" varchar(10),
    "Country" varchar(15),
    "Phone" varchar(24),
    "Fax" varchar(24)
);
CREATE TABLE "CustomerCustomerDemo" (
    "CustomerID" bpchar(5) NOT NULL REFERENCES "Customers" ON UPDATE CASCADE ON DELETE CASCADE,
    "CustomerTypeID" bpchar(10) NOT NULL REFERENCES "CustomerDemographics",
    PRIMARY KEY ("CustomerID", "CustomerTypeID")
);
CREATE TABLE "Employees" (
    "EmployeeID" smallint PRIMARY KEY,
    "LastName" varchar(20) NOT NULL,
    "FirstName" varchar(10) NOT NULL,
    "Title" varchar(30),
    "TitleOfCourtesy" varchar(25),
    "BirthDate" date,
    "HireDate" date,
    "Address" varchar(60),
    "City" varchar(15),
    "Region" varchar(15),
    "PostalCode" varchar(10),
    "Country" varchar(15),
    "HomePhone" varchar(24),
    "Extension" varchar(4),
    "Photo" bytea,
    "Notes" text,
    "ReportsTo" smallint REFERENCES "Employees" ON DELETE SET NULL ON UPDATE CASCADE,
    "PhotoPath" varchar(255)
);
CREATE TABLE "Region" (
    "RegionID" smallint PRIMARY KEY,
    "RegionDescription" bpchar(50) NOT NULL,
    -- Its length varies, which an event does not tell. No model can have it, so the model ignores it.
    "Flags" bit varying(12)
);
CREATE TABLE "Territories" (
    "TerritoryID" varchar(20) PRIMARY KEY,
    "TerritoryDescription" bpchar(50) NOT NULL,
    "RegionID" smallint NOT NULL REFERENCES "Region" ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE "EmployeeTerritories" (
    "EmployeeID" smallint NOT NULL REFERENCES "Employees" ON DELETE CASCADE,
    "TerritoryID" varchar(20) NOT NULL REFERENCES "Territories" ON UPDATE CASCADE ON DELETE CASCADE,
    PRIMARY KEY ("EmployeeID", "TerritoryID")
);
CREATE TABLE "Shippers" (
    "ShipperID" smallint PRIMARY KEY,
    "CompanyName" varchar(40) NOT NULL,
    "Phone" varchar(24)
);
CREATE TABLE "Suppliers" (
    "SupplierID" smallint PRIMARY KEY,
    "CompanyName" varchar(40) NOT NULL,
    "ContactName" varchar(30),
    "ContactTitle" varchar(30),
    "Address" varchar(60),
    "City" varchar(15),
    "Region" varchar(15),
    "PostalCode" varchar(10),
    "Country" varchar(15),
    "Phone" varchar(24),
    "Fax" varchar(24),
    "HomePage" text
);
CREATE TABLE "Products" (
    "ProductID" smallint PRIMARY KEY,
    "ProductName" varchar(40) NOT NULL,
    "SupplierID" smallint REFERENCES "Suppliers" ON DELETE SET NULL,
    "CategoryID" smallint REFERENCES "Categories" ON DELETE SET NULL ON UPDATE CASCADE,
    "QuantityPerUnit" varchar(20),
    "UnitPrice" real,
    "UnitsInStock" smallint,
    "UnitsOnOrder" smallint,
    "ReorderLevel" smallint,
    "Discontinued" integer NOT NULL
);
-- Who ships an order stands in a column that is not called as the shipper's key is.
CREATE TABLE "Orders" (
    "OrderID" smallint PRIMARY KEY,
    "CustomerID" bpchar(5) REFERENCES "Customers" ON DELETE SET NULL ON UPDATE CASCADE,
    "EmployeeID" smallint REFERENCES "Employees" ON DELETE SET NULL,
    "OrderDate" date,
    "RequiredDate" date,
    "ShippedDate" date,
    "ShipVia" smallint REFERENCES "Shippers" ON DELETE SET NULL ON UPDATE CASCADE,
    "Freight" real,
    "ShipName" varchar(40),
    "ShipAddress" varchar(60),
    "ShipCity" varchar(15),
    "ShipRegion" varchar(15),
    "ShipPostalCode" varchar(10),
    "ShipCountry" varchar(15)
);
CREATE TABLE "Order Details" (
    "OrderID" smallint NOT NULL REFERENCES "Orders" ON DELETE CASCADE ON UPDATE CASCADE,
    "ProductID" smallint NOT NULL REFERENCES "Products",
    "UnitPrice" real NOT NULL,
    "Quantity" smallint NOT NULL CHECK ("Quantity" > 0),
    "Discount" real NOT NULL,
    PRIMARY KEY ("OrderID", "ProductID")
);
-- Parts of a delivery: a composite foreign key to an order's product, and one more to the whole order in the same
-- column.
CREATE TABLE "Deliveries" (
    "DeliveryID" uuid PRIMARY KEY,
    "OrderID" smallint REFERENCES "Orders" ON DELETE SET NULL,
    "ProductID" smallint,
    "Quantity" smallint NOT NULL,
    "DeliveredAt" timestamp(0),
    -- Wider than the key: the values fit, the type does not, so it is a column and no link.
    "ShipperID" bigint REFERENCES "Shippers" ON DELETE SET NULL ON UPDATE CASCADE,
    "TerritoryID" text REFERENCES "Territories" ON DELETE SET NULL ON UPDATE CASCADE,
    FOREIGN KEY ("OrderID", "ProductID") REFERENCES "Order Details" ON UPDATE CASCADE ON DELETE SET NULL
);
-- No primary key: events are keyed by the unique index, which tells every row.
CREATE TABLE "USStates" (
    "StateID" smallint NOT NULL,
    "StateName" varchar(100),
    "StateAbbr" varchar(2) NOT NULL,
    "StateRegion" varchar(50),
    -- Another column, for PostgreSQL.
    stateregion varchar(50)
);
CREATE UNIQUE INDEX "StateNumber" ON "USStates" ("StateID");
ALTER TABLE "USStates" REPLICA IDENTITY USING INDEX "StateNumber";
-- Names that neither a topic nor the vault can have as they are.
CREATE TABLE "Häfen & Märkte" (
    "Straße" varchar(30) PRIMARY KEY,
    "größe in m²" numeric,
    "user" text,
    "Order" integer,
    "a""quote" boolean
);

-- With several partitions, the old key's event may come after the new key's. The new row then has nowhere to take an
-- unchanged long value from, unless the event has it.
ALTER TABLE "Categories" REPLICA IDENTITY FULL;
ALTER TABLE "CustomerDemographics" REPLICA IDENTITY FULL;
ALTER TABLE "Employees" REPLICA IDENTITY FULL;
ALTER TABLE "Suppliers" REPLICA IDENTITY FULL;
ALTER TABLE "Häfen & Märkte" REPLICA IDENTITY FULL;
