//! The checks of the calendar of snapshots, of point-in-time tables and of bridges.
//!
//! In: the entries as written and the checked hubs, links and tables. Out: [`Snapshots`]. A point-in-time table points
//! into satellites of its own parent only, because a pointer is a key of the parent. Two neighbours in a bridge's path
//! are a hub and a link that names it, and where a link names the hub in several roles, the author says which is
//! meant.

use std::collections::HashSet;

use chrono::NaiveTime;

use super::file::{BridgeEntry, LinkStepEntry, ModelFile, PitEntry, SnapshotsEntry, StepEntry};
use super::ids::{HubId, LinkId};
use super::problems::Problems;
use super::types::{Bridge, Calendar, Entity, Keep, Model, Pit, Snapshots, Step};

/// Checks what is built at snapshots; problems go to the list.
pub(super) fn resolve(problems: &mut Problems, file: &ModelFile, model: &Model) -> Snapshots {
    let mut resolver = Resolver { problems, model };
    let calendar = file.snapshots.as_ref().and_then(|calendar| resolver.calendar(calendar));
    let pits: Vec<Pit> = file.pits.iter().filter_map(|pit| resolver.pit(pit)).collect();
    let bridges: Vec<Bridge> =
        file.bridges.iter().filter_map(|bridge| resolver.bridge(bridge)).collect();
    let names = file.pits.iter().map(|pit| &pit.name);
    if let Some(name) = names.chain(file.bridges.iter().map(|bridge| &bridge.name)).next()
        && file.snapshots.is_none()
    {
        let problem = "nobody says when its snapshots are taken";
        let remedy = "add [snapshots] with time_zone, times and keep_days";
        resolver.problems.complain(name, problem, remedy);
    }
    Snapshots { calendar, pits, bridges }
}

struct Resolver<'r> {
    problems: &'r mut Problems,
    model: &'r Model,
}

