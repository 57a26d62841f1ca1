//! Every type that travels: how a source column is declared, what the model calls it, some values, and how to print it
//! there as the vault prints it.

/// A type. `%` in `printed` stands for the column.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    pub(crate) model: &'static str,
    /// The last one is long enough to be stored out of line, where the type can be.
    pub(crate) values: &'static [&'static str],
    pub(crate) printed: &'static str,
}

/// Printed alike on both sides.
const fn case(
    name: &'static str,
    source: &'static str,
    model: &'static str,
    values: &'static [&'static str],
) -> Case {
    Case { name, source, model, values, printed: "%::text" }
}

/// Printed otherwise in the source: the vault has another type for it.
const fn printed(case: Case, printed: &'static str) -> Case {
    Case { printed, ..case }
}

/// What a type of the system is created for. The types of PostGIS and pgvector, which no package has for every server,
/// are texts in the form that these extensions print.
pub(crate) const TYPES: &str = "
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE EXTENSION hstore;
CREATE EXTENSION isn;
CREATE TYPE vector; CREATE TYPE halfvec; CREATE TYPE sparsevec; CREATE TYPE geometry;
CREATE FUNCTION vector_in(cstring) RETURNS vector LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION vector_out(vector) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE vector (INPUT = vector_in, OUTPUT = vector_out, LIKE = text);
CREATE FUNCTION halfvec_in(cstring) RETURNS halfvec LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION halfvec_out(halfvec) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE halfvec (INPUT = halfvec_in, OUTPUT = halfvec_out, LIKE = text);
CREATE FUNCTION sparsevec_in(cstring) RETURNS sparsevec LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION sparsevec_out(sparsevec) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE sparsevec (INPUT = sparsevec_in, OUTPUT = sparsevec_out, LIKE = text);
CREATE FUNCTION geometry_in(cstring) RETURNS geometry LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION geometry_out(geometry) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE geometry (INPUT = geometry_in, OUTPUT = geometry_out, LIKE = text, DELIMITER = ':');
ALTER EXTENSION citext ADD TYPE vector;
ALTER EXTENSION citext ADD TYPE halfvec;
ALTER EXTENSION citext ADD TYPE sparsevec;
ALTER EXTENSION citext ADD TYPE geometry;
CREATE TYPE mood AS ENUM ('ok', 'sad');
CREATE DOMAIN price AS numeric(8, 3);
CREATE DOMAIN words AS text[];
CREATE FUNCTION long_texts() RETURNS text[] IMMUTABLE
    BEGIN ATOMIC SELECT array_agg(md5(n::text)) FROM generate_series(1, 80) AS n; END;
CREATE FUNCTION numbers() RETURNS integer[] IMMUTABLE
    BEGIN ATOMIC SELECT array_agg(n) FROM generate_series(1, 600) AS n; END;
