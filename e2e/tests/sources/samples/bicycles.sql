-- A maker of bicycles, with schemas, tables and names of a large sample database that many people know: five schemas,
-- one table name in two of them, keys that are references over two steps, effective-dated rows, a bill of materials,
-- composite foreign keys that share a column, XML, JSON, UUIDs, money, intervals, ranges, bit strings, addresses of
-- networks, a list of partitions, arrays of most types.
CREATE SCHEMA person;
CREATE SCHEMA humanresources;
CREATE SCHEMA production;
CREATE SCHEMA purchasing;
CREATE SCHEMA sales;
CREATE DOMAIN flag AS boolean NOT NULL;
CREATE DOMAIN person.phone_number AS varchar(25) CHECK (VALUE ~ '^[0-9]');
CREATE DOMAIN person.direct_number AS person.phone_number CHECK (length(VALUE) > 2);
CREATE TYPE person.kind AS ENUM ('GC', 'SP', 'EM', 'IN', 'VC', 'SC');

-- Whoever there is business with, and what is known of them: each table's key is that of the table before.
CREATE TABLE person.businessentity (
    businessentityid integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rowguid uuid NOT NULL DEFAULT gen_random_uuid(),
    modifieddate timestamp NOT NULL DEFAULT now()
);
CREATE TABLE person.person (
    businessentityid integer PRIMARY KEY REFERENCES person.businessentity ON DELETE CASCADE,
    persontype person.kind NOT NULL,
    namestyle flag,
    title varchar(8),
    firstname varchar(50) NOT NULL,
    lastname varchar(50) NOT NULL,
    emailpromotion integer NOT NULL DEFAULT 0,
    additionalcontactinfo xml,
    demographics jsonb,
    direct_number person.direct_number,
    spoken text[]
);
CREATE TABLE person.emailaddress (
    businessentityid integer NOT NULL REFERENCES person.person ON DELETE CASCADE ON UPDATE CASCADE,
    emailaddressid integer NOT NULL,
    emailaddress varchar(50),
    seen_from inet,
    devices macaddr[],
    PRIMARY KEY (businessentityid, emailaddressid)
);
CREATE TABLE person.countryregion (
    countryregioncode varchar(3) PRIMARY KEY,
    name varchar(50) NOT NULL
);
CREATE TABLE person.stateprovince (
    stateprovinceid integer PRIMARY KEY,
    stateprovincecode char(3) NOT NULL,
    countryregioncode varchar(3) NOT NULL REFERENCES person.countryregion ON UPDATE CASCADE ON DELETE CASCADE,
    isonlystateprovinceflag flag DEFAULT true
);
CREATE TABLE person.address (
    addressid bigint PRIMARY KEY,
    addressline1 varchar(60) NOT NULL,
    addressline2 varchar(60),
    stateprovinceid integer NOT NULL REFERENCES person.stateprovince ON DELETE CASCADE ON UPDATE CASCADE,
    spatiallocation point
);
CREATE TABLE person.addresstype (
    addresstypeid smallint PRIMARY KEY,
    name varchar(50) NOT NULL
);
CREATE TABLE person.businessentityaddress (
    businessentityid integer NOT NULL REFERENCES person.businessentity ON DELETE CASCADE,
    addressid bigint NOT NULL REFERENCES person.address ON DELETE CASCADE ON UPDATE CASCADE,
    addresstypeid smallint NOT NULL REFERENCES person.addresstype,
    rowguid uuid NOT NULL,
    PRIMARY KEY (businessentityid, addressid, addresstypeid)
);

CREATE TABLE humanresources.department (
    departmentid smallint PRIMARY KEY,
    name varchar(50) NOT NULL,
    groupname varchar(50) NOT NULL
);
CREATE TABLE humanresources.shift (
    shiftid integer PRIMARY KEY,
    name varchar(50) NOT NULL,
    starttime time NOT NULL,
    endtime time(3) NOT NULL,
    zoned timetz,
    break interval
);
CREATE TABLE humanresources.employee (
    businessentityid integer PRIMARY KEY REFERENCES person.person ON DELETE CASCADE ON UPDATE CASCADE,
    nationalidnumber varchar(15) NOT NULL,
    loginid varchar(256) NOT NULL,
    manager integer REFERENCES humanresources.employee ON DELETE SET NULL ON UPDATE CASCADE,
    jobtitle varchar(50) NOT NULL,
    birthdate date,
    gender char(1) NOT NULL,
    vacationhours smallint NOT NULL DEFAULT 0,
    rights bit(8) NOT NULL DEFAULT B'00000000',
    is_current bit(1)
);
-- Rows with a beginning: nothing but the date tells two of them apart. Departments and shifts are parts of the key.
CREATE TABLE humanresources.employeedepartmenthistory (
    businessentityid integer NOT NULL REFERENCES humanresources.employee ON DELETE CASCADE ON UPDATE CASCADE,
    startdate date NOT NULL,
    departmentid smallint NOT NULL REFERENCES humanresources.department ON UPDATE CASCADE,
    shiftid integer NOT NULL REFERENCES humanresources.shift ON UPDATE CASCADE,
    enddate date CHECK (enddate >= startdate),
    PRIMARY KEY (businessentityid, startdate, departmentid, shiftid)
);
CREATE TABLE humanresources.employeepayhistory (
    businessentityid integer NOT NULL REFERENCES humanresources.employee ON DELETE CASCADE ON UPDATE CASCADE,
    ratechangedate timestamp NOT NULL,
    rate money NOT NULL CHECK (rate > 0::money),
    payfrequency smallint NOT NULL,
    PRIMARY KEY (businessentityid, ratechangedate)
);