impl Resolver<'_> {
    fn calendar(&mut self, entry: &SnapshotsEntry) -> Option<Calendar> {
        let before = self.problems.count();
        let is_zone = |c: char| c.is_ascii_alphanumeric() || "_+/-".contains(c);
        if entry.time_zone.is_empty() || !entry.time_zone.chars().all(is_zone) {
            let problem = format!("{:?} is no name of a time zone", entry.time_zone);
            let remedy = "write a name of the IANA database, for example Europe/Moscow or UTC";
            self.problems.complain("snapshots.time_zone", problem, remedy);
        }
        let mut times = Vec::with_capacity(entry.times.len());
        for text in &entry.times {
            match NaiveTime::parse_from_str(text, "%H:%M") {
                Ok(time) if !times.contains(&time) => times.push(time),
                Ok(_) => {
                    let problem = format!("{text} stands there twice");
                    self.problems.complain("snapshots.times", problem, "remove one");
                }
                Err(_) => {
                    let problem = format!("{text:?} is no time of a day");
                    let remedy = "write it as HH:MM, for example 00:00";
                    self.problems.complain("snapshots.times", problem, remedy);
                }
            }
        }
        if entry.times.is_empty() {
            self.problems.complain("snapshots.times", "names no time", "write at least one");
        }
        if entry.keep_days == 0 {
            let problem = "no snapshot would be kept";
            self.problems.complain("snapshots.keep_days", problem, "write 1 or more");
        }
        times.sort_unstable();
        let keep = Keep {
            days: entry.keep_days,
            weeks: entry.keep_weeks,
            months: entry.keep_months,
            years: entry.keep_years,
        };
        let calendar = Calendar { time_zone: entry.time_zone.clone(), times, keep };
        (self.problems.count() == before).then_some(calendar)
    }

    fn pit(&mut self, entry: &PitEntry) -> Option<Pit> {
        let before = self.problems.count();
        self.problems.entity_name(&entry.name, "pit_");
        let Some(parent) = self.entity(&entry.parent) else {
            let problem = format!("there is no hub or link {} with rows of its own", entry.parent);
            self.problems.complain(&entry.name, problem, "correct the name of its parent");
            return None;
        };
        if entry.satellites.is_empty() {
            let problem = "points into no satellite";
            self.problems.complain(&entry.name, problem, "name at least one in satellites");
        }
        let mut seen = HashSet::new();
        for satellite in &entry.satellites {
            if !seen.insert(satellite) {
                let problem = format!("{satellite} stands there twice");
                self.problems.complain(&entry.name, problem, "remove one");
            }
            self.satellite_of(&entry.name, &entry.parent, satellite);
        }
        let default = || format!("versions of {} at each snapshot", entry.parent);
        let comment = entry.comment.clone().unwrap_or_else(default);
        let (name, satellites) = (entry.name.clone(), entry.satellites.clone());
        (self.problems.count() == before).then_some(Pit { name, comment, parent, satellites })
    }

    /// A pointer holds a key of the parent, so the satellite has to hang on it.
    fn satellite_of(&mut self, pit: &str, parent: &str, satellite: &str) {
        let model = self.model;
        let holds = |name: &str| name == satellite;
        let table = model.tables.iter().find(|table| table.satellite_names().any(holds));
        let Some(table) = table else {
            let problem = format!("there is no satellite {satellite}");
            self.problems.complain(pit, problem, "correct the name, or describe the satellite");
            return;
        };
        let hangs_on = model.parent_name(table);
        if hangs_on != parent {
            let problem = format!("{satellite} hangs on {hangs_on}, not on {parent}");
            let remedy = match self.entity(hangs_on) {
                Some(_) => format!("remove it, or make a point-in-time table of {hangs_on}"),
                None => format!(
                    "remove it: the rows of {hangs_on} have no table of their own, so no point-in-time table can have them"
                ),
            };
            self.problems.complain(pit, problem, remedy);
        }
    }

    fn entity(&self, name: &str) -> Option<Entity> {
        self.hub(name).map(Entity::Hub).or_else(|| self.link(name).map(Entity::Link))
    }

    fn hub(&self, name: &str) -> Option<HubId> {
        self.model.hubs.find_id(|hub| hub.name == name && !hub.is_carried)
    }

    fn link(&self, name: &str) -> Option<LinkId> {
        self.model.links.find_id(|link| link.name == name && !link.is_carried())
    }

    fn bridge(&mut self, entry: &BridgeEntry) -> Option<Bridge> {
        let before = self.problems.count();
        self.problems.entity_name(&entry.name, "bridge_");
        let [first, rest @ ..] = entry.path.as_slice() else {
            self.path_problem(&entry.name);
            return None;
        };
        if rest.is_empty() || !rest.len().is_multiple_of(2) {
            self.path_problem(&entry.name);
            return None;
        }
        let start = self.hub_step(&entry.name, first)?;
        let mut steps = Vec::with_capacity(rest.len() / 2);
        let mut at = start;
        for pair in rest.chunks_exact(2) {
            let to = self.hub_step(&entry.name, &pair[1])?;
            steps.push(self.link_step(&entry.name, at, &pair[0], to)?);
            at = to;
        }
        let default = || format!("chains from {}", self.model.hubs[start].name);
        let comment = entry.comment.clone().unwrap_or_else(default);
        let name = entry.name.clone();
        (self.problems.count() == before).then_some(Bridge { name, comment, start, steps })
    }

    fn path_problem(&mut self, bridge: &str) {
        let remedy =
            "write a hub, a link of it, a hub of that link, and so on, with a hub at the end";
        self.problems.complain(bridge, "its path is no chain", remedy);
    }

    fn hub_step(&mut self, bridge: &str, step: &StepEntry) -> Option<HubId> {
        let StepEntry::Plain(name) = step else {
            self.path_problem(bridge);
            return None;
        };
        let hub = self.hub(name);
        if hub.is_none() {
            let problem = format!("its path has {name} where a hub has to stand");
            let remedy = "let hubs and links take turns, with a hub at both ends";
            self.problems.complain(bridge, problem, remedy);
        }
        hub
    }

    fn link_step(
        &mut self,
        bridge: &str,
        before: HubId,
        step: &StepEntry,
        behind: HubId,
    ) -> Option<Step> {
        let plain;
        let entry = match step {
            StepEntry::Link(entry) => entry,
            StepEntry::Plain(name) => {
                plain = LinkStepEntry { link: name.clone(), from: None, to: None };
                &plain
            }
        };
        let Some(link) = self.link(&entry.link) else {
            let problem = format!("its path has {} where a link has to stand", entry.link);
            let remedy = "let hubs and links take turns, with a hub at both ends";
            self.problems.complain(bridge, problem, remedy);
            return None;
        };
        let tables = self.model.tables.iter();
        if !tables.flat_map(|table| &table.links).any(|binding| binding.link == link) {
            let problem = format!("no table states {}, so it would stay empty", entry.link);
            self.problems.complain(bridge, problem, "bind the link to a table, or take another");
        }
        let end = |hub, role: &Option<String>, word| End { link, hub, role: role.clone(), word };
        let from = self.role(bridge, &end(before, &entry.from, "from"), None)?;
        let to = self.role(bridge, &end(behind, &entry.to, "to"), Some(from))?;
        Some(Step { link, from, to })
    }

    /// The place among the link's roles at which it names the hub. `taken` is that of the other end.
    fn role(&mut self, bridge: &str, end: &End, taken: Option<usize>) -> Option<usize> {
        let model = self.model;
        let (link, hub) = (&model.links[end.link], &model.hubs[end.hub].name);
        let is_asked = |role: &str| end.role.as_ref().is_none_or(|asked| asked == role);
        let roles = link.roles.iter().enumerate();
        let fitting: Vec<usize> = roles
            .filter(|(place, role)| role.hub == end.hub && Some(*place) != taken)
            .filter(|(_, role)| is_asked(&role.role))
            .map(|(place, _)| place)
            .collect();
        match (fitting.as_slice(), &end.role) {
            ([place], _) => return Some(*place),
            ([], Some(asked)) => {
                let problem = format!("{} does not name {hub} as {asked}", link.name);
                self.problems.complain(bridge, problem, format!("correct {}", end.word));
            }
            ([], None) => {
                let problem = format!("{} does not name {hub}", link.name);
                self.problems.complain(bridge, problem, "take a link between the two hubs");
            }
            (several, _) => {
                let roles = several.iter().map(|&place| link.roles[place].role.as_str());
                let roles = roles.collect::<Vec<_>>().join(", ");
                let problem = format!("{} names {hub} as {roles}", link.name);
                let (name, word) = (&link.name, end.word);
                let remedy =
                    format!("write {{ link = \"{name}\", {word} = \"role\" }} in the path");
                self.problems.complain(bridge, problem, remedy);
            }
        }
        None
    }
}

