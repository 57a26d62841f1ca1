//! The properties as typed values, and the list of everything that is wrong with them.
//!
//! In: names and values as written. Each is resolved, looked up in the table and checked once. Out: typed values. A
//! value that is wrong is reported, and the default comes out instead, so that the search for problems goes on to the
//! end.

use std::collections::{HashMap, HashSet};

use super::MASK;
use super::distance::nearest;
use super::error::Problem;
use super::properties::{self, PROPERTIES, Property, Support, Values, may_be_shown, shown_name};
use super::variables::{Variables, is_reference, resolve};

pub(super) struct Lookup<'a> {
    raw: &'a [(String, String)],
    /// The values that have passed their checks.
    values: HashMap<&'a str, String>,
    given: HashSet<&'a str>,
    problems: &'a mut Vec<Problem>,
    warnings: Vec<String>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(
        raw: &'a [(String, String)],
        variables: &dyn Variables,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        let given = raw.iter().map(|(name, _)| name.as_str()).collect();
        let mut lookup =
            Self { raw, values: HashMap::new(), given, problems, warnings: Vec::new() };
        for (name, written) in raw {
            match checked(name, written, variables) {
                Ok(value) => {
                    lookup.values.insert(name, value);
                }
                Err(line) => lookup.problems.push(Problem::new(name, line)),
            }
        }
        lookup.check_defaults();
        lookup
    }

    /// A default that is not supported must not take effect silently.
    fn check_defaults(&mut self) {
        for property in PROPERTIES {
            let (Some(default), Support::Only(allowed, needs)) =
                (property.default, property.support)
            else {
                continue;
            };
            let name = property.name;
            if !self.is_set(name) && !allowed.contains(&default) {
                self.problem(
                    name,
                    &format!(
                        "property {name} is not set and its default {default} is not supported yet: {needs}; set {name}={}",
                        allowed.join(" or ")
                    ),
                );
            }
        }
    }

    pub(super) fn require(&mut self, names: &[&str]) {
        for name in names {
            let empty = self.values.get(name).is_some_and(|value| value.trim().is_empty());
            if empty || !self.given.contains(name) {
                self.problem(name, &format!("property {name} is required"));
            }
        }
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// Reports a line about a property. The line must not hold a resolved value.
    pub(super) fn problem(&mut self, name: &str, line: &str) {
        self.problems.push(Problem::new(name, line));
    }

    /// Reports that a property's value is wrong. The value is shown as written.
    pub(super) fn unfit(&mut self, name: &str, why: &str) {
        let written = self.raw.iter().find(|(given, _)| given == name);
        let shown = written.map_or("", |(_, value)| value.as_str());
        self.problem(name, &format!("property {} {why}", assignment(name, shown)));
    }

    pub(super) fn warn(&mut self, line: &str) {
        self.warnings.push(line.to_owned());
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    /// The value, else the default, else `None`.
    pub(super) fn text(&self, name: &str) -> String {
        self.values
            .get(name)
            .cloned()
            .or_else(|| properties::find(name)?.default.map(str::to_owned))
            .unwrap_or_default()
    }

    pub(super) fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    /// A word of a property that takes one of several, in lower case.
    pub(super) fn word(&self, name: &str) -> String {
        self.text(name).trim().to_ascii_lowercase()
    }

    pub(super) fn boolean(&self, name: &str) -> bool {
        self.word(name) == "true"
    }

    /// The number. It is within the table's bounds, so a type that covers these bounds always holds it.
    pub(super) fn number<T: TryFrom<i64> + Default>(&self, name: &str) -> T {
        self.optional_number(name).unwrap_or_default()
    }

    pub(super) fn optional_number<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        self.text(name).trim().parse::<i64>().ok().and_then(|number| T::try_from(number).ok())
    }

    /// The properties that begin with `start`, in the order of the file. Their names come without `start`.
    pub(super) fn below(&self, start: &str) -> Vec<(String, String)> {
        self.raw
            .iter()
            .filter_map(|(name, _)| {
                let rest = name.strip_prefix(start)?;
                Some((rest.to_owned(), self.values.get(name.as_str())?.clone()))
            })
            .collect()
    }
}

/// The resolved value, or the line that says what is wrong.
fn checked(name: &str, written: &str, variables: &dyn Variables) -> Result<String, String> {
    let Some(property) = properties::find(name) else {
        return Err(unknown(name));
    };
    let shown = shown_name(name);
    let value = resolve(written, variables).map_err(|missing| {
        // What is missing is named by a part of the value. Beside other text this may be a part of a secret.
        if is_shown(name, written) {
            format!("property {shown}: {missing}")
        } else {
            format!("property {shown}: a ${{…}} in its value cannot be resolved")
        }
    })?;
    let assigned = assignment(name, written);
    if value.trim().is_empty() && matches!(property.values, Values::Text) {
        return Ok(value);
    }
    if let Some(wanted) = misfit(&value, property.values) {
        return Err(format!("property {assigned} must be {wanted}"));
    }
    match property.support {
        Support::Only(allowed, needs) if !is_one_of(&value, property, allowed) => Err(format!(
            "property {assigned} is known but not supported yet: {needs} (supported: {})",
            allowed.join(", ")
        )),
        Support::Refused(needs) => {
            Err(format!("property {assigned} is known but not supported yet: {needs}"))
        }
        Support::Only(..) | Support::Honoured | Support::ChangesNothing(_) => Ok(value),
    }
}

fn unknown(name: &str) -> String {
    let shown = shown_name(name);
    let known = PROPERTIES.iter().map(|property| property.name);
    match nearest(name, known) {
        Some(near) => format!("unknown property {shown:?} (did you mean {near:?}?)"),
        None => format!("unknown property {shown:?}"),
    }
}

fn is_one_of(value: &str, property: &Property, allowed: &[&str]) -> bool {
    let value = value.trim();
    match property.values {
        Values::Text => allowed.contains(&value),
        Values::Integer(..) => {
            allowed.iter().any(|word| word.parse::<i64>().ok() == value.parse::<i64>().ok())
        }
        Values::Boolean | Values::OneOf(_) => {
            allowed.iter().any(|word| word.eq_ignore_ascii_case(value))
        }
    }
}

/// What the value must be, if it is not.
pub(super) fn misfit(value: &str, values: Values) -> Option<String> {
    let value = value.trim();
    match values {
        Values::Text => None,
        Values::Boolean => {
            let fits = ["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(value));
            (!fits).then(|| "true or false".to_owned())
        }
        Values::Integer(min, max) => {
            let fits = value.parse::<i64>().is_ok_and(|number| (min..=max).contains(&number));
            let upper = if max == i64::MAX { String::new() } else { format!(" to {max}") };
            let from = if upper.is_empty() { "at least" } else { "from" };
            (!fits).then(|| format!("an integer {from} {min}{upper}"))
        }
        Values::OneOf(words) => {
            let fits = words.iter().any(|word| word.eq_ignore_ascii_case(value));
            (!fits).then(|| format!("one of {}", words.join(", ")))
        }
    }
}

/// `name=value` for a line that people read: as written, or masked unless the value is known to be harmless.
fn assignment(name: &str, written: &str) -> String {
    let value = if is_shown(name, written) { written } else { MASK };
    format!("{}={value}", shown_name(name))
}

/// Whether a property's value may be shown as it is written: it is known to be harmless, or it is a reference and
/// nothing else.
pub(super) fn is_shown(name: &str, written: &str) -> bool {
    may_be_shown(name) || is_reference(written)
}
