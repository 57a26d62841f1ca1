//! Random values of every type that the vault stores: as the loader has them, and as SQL spells them.
//!
//! In: a seed and a type. Out: values, of which every third is an awkward one: empty, blank, a delimiter, an extreme,
//! NULL, not ASCII, another form of the same letters.

use vault_loader::decode::{ArrayValue, Value};

/// The generator `SplitMix64`: the same seed gives the same values on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one_of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// A number between two others, both included.
    fn between(&mut self, from: i128, to: i128) -> i128 {
        let wide = (u128::from(self.next()) << 64) | u128::from(self.next());
        from + i128::try_from(wide % u128::try_from(to - from + 1).unwrap()).unwrap()
    }

    /// A number of up to so many bits, often a small one.
    fn integer(&mut self, bits: u32) -> i64 {
        let top = (1_i128 << (bits - 1)) - 1;
        let edges = [0, 1, -1, 9, 10, -10, top, -top - 1];
        let size = u32::try_from(self.below(usize::try_from(bits).unwrap())).unwrap();
        let any = self.between(-(1_i128 << size), (1_i128 << size) - 1);
        let number = if self.below(3) == 0 { *self.one_of(&edges) } else { any };
        i64::try_from(number).unwrap()
    }
}

/// A value and its spelling; none for NULL.
pub(crate) type Spelled = (Value<'static>, Option<String>);

/// The types, as a model spells them.
pub(crate) const SCALARS: [&str; 20] = [
    "smallint",
    "integer",
    "bigint",
    "interval",
    "numeric",
    "real",
    "double precision",
    "boolean",
    "text",
    "char(40)",
    "json",
    "jsonb",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "uuid",
    "bytea",
    "point",
];

/// Types of which there are arrays.
pub(crate) const ELEMENTS: [&str; 17] = [
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
    "boolean",
    "text",
    "json",
    "jsonb",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "uuid",
    "bytea",
];

/// A value of a type, NULL now and then.
pub(crate) fn scalar(random: &mut Random, kind: &str) -> Spelled {
    if random.below(50) == 0 {
        return (Value::Null, None);
    }
    let (value, text) = match kind {
        "smallint" => integer(random.integer(16)),
        "integer" => integer(random.integer(32)),
        "bigint" | "interval" => integer(random.integer(64)),
        "numeric" => numeric(random),
        "real" => real(random),
        "double precision" => {
            let (number, text) = double(random);
            (Value::Double(number), text)
        }
        "boolean" => {
            let is_true = random.below(2) == 0;
            (Value::Bool(is_true), is_true.to_string())
        }
        "text" => {
            let text = text(random, &LETTERS);
            (Value::Text(text.clone().into()), text)
        }
        "char(40)" => {
            let text = text(random, &LETTERS);
            (Value::Text(text.trim_end_matches(' ').to_owned().into()), text)
        }
        "json" => {
            let text = json(random, 0);
            (Value::Text(text.clone().into()), text)
        }
        "jsonb" => {
            let text = json(random, 0);
            (Value::Json(text.clone().into()), text)
        }
        "date" => date(random),
        "time" => {
            let micros = time_of_day(random);
            (Value::Time(micros), clock(micros))
        }
        "timetz" => time_with_zone(random),
        "timestamp" | "timestamptz" => timestamp(random, kind == "timestamptz"),
        "uuid" => {
            let bytes = std::array::from_fn(|_| byte(random));
            (Value::Uuid(bytes), hex::encode(bytes))
        }
        "bytea" => {
            let bytes: Vec<u8> = (0..random.below(9)).map(|_| byte(random)).collect();
            let text = format!("\\x{}", hex::encode(&bytes));
            (Value::Bytes(bytes), text)
        }
        "point" => {
            let ((x, x_text), (y, y_text)) = (double(random), double(random));
            (Value::Point(x, y), format!("({x_text},{y_text})"))
        }
        other => panic!("no values of type {other} are known"),
    };
    (value, Some(text))
}

/// An array of up to three dimensions.
pub(crate) fn array(random: &mut Random, element: &str) -> Spelled {
    if random.below(50) == 0 {
        return (Value::Null, None);
    }
    let dimensions: Vec<usize> = match random.below(6) {
        0 => Vec::new(),
        1 => vec![1 + random.below(3), 1 + random.below(3)],
        2 => vec![1, 1 + random.below(2), 1 + random.below(2)],
        _ => vec![1 + random.below(4)],
    };
    let mut elements = Vec::new();
    let text = level(random, element, &dimensions, &mut elements);
    (Value::Array(Box::new(ArrayValue { dimensions, elements })), Some(text))
}

fn level(
    random: &mut Random,
    kind: &str,
    lengths: &[usize],
    elements: &mut Vec<Value<'static>>,
) -> String {
    let Some((&length, inner)) = lengths.split_first() else { return "{}".to_owned() };
    let parts: Vec<String> = (0..length)
        .map(|_| {
            if !inner.is_empty() {
                return level(random, kind, inner, elements);
            }
            let (value, text) = scalar(random, kind);
            elements.push(value);
            let quoted = |text: String| text.replace('\\', "\\\\").replace('"', "\\\"");
            text.map_or_else(|| "NULL".to_owned(), |text| format!("\"{}\"", quoted(text)))
        })
        .collect();
    format!("{{{}}}", parts.join(","))
}

fn byte(random: &mut Random) -> u8 {
    let any = random.next().to_be_bytes()[0];
    *random.one_of(&[0, 1, 0x7F, 0x80, 0xFE, 0xFF, any])
}

fn integer(number: i64) -> (Value<'static>, String) {
    (Value::Int(number), number.to_string())
}

fn numeric(random: &mut Random) -> (Value<'static>, String) {
    let awkward = ["0", "-0", "0.000", "-0.00", "NaN", "100", "-100.00", "0.1", "1e-20", "9e30"];
    let digits = 1 + random.below(45);
    let scale = random.below(digits + 3);
    let text = if random.below(4) == 0 {
        (*random.one_of(&awkward)).to_owned()
    } else {
        let digits: String =
            (0..digits).map(|_| *random.one_of(&['0', '0', '1', '5', '9'])).collect();
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let whole = match whole.trim_start_matches('0') {
            "" => "0",
            whole => whole,
        };
        let sign = if random.below(2) == 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    };
    // An event's number is written out.
    let written = match text.as_str() {
        "1e-20" => "0.00000000000000000001".to_owned(),
        "9e30" => format!("9{}", "0".repeat(30)),
        text => text.to_owned(),
    };
    (Value::Numeric(written), text)
}

fn real(random: &mut Random) -> (Value<'static>, String) {
    let edges = [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, 0.1, 16_777_216.0];
    let infinite = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let number = match random.below(8) {
        0 => *random.one_of(&edges),
        1 => *random.one_of(&infinite),
        _ => f32::from_bits(u32::try_from(random.next() >> 32).unwrap()),
    };
    (Value::Real(number), spelled_double(f64::from(number), format!("{number:e}")))
}

fn double(random: &mut Random) -> (f64, String) {
    let edges = [0.0, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 0.1, 1e15, 1.5];
    let infinite = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let number = match random.below(8) {
        0 => *random.one_of(&edges),
        1 => *random.one_of(&infinite),
        _ => f64::from_bits(random.next()),
    };
    (number, spelled_double(number, format!("{number:e}")))
}

fn spelled_double(number: f64, finite: String) -> String {
    match number {
        number if number.is_nan() => "NaN".to_owned(),
        number if number.is_infinite() => {
            (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
        }
        _ => finite,
    }
}

/// Pieces of texts: delimiters, escapes, blanks, what looks like NULL, letters in several forms.
const LETTERS: [&str; 36] = [
    "a",
    "B",
    "0",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\u{b}",
    "\u{1}",
    "\u{7f}",
    "|",
    "||",
    "^",
    ";",
    ",",
    "'",
    "\"",
    "\\",
    "\\x00",
    "{",
    "}",
    "NULL",
    "null",
    "é",
    "e\u{301}",
    "ё",
    "Ж",
    "ß",
    "\u{390}",
    "\u{a0}",
    "\u{200b}",
    "\u{1112}\u{1161}",
    "🛫",
    "\u{10ffff}",
    "\u{feff}",
];

/// The same within ASCII.
const ASCII: [&str; 20] = [
    "a", "z", "B", "0", " ", "  ", "\t", "\n", "\r", "\u{b}", "\u{c}", "\u{1}", "\u{1c}", "\u{1f}",
    "\u{7f}", "|", "'", "\\", "[", "{",
];

fn text(random: &mut Random, letters: &[&str]) -> String {
    (0..random.below(9)).map(|_| *random.one_of(letters)).collect()
}

/// A text of ASCII, with blanks of all kinds.
pub(crate) fn ascii(random: &mut Random) -> String {
    text(random, &ASCII)
}

/// A text of any letters.
pub(crate) fn any_text(random: &mut Random) -> String {
    text(random, &LETTERS)
}

/// A document, spelled in some way.
fn json(random: &mut Random, depth: usize) -> String {
    let blank = *random.one_of(&["", "", " ", "\n\t"]);
    let text = match random.below(if depth > 3 { 6 } else { 9 }) {
        0 => "null".to_owned(),
        1 => (*random.one_of(&["true", "false"])).to_owned(),
        2 | 3 => json_number(random),
        4 | 5 => json_string(random),
        6 => {
            let items: Vec<String> =
                (0..random.below(4)).map(|_| json(random, depth + 1)).collect();
            format!("[{}{blank}]", items.join(","))
        }
        7 if random.below(20) == 0 => {
            let depth = 95 + random.below(12);
            format!(
                "{}{}{}",
                "[".repeat(depth),
                random.one_of(&["1.50", "7", "-2.25", "\"\""]),
                "]".repeat(depth)
            )
        }
        _ => {
            let members: Vec<String> = (0..random.below(4))
                .map(|_| {
                    format!("{blank}{}{blank}:{}", json_string(random), json(random, depth + 1))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
    };
    format!("{blank}{text}{blank}")
}

fn json_number(random: &mut Random) -> String {
    let edges = ["0", "-0", "0.0", "-0.00e5", "1e2", "100", "1.50", "1E+20", "-12.5e-7", "0.001"];
    if random.below(3) == 0 {
        return (*random.one_of(&edges)).to_owned();
    }
    let fraction =
        if random.below(2) == 0 { String::new() } else { format!(".{}", random.below(1000)) };
    format!("{}{fraction}", random.integer(64))
}

fn json_string(random: &mut Random) -> String {
    let pieces: String = (0..random.below(5))
        .map(|_| match random.below(4) {
            0 => *random.one_of(&[
                "\\u0041",
                "\\u00e9",
                "\\/",
                "\\b",
                "\\f",
                "\\u001F",
                "\\ud83d\\udeeb",
                "\\u007f",
                "\\\"",
            ]),
            1 => *random.one_of(&["a", "b", "A", "aa", "_"]),
            2 => *random.one_of(&["é", "ё", "🛫", "\u{7f}", "/", "e\u{301}"]),
            _ => *random.one_of(&["\\n", "\\t", "\\r", "\\\\", " ", ""]),
        })
        .collect();
    format!("\"{pieces}\"")
}

const DAY: i128 = 86_400_000_000;
/// The first day that PostgreSQL knows, and the last ones of its dates and of its times.
const FIRST_DAY: i128 = -2_440_588;
const LAST_DATE: i128 = 2_145_042_905;
const LAST_DAY: i128 = 106_762_939;

fn date(random: &mut Random) -> (Value<'static>, String) {
    let day = match random.below(6) {
        0 => *random.one_of(&[FIRST_DAY, LAST_DATE, -1, 0, 1, -719_528, -719_529, 10_957, 59]),
        1 => return (Value::Date(i32::MAX), "infinity".to_owned()),
        2 => return (Value::Date(i32::MIN), "-infinity".to_owned()),
        3 => random.between(FIRST_DAY, LAST_DATE),
        _ => random.between(-800_000, 50_000),
    };
    let (civil, era) = civil(day);
    (Value::Date(i32::try_from(day).unwrap()), format!("{civil}{era}"))
}

fn time_of_day(random: &mut Random) -> i64 {
    let edges = [0, 1, 999_999, 1_000_000, DAY - 1, DAY];
    let any = random.between(0, DAY);
    i64::try_from(if random.below(4) == 0 { *random.one_of(&edges) } else { any }).unwrap()
}

fn time_with_zone(random: &mut Random) -> (Value<'static>, String) {
    let (local, zone) = (time_of_day(random), zone(random));
    let day = i64::try_from(DAY).unwrap();
    let in_utc = local - zone * 1_000_000;
    let in_utc = if (local, zone) == (day, 0) { day } else { in_utc.rem_euclid(day) };
    (Value::Time(in_utc), format!("{}{}", clock(local), offset(zone)))
}

/// Seconds east of Greenwich.
fn zone(random: &mut Random) -> i64 {
    let any = i64::try_from(random.between(-57_599, 57_599)).unwrap();
    *random.one_of(&[0, 0, 3600, -3600, 10_800, 20_700, -57_599, 57_599, any])
}

fn timestamp(random: &mut Random, is_zoned: bool) -> (Value<'static>, String) {
    let infinity = 1_i128 << 63;
    let micros = match random.below(6) {
        0 => *random.one_of(&[
            FIRST_DAY * DAY,
            -1,
            0,
            1,
            infinity - 3,
            infinity + 3,
            (LAST_DAY + 1) * DAY - 1,
        ]),
        1 => return (Value::Timestamp(i64::MAX), "infinity".to_owned()),
        2 => return (Value::Timestamp(i64::MIN), "-infinity".to_owned()),
        3 => random.between(FIRST_DAY * DAY, (LAST_DAY + 1) * DAY - 1),
        _ => random.between(-1_000_000_000_000_000, 4_000_000_000_000_000),
    };
    let is_far = !((FIRST_DAY + 2) * DAY..=(LAST_DAY - 2) * DAY).contains(&micros);
    let zone = if is_zoned && !is_far { zone(random) } else { 0 };
    let local = micros + i128::from(zone) * 1_000_000;
    let (civil, era) = civil(local.div_euclid(DAY));
    let clock = clock(i64::try_from(local.rem_euclid(DAY)).unwrap());
    let offset = if is_zoned { offset(zone) } else { String::new() };
    // The number wraps around at 2^63, as the loader's does.
    let wrapped = if micros >= infinity { micros - 2 * infinity } else { micros };
    (Value::Timestamp(i64::try_from(wrapped).unwrap()), format!("{civil} {clock}{offset}{era}"))
}

/// A day of the proleptic Gregorian calendar, by counting years and months down; and its era.
fn civil(day: i128) -> (String, &'static str) {
    let days = day + 719_528;
    let (cycle, mut rest) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let mut year = cycle * 400;
    let is_leap = |year: i128| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while rest >= 365 + i128::from(is_leap(year)) {
        rest -= 365 + i128::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i128::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{:02}", rest + 1), era)
}

fn clock(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    format!("{:02}:{:02}:{:02}.{fraction:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn offset(seconds: i64) -> String {
    let (sign, seconds) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
    format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