CREATE TABLE production.unitmeasure (
    unitmeasurecode char(3) PRIMARY KEY,
    name varchar(50) NOT NULL
);
CREATE TABLE production.productcategory (
    productcategoryid integer PRIMARY KEY,
    parentid integer REFERENCES production.productcategory ON DELETE SET NULL ON UPDATE CASCADE,
    name varchar(50) NOT NULL
);
CREATE TABLE production.productmodel (
    productmodelid integer PRIMARY KEY,
    name varchar(50) NOT NULL,
    catalogdescription xml,
    instructions json,
    warranty interval,
    wheel numrange,
    sold_in daterange,
    serial int8range[]
);
CREATE TABLE production.product (
    productid integer PRIMARY KEY,
    name varchar(50) NOT NULL,
    productnumber varchar(25) NOT NULL,
    makeflag flag DEFAULT true,
    standardcost numeric NOT NULL,
    listprice numeric(12, 4) NOT NULL CHECK (listprice >= 0),
    sizeunitmeasurecode char(3) REFERENCES production.unitmeasure ON UPDATE CASCADE ON DELETE SET NULL,
    weightunitmeasurecode char(3) REFERENCES production.unitmeasure ON UPDATE CASCADE ON DELETE SET NULL,
    weight numeric(8, 2),
    dimensions double precision[],
    productcategoryid integer REFERENCES production.productcategory ON DELETE SET NULL,
    productmodelid integer REFERENCES production.productmodel ON DELETE SET NULL,
    margin numeric GENERATED ALWAYS AS (listprice - standardcost) STORED,
    sellstartdate timestamp NOT NULL
);
-- What is a part of what. The whole has no assembly.
CREATE TABLE production.billofmaterials (
    billofmaterialsid integer PRIMARY KEY,
    productassemblyid integer REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    componentid integer NOT NULL REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    startdate timestamp NOT NULL,
    enddate timestamp,
    unitmeasurecode char(3) NOT NULL REFERENCES production.unitmeasure ON UPDATE CASCADE,
    bomlevel smallint NOT NULL,
    perassemblyqty numeric(8, 2) NOT NULL CHECK (perassemblyqty > 0),
    CHECK (productassemblyid <> componentid)
);
-- Both are keys, of one table, in one key.
CREATE TABLE production.productreplacement (
    productid integer REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    replacementid integer REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    since date NOT NULL,
    PRIMARY KEY (productid, replacementid)
);
-- A key of an enumeration, a number without a scale and a truth. Columns of the catalog's own types.
CREATE TABLE production.productrating (
    productid integer REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    rated_by person.kind,
    level numeric,
    is_public boolean,
    file oid,
    letter "char",
    made_by name,
    files oid[],
    PRIMARY KEY (productid, rated_by, level, is_public)
);
CREATE TABLE production.productcosthistory (
    productid integer NOT NULL REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    startdate timestamp NOT NULL,
    enddate timestamp,
    standardcost money NOT NULL,
    PRIMARY KEY (productid, startdate)
);
CREATE TABLE production.transactionhistory (
    transactionid bigint NOT NULL,
    transactiontype char(1) NOT NULL,
    productid integer NOT NULL REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    transactiondate timestamptz NOT NULL,
    quantity integer NOT NULL,
    PRIMARY KEY (transactiontype, transactionid)
) PARTITION BY LIST (transactiontype);
CREATE TABLE production.transactionhistory_ab PARTITION OF production.transactionhistory FOR VALUES IN ('A', 'B');
CREATE TABLE production.transactionhistory_rest PARTITION OF production.transactionhistory DEFAULT;