/// One end of a link in a path.
struct End {
    link: LinkId,
    /// the hub that stands there
    hub: HubId,
    /// its role, where the author names one
    role: Option<String>,
    /// the key by which the author can name it
    word: &'static str,
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");

    /// The airline's model with these snapshots in the place of its own.
    fn with(snapshots: &str) -> Result<Model, String> {
        let bare = AIRLINE
            .split("# ---------------------------------------------------------------- snapshots");
        let bare = bare.map(str::to_owned).next().unwrap();
        parse(&format!("{bare}\n{snapshots}")).map_err(|err| err.to_string())
    }

    const CALENDAR: &str =
        "[snapshots]\ntime_zone = \"UTC\"\ntimes = [\"12:30\", \"00:00\"]\nkeep_days = 3\n";

    #[track_caller]
    fn refused(snapshots: &str, expected: &str) {
        let err = with(snapshots).expect_err(snapshots);
        assert!(err.contains(expected), "{err}");
    }

    #[test]
    fn times_are_sorted_and_what_is_left_out_keeps_nothing() {
        let calendar = with(CALENDAR).unwrap().snapshots.calendar.unwrap();
        let times: Vec<String> = calendar.times.iter().map(ToString::to_string).collect();
        assert_eq!(times, ["00:00:00", "12:30:00"]);
        assert_eq!(calendar.keep, Keep { days: 3, weeks: 0, months: 0, years: 0 });
    }

    #[test]
    fn a_calendar_that_means_nothing_is_refused() {
        for (from, to, expected) in [
            ("UTC", "a b", "snapshots.time_zone: \"a b\" is no name of a time zone: write a name"),
            ("12:30", "noon", "snapshots.times: \"noon\" is no time of a day: write it as HH:MM"),
            ("12:30", "00:00", "snapshots.times: 00:00 stands there twice: remove one"),
            ("[\"12:30\", \"00:00\"]", "[]", "snapshots.times: names no time"),
            ("keep_days = 3", "keep_days = 0", "snapshots.keep_days: no snapshot would be kept"),
        ] {
            refused(&CALENDAR.replacen(from, to, 1), expected);
        }
    }