";

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case("bool", "boolean", "boolean", &["true", "false"]),
    case("int2", "smallint", "smallint", &["-32768", "32767"]),
    case("int4", "integer", "integer", &["-2147483648", "2147483647"]),
    case("int8", "bigint", "bigint", &["-9223372036854775808", "9223372036854775807"]),
    case("oid", "oid", "bigint", &["0", "4294967295"]),
    case("float4", "real", "real", &["0.1", "'NaN'", "'-Infinity'", "3.4028235e38"]),
    case("float8", "double precision", "double precision", &["1e-7", "'NaN'", "'Infinity'", "5e-324"]),
    case("decimal", "numeric(12, 4)", "numeric(12,4)", &["99999999.9999", "-0.0001"]),
    printed(case("numeric", "numeric", "numeric", &["1.5", "-1e20", "repeat('123456789', 800)::numeric"]), "trim_scale(%)::text"),
    case("hundreds", "numeric(5, -2)", "numeric(5,-2)", &["12345", "-700", "0"]),
    printed(case("bpchar", "char(5)", "char(5)", &["'a'", "'éé'"]), "rtrim(%::text)"),
    case("varchar", "varchar(10)", "varchar(10)", &["''", "'日本語'"]),
    case("text", "text", "text", &["''", "E'\\t\\u0001\"\\\\'", "repeat('long', 900)"]),
    case("letter", "\"char\"", "text", &["'a'", "'b'"]),
    case("date", "date", "date", &["'2026-01-02'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'5874897-12-31'"]),
    case("time3", "time(3)", "time(3)", &["'23:59:59.999'", "'00:00:00'"]),
    case("time6", "time", "time", &["'23:59:59.999999'", "'24:00:00'"]),
    case("stamp3", "timestamp(3)", "timestamp(3)", &["'2026-01-02 03:04:05.678'", "'infinity'", "'294276-12-31 23:59:59.999'"]),
    case("stamp6", "timestamp", "timestamp", &["'2026-01-02 03:04:05.678901'", "'-infinity'", "'294276-12-31 23:59:59.999999'", "'4713-01-01 BC'"]),
    case("stamptz", "timestamptz", "timestamptz", &["'2026-01-02 03:04:05.678901+03'", "'infinity'", "'294276-12-31 23:59:59.999999+00'", "'0044-03-15 12:00+00 BC'"]),
    printed(case("timetz", "timetz", "timetz", &["'10:11:12.5+03'", "'23:59:59.999999-08'"]), "(% AT TIME ZONE 'UTC')::text"),
    // Days of 24 hours; a month has 30.4375 of them in an event.
    printed(case("interval", "interval", "interval", &["'3 days 04:05:06.789'", "'-1 day'"]), "(extract(epoch FROM %) * 1000000)::bigint::text"),
    printed(case("money", "money", "money", &["'-1234567.89'", "'0.05'"]), "%::numeric::text"),
    printed(case("bit1", "bit(1)", "bit(1)", &["'0'", "'1'"]), "(% = B'1')::text"),
    case("bits", "bit(8000)", "bit(8000)", &["repeat('01', 4000)::bit(8000)", "repeat('00111', 1600)::bit(8000)"]),
    case("uuid", "uuid", "uuid", &["'11111111-2222-3333-4444-555555555555'", "'00000000-0000-0000-0000-000000000000'"]),
    case("json", "json", "json", &["'{\"b\": 1, \"a\": [null]}'", "to_json(long_texts())"]),
    case("jsonb", "jsonb", "jsonb", &["'{\"b\": 1, \"a\": [null]}'", "to_jsonb(long_texts())"]),
    case("bytea", "bytea", "bytea", &["'\\x00ff'", "decode(repeat('abcd', 2000), 'hex')"]),
    // A cast to text adds the netmask that the output leaves out.
    printed(case("inet", "inet", "inet", &["'10.0.0.1/8'", "'::1'"]), "nullif(concat(%), '')"),
    case("cidr", "cidr", "cidr", &["'10.0.0.0/8'", "'::/0'"]),
    case("macaddr", "macaddr", "macaddr", &["'08:00:2b:01:02:03'"]),
    case("macaddr8", "macaddr8", "macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    case("int4range", "int4range", "int4range", &["'[1,3)'", "'empty'"]),
    case("int8range", "int8range", "int8range", &["'[1,)'"]),
    case("numrange", "numrange", "numrange", &["'[1.5,3)'", "numrange(0, repeat('123456789', 800)::numeric)"]),
    case("daterange", "daterange", "daterange", &["'[2026-01-02,infinity)'"]),
    case("tsrange", "tsrange", "tsrange", &["'[2026-01-02 03:04:05.6,)'"]),
    case("tstzrange", "tstzrange", "tstzrange", &["'(2026-01-02 03:04:05.6+00,2027-01-02 03:04:05+01]'"]),
    case("xml", "xml", "xml", &["'<a b=\"c\">é</a>'", "('<a>' || array_to_string(long_texts(), '') || '</a>')::xml"]),
    case("tsvector", "tsvector", "tsvector", &["'fat:2A cat:3'", "array_to_tsvector(long_texts())"]),
    case("citext", "citext", "citext", &["'Ab'", "array_to_string(long_texts(), '')"]),
    case("ltree", "ltree", "ltree", &["'top.science'", "array_to_string(long_texts(), '.')::ltree"]),
    case("isbn", "isbn", "isbn", &["'978-0-393-04002-9'"]),
    printed(case("hstore", "hstore", "hstore", &["'b=>2, a=>NULL'", "hstore(long_texts(), long_texts())"]), "hstore_to_jsonb(%)::text"),
    case("point", "point", "point", &["'(1.5,-2)'", "'(NaN,Infinity)'"]),
    printed(case("geometry", "geometry", "geometry(Point,4326)", &["'0101000020E6100000000000000000F03F0000000000000040'", "('0102000000' || repeat('AB', 3000))::geometry"]), "lower('\\x' || %::text)"),
    printed(case("vector", "vector", "vector(3)", &["'[1,-2.5,0.1]'", "replace(translate(numbers()::text, '{}', '[]'), ' ', '')::vector"]), "translate(%::text, '[]', '{}')"),
    printed(case("halfvec", "halfvec", "halfvec", &["'[0.5,65504]'", "translate(numbers()::text, '{}', '[]')::halfvec"]), "translate(%::text, '[]', '{}')"),
    case("sparsevec", "sparsevec", "sparsevec(9)", &["'{1:1.5,4:-2}/9'", "'{}/3'", "('{' || (SELECT string_agg(n || ':1.25', ',') FROM unnest(numbers()) AS n) || '}/30000')::sparsevec"]),
    printed(case("geometry_a", "geometry[]", "geometry[]", &["'{0101000000000000000000F03F0000000000000040:NULL}'", "array[('0102000000' || repeat('AB', 3000))::geometry]"]), "(SELECT array_agg(decode(x::text, 'hex') ORDER BY i)::text FROM unnest(%) WITH ORDINALITY AS u (x, i))"),
    case("mood", "mood", "text", &["'ok'", "'sad'"]),
    case("price", "price", "numeric(8,3)", &["1.5", "-2"]),
    case("bool_a", "boolean[]", "boolean[]", &["'{t,f,NULL}'", "'{}'", "'{{t,f},{f,t}}'", "array_fill(true, array[3000])"]),
    case("int2_a", "smallint[]", "smallint[]", &["'{1,-2,NULL}'", "numbers()::smallint[] || numbers()::smallint[]"]),
    case("int4_a", "integer[]", "integer[]", &["'{{1,2},{3,NULL}}'", "'{{{1}}}'", "numbers()"]),
    case("int8_a", "bigint[]", "bigint[]", &["'{9223372036854775807}'", "numbers()::bigint[]"]),
    case("oid_a", "oid[]", "bigint[]", &["'{4294967295}'", "numbers()::oid[]"]),
    case("float4_a", "real[]", "real[]", &["'{0.1,NaN,-Infinity,NULL}'", "numbers()::real[]"]),
    case("float8_a", "double precision[]", "double precision[]", &["'{1e-7,NaN,1e300}'", "numbers()::float8[]"]),
    case("numeric_a", "numeric[]", "numeric[]", &["'{1.5,NULL,100}'", "numbers()::numeric[]"]),
    case("decimal_a", "numeric(12, 4)[]", "numeric(12,4)[]", &["'{1.5,NULL,-2}'", "numbers()::numeric(12, 4)[]"]),
    printed(case("bpchar_a", "char(40)[]", "char(40)[]", &["'{a,bcd}'", "long_texts()"]), "(SELECT array_agg(rtrim(x::text) ORDER BY i)::text FROM unnest(%) WITH ORDINALITY AS u (x, i))"),
    case("varchar_a", "varchar(40)[]", "varchar(40)[]", &["'{a,\"b,c\",\"NULL\",NULL,\"\"}'", "long_texts()"]),
    case("text_a", "text[]", "text[]", &["'{{a,\"b\\\\c\"},{\"{x}\",NULL}}'", "long_texts()"]),
    case("date_a", "date[]", "date[]", &["'{2026-01-02,NULL,infinity,\"0044-03-15 BC\"}'", "array(SELECT date '2026-01-01' + n FROM unnest(numbers()) AS n)"]),
    case("time3_a", "time(3)[]", "time(3)[]", &["'{01:02:03.004}'", "array(SELECT time '00:00' + n * interval '1 s' FROM unnest(numbers()) AS n)"]),
    case("time6_a", "time[]", "time[]", &["'{01:02:03.000004,24:00:00}'", "array(SELECT time '00:00' + n * interval '1 s' FROM unnest(numbers()) AS n)"]),
    case("timetz_a", "timetz[]", "timetz[]", &["'{10:11:12.5+00}'", "array(SELECT timetz '00:00+00' + n * interval '1 s' FROM unnest(numbers()) AS n)"]),
    case("stamp3_a", "timestamp(3)[]", "timestamp(3)[]", &["'{\"2026-01-02 03:04:05.678\",NULL}'", "array(SELECT timestamp '2026-01-01' + n * interval '1 s' FROM unnest(numbers()) AS n)"]),
    case("stamp6_a", "timestamp[]", "timestamp[]", &["'{\"2026-01-02 03:04:05.678901\",infinity}'", "array(SELECT timestamp '2026-01-01' + n * interval '1 s' FROM unnest(numbers()) AS n)"]),
    case("stamptz_a", "timestamptz[]", "timestamptz[]", &["'{\"2026-01-02 03:04:05.678901+03\",-infinity}'", "array(SELECT timestamptz '2026-01-01 00:00+00' + n * interval '1 s' FROM unnest(numbers()) AS n)"]),
    case("json_a", "json[]", "json[]", &["array['{\"a\": 1}'::json, NULL]", "array(SELECT to_json(t) FROM unnest(long_texts()) AS t)"]),
    case("jsonb_a", "jsonb[]", "jsonb[]", &["array['{\"a\": 1}'::jsonb, NULL]", "array(SELECT to_jsonb(t) FROM unnest(long_texts()) AS t)"]),
    case("uuid_a", "uuid[]", "uuid[]", &["'{11111111-2222-3333-4444-555555555555,NULL}'", "(long_texts() || long_texts())::uuid[]"]),
    case("bytea_a", "bytea[]", "bytea[]", &["array['\\x00ff'::bytea, NULL]", "array(SELECT decode(t, 'hex') FROM unnest(long_texts()) AS t)"]),
    case("inet_a", "inet[]", "inet[]", &["'{10.0.0.1/8,NULL}'", "array(SELECT inet '10.0.0.0' + n FROM unnest(numbers()) AS n)"]),
    case("cidr_a", "cidr[]", "cidr[]", &["'{10.0.0.0/8}'"]),
    case("macaddr_a", "macaddr[]", "macaddr[]", &["'{08:00:2b:01:02:03}'"]),
    case("int4range_a", "int4range[]", "int4range[]", &["'{\"[1,3)\",empty,NULL}'", "array(SELECT int4range(n, n + 5) FROM unnest(numbers()) AS n)"]),
    case("numrange_a", "numrange[]", "numrange[]", &["'{\"[1.5,3)\"}'"]),
    case("tstzrange_a", "tstzrange[]", "tstzrange[]", &["'{\"[2026-01-02,2026-01-03)\"}'"]),
    case("tsvector_a", "tsvector[]", "tsvector[]", &["array['a b'::tsvector, NULL]", "array[array_to_tsvector(long_texts())]"]),
    case("citext_a", "citext[]", "citext[]", &["'{Ab,NULL}'", "long_texts()::citext[]"]),
    case("ltree_a", "ltree[]", "ltree[]", &["'{a.b,NULL}'", "long_texts()::ltree[]"]),
    printed(case("hstore_a", "hstore[]", "hstore[]", &["array['b=>2, a=>1'::hstore]", "array[hstore(long_texts(), long_texts())]"]), "(SELECT array_agg(hstore_to_jsonb(x) ORDER BY i)::text FROM unnest(%) WITH ORDINALITY AS u (x, i))"),
    case("mood_a", "mood[]", "text[]", &["'{ok,NULL}'", "array_fill('sad'::mood, array[1000])"]),
    case("bits_a", "bit(5)[]", "bit(5)[]", &["'{10101,NULL}'", "array_fill(B'10011'::bit(5), array[1000])"]),
    case("words", "words", "text[]", &["'{a,NULL}'", "long_texts()"]),
];