CREATE TABLE purchasing.vendor (
    businessentityid integer PRIMARY KEY REFERENCES person.businessentity ON DELETE CASCADE,
    accountnumber varchar(15) NOT NULL,
    creditrating smallint NOT NULL
);
CREATE TABLE purchasing.productvendor (
    productid integer NOT NULL REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    businessentityid integer NOT NULL REFERENCES purchasing.vendor ON DELETE CASCADE,
    averageleadtime interval NOT NULL,
    standardprice numeric(12, 4) NOT NULL,
    unitmeasurecode char(3) NOT NULL REFERENCES production.unitmeasure ON UPDATE CASCADE,
    PRIMARY KEY (productid, businessentityid)
);
-- A name that sales has, too.
CREATE TABLE purchasing.orderheader (
    purchaseorderid integer PRIMARY KEY,
    vendorid integer NOT NULL REFERENCES purchasing.vendor ON DELETE CASCADE,
    employeeid integer REFERENCES humanresources.employee ON DELETE SET NULL ON UPDATE CASCADE,
    orderdate timestamp(3) NOT NULL
);

CREATE TABLE sales.currency (
    currencycode char(3) PRIMARY KEY,
    name varchar(50) NOT NULL
);
CREATE TABLE sales.currencyrate (
    currencyrateid uuid PRIMARY KEY,
    fromcurrencycode char(3) NOT NULL REFERENCES sales.currency ON UPDATE CASCADE ON DELETE CASCADE,
    tocurrencycode char(3) NOT NULL REFERENCES sales.currency ON UPDATE CASCADE ON DELETE CASCADE,
    averagerate numeric(19, 6) NOT NULL,
    valid tstzrange NOT NULL,
    rates_of_day real[]
);
CREATE TABLE sales.specialoffer (
    specialofferid integer PRIMARY KEY,
    description varchar(255) NOT NULL,
    discountpct numeric NOT NULL,
    quantity int4range,
    steps numeric(10, 2)[]
);
CREATE TABLE sales.specialofferproduct (
    specialofferid integer NOT NULL REFERENCES sales.specialoffer ON DELETE CASCADE ON UPDATE CASCADE,
    productid integer NOT NULL REFERENCES production.product ON DELETE CASCADE ON UPDATE CASCADE,
    rowguid uuid NOT NULL,
    PRIMARY KEY (specialofferid, productid)
);
CREATE TABLE sales.orderheader (
    salesorderid integer PRIMARY KEY,
    orderdate timestamp NOT NULL,
    customerid integer REFERENCES person.person ON DELETE SET NULL ON UPDATE CASCADE,
    billtoaddressid bigint REFERENCES person.address ON DELETE SET NULL ON UPDATE CASCADE,
    shiptoaddressid bigint REFERENCES person.address ON DELETE SET NULL ON UPDATE CASCADE,
    currencyrateid uuid REFERENCES sales.currencyrate ON DELETE SET NULL,
    subtotal numeric NOT NULL,
    comment varchar(128)
);
-- A composite foreign key; the same columns are none of the key.
CREATE TABLE sales.orderdetail (
    salesorderid integer NOT NULL REFERENCES sales.orderheader ON DELETE CASCADE,
    salesorderdetailid integer NOT NULL,
    orderqty smallint NOT NULL,
    productid integer,
    specialofferid integer,
    unitprice money NOT NULL,
    PRIMARY KEY (salesorderid, salesorderdetailid),
    FOREIGN KEY (specialofferid, productid) REFERENCES sales.specialofferproduct ON DELETE SET NULL ON UPDATE CASCADE
);
-- Two composite foreign keys that share the order: of a line what came back, and the line that was sent in its place.
CREATE TABLE sales.orderreturn (
    returnid integer PRIMARY KEY,
    salesorderid integer NOT NULL,
    salesorderdetailid integer NOT NULL,
    replacedby integer,
    reason text,
    FOREIGN KEY (salesorderid, salesorderdetailid) REFERENCES sales.orderdetail ON DELETE CASCADE ON UPDATE CASCADE,
    FOREIGN KEY (salesorderid, replacedby) REFERENCES sales.orderdetail
);
-- Names as long as names can be.
CREATE TABLE sales.agreements_with_resellers_who_sell_at_the_prices_of_the_catalog (
    the_number_of_the_agreement_as_the_reseller_has_it_in_his_books integer PRIMARY KEY,
    the_number_of_the_agreement_as_our_own_office_has_it_in_a_drawe text,
    vendor_that_the_agreement_is_with_and_that_signed_it_some_day integer REFERENCES purchasing.vendor ON DELETE SET NULL
);
CREATE VIEW humanresources.current_shifts AS
SELECT e.loginid, h.shiftid FROM humanresources.employee AS e JOIN humanresources.employeedepartmenthistory AS h USING (businessentityid);

-- With several partitions, the old key's event may come after the new key's. The new row then has nowhere to take an
-- unchanged long value from, unless the event has it.
ALTER TABLE person.person REPLICA IDENTITY FULL;
ALTER TABLE production.productmodel REPLICA IDENTITY FULL;
ALTER TABLE sales.orderreturn REPLICA IDENTITY FULL;
ALTER TABLE sales.agreements_with_resellers_who_sell_at_the_prices_of_the_catalog REPLICA IDENTITY FULL;