    #[test]
    fn a_point_in_time_table_has_satellites_of_its_parent() {
        let pit = |parent: &str, satellites: &str| {
            format!(
                "{CALENDAR}[[pit]]\nname = \"pit_x\"\nparent = \"{parent}\"\nsatellites = {satellites}\n"
            )
        };
        let model = with(&pit("link_ticket_flights", "[\"sat_boarding_passes\"]")).unwrap();
        let [pit_x] = model.snapshots.pits.as_slice() else { panic!("one table") };
        assert_eq!(model.entity_name(pit_x.parent), "link_ticket_flights");
        assert_eq!(pit_x.comment, "versions of link_ticket_flights at each snapshot");
        refused(&pit("hub_x", "[\"sat_airports\"]"), "pit_x: there is no hub or link hub_x");
        refused(&pit("hub_airports", "[]"), "pit_x: points into no satellite");
        refused(&pit("hub_airports", "[\"sat_x\"]"), "pit_x: there is no satellite sat_x");
        refused(
            &pit("hub_airports", "[\"sat_aircrafts\"]"),
            "pit_x: sat_aircrafts hangs on hub_aircrafts, not on hub_airports: remove it",
        );
        refused(
            &pit("hub_airports", "[\"sat_airports\", \"sat_airports\"]"),
            "pit_x: sat_airports stands there twice",
        );
        let named = pit("hub_airports", "[\"sat_airports\"]").replace("pit_x", "x");
        refused(&named, "x: does not begin with pit_");
        let alone = pit("hub_airports", "[\"sat_airports\"]").replacen(CALENDAR, "", 1);
        refused(&alone, "pit_x: nobody says when its snapshots are taken: add [snapshots]");
    }

    #[test]
    fn a_bridge_is_a_chain_of_hubs_and_links() {
        let bridge =
            |path: &str| format!("{CALENDAR}[[bridge]]\nname = \"bridge_x\"\npath = {path}\n");
        let ends = |path: &str| {
            let model = with(&bridge(path)).unwrap();
            let Step { link, from, to } = model.snapshots.bridges[0].steps[0];
            let roles = &model.links[link].roles;
            (roles[from].role.clone(), roles[to].role.clone())
        };
        let role = |name: &str| name.to_owned();
        assert_eq!(
            ends(
                "[\"hub_flights\", { link = \"link_flight_routes\", to = \"arrival_airport\" }, \"hub_airports\"]"
            ),
            (role("flight"), role("arrival_airport"))
        );
        // The same hub at both ends: one role is left for the other end.
        assert_eq!(
            ends(
                "[\"hub_airports\", { link = \"link_flight_routes\", from = \"arrival_airport\" }, \"hub_airports\"]"
            ),
            (role("arrival_airport"), role("departure_airport"))
        );
        for (path, expected) in [
            ("[\"hub_flights\"]", "bridge_x: its path is no chain: write a hub"),
            ("[\"hub_flights\", \"link_flight_routes\"]", "bridge_x: its path is no chain"),
            ("[]", "bridge_x: its path is no chain"),
            (
                "[\"link_flight_routes\", \"hub_flights\", \"hub_airports\"]",
                "bridge_x: its path has link_flight_routes where a hub has to stand",
            ),
            (
                "[\"hub_flights\", \"hub_airports\", \"hub_airports\"]",
                "bridge_x: its path has hub_airports where a link has to stand",
            ),
            (
                "[\"hub_flights\", \"link_flight_routes\", \"hub_airports\"]",
                "bridge_x: link_flight_routes names hub_airports as departure_airport, arrival_airport: \
                 write { link = \"link_flight_routes\", to = \"role\" } in the path",
            ),
            (
                "[\"hub_flights\", { link = \"link_flight_routes\", to = \"aircraft\" }, \"hub_airports\"]",
                "bridge_x: link_flight_routes does not name hub_airports as aircraft: correct to",
            ),
            (
                "[\"hub_bookings\", \"link_flight_routes\", \"hub_airports\"]",
                "bridge_x: link_flight_routes does not name hub_bookings: take a link between",
            ),
        ] {
            refused(&bridge(path), expected);
        }
        let lonely = "[[link]]\nname = \"link_x\"\nhubs = [{ role = \"a\", hub = \"hub_airports\" }, { role = \"b\", hub = \"hub_flights\" }]\n";
        let model =
            format!("{lonely}{}", bridge("[\"hub_airports\", \"link_x\", \"hub_flights\"]"));
        refused(&model, "bridge_x: no table states link_x, so it would stay empty");
    }

    #[test]
    fn loading_does_not_depend_on_snapshots() {
        assert_eq!(with("").unwrap().meaning(), with(CALENDAR).unwrap().meaning());
    }
}
