//! What the command line of `bench-loader` can say.

use std::path::PathBuf;

use clap::Parser;

use super::run::Contender;
use super::work::TRANSACTION_ROWS;

const LONG_ABOUT: &str = "\
Measures how fast events are loaded into the Data Vault, beside the least that anybody has to do who writes the same rows.

Starts two PostgreSQL 15 (fsync on) and a Kafka of its own on free ports. cdc-reader publishes segments (ticket_flights) of an \
airline once: all of them as a snapshot, then a change of each, then a mixture of new segments, changes, updates that change \
nothing, and deletes. Each contender gets copies of these topics and a warehouse of its own with the delivered model, in which \
the segments feed two hubs, a link, a satellite and a status satellite. vault-loader runs with one writer, with two writers in one \
process, and as two processes. \
One round after the other, every contender loads all scenarios: `first load` into an empty vault, `all repeats` of the same \
events, which must add no row, `updates`, and `mixed`. `bare COPY` writes the rows that the loader has written, in the loader's \
order and transactions. Debezium's JDBC sink writes the segments into a plain table, once as it comes and once with large batches; it builds no vault, and reads a topic of its own with schemas.

A load counts only if every event is loaded, none is in quarantine, and the vault has exactly the rows that the scenario adds. \
The table shows for each scenario and contender the run of median time. All runs, the machine, versions and parameters are \
written to bench-results/bench-loader-<time>.json.";

const EXAMPLES: &str = "\
Examples:
  make bench-loader
  make bench-history
  bench-loader --rows 100000 --rounds 1 --only copy --only loader-1
  bench-loader --history 20000000

CPU is user and system time of the program alone; `warehouse` and `broker` are what PostgreSQL and Kafka used meanwhile. Resident \
is the peak, of two processes the sum. The start of the process, joining the consumer group included, is part of the time; `first \
commit` tells how long it took. A rate counts changes of rows: a delete's tombstone is none.";

/// Options of `bench-loader`.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench-loader", version, about = "Measures how fast events are loaded into the Data Vault", long_about = LONG_ABOUT, after_help = EXAMPLES, max_term_width = 110)]
pub struct Options {
    /// Segments at first, and as many events in each scenario: whole thousands
    #[arg(long, default_value_t = 300_000, value_parser = rows)]
    pub(super) rows: u64,
    /// How often each contender loads everything; the table shows the median
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) rounds: u16,
    /// Partitions of each topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=64))]
    pub(super) partitions: i32,
    /// Only these contenders; repeatable [default: all]
    #[arg(long, value_enum, value_name = "CONTENDER")]
    pub(super) only: Vec<Contender>,
    /// Instead of all this, load with one writer onto a satellite of 1 000 000 rows and onto one of so many
    #[arg(long, value_name = "ROWS", conflicts_with = "only", value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    pub(super) history: Option<u64>,
    /// Seconds that one load may take
    #[arg(long, default_value_t = 900)]
    pub(super) deadline: u64,
    /// Measure a debug build, too; such figures are for testing the bench
    #[arg(long)]
    pub(super) any_build: bool,
    /// Where reports go [default: bench-results of the workspace]
    #[arg(long, value_name = "DIR")]
    pub(super) results: Option<PathBuf>,
    /// Where servers and their logs live while the bench runs [default: .run of the workspace]
    #[arg(long, value_name = "DIR")]
    pub(super) run_dir: Option<PathBuf>,
}

impl Options {
    /// Who is measured, in the order of a round.
    pub(super) fn contenders(&self) -> Vec<Contender> {
        if self.history.is_some() {
            return Vec::new();
        }
        let wanted = |contender: &Contender| self.only.is_empty() || self.only.contains(contender);
        Contender::ALL.into_iter().filter(wanted).collect()
    }
}

fn rows(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(rows)
            if (TRANSACTION_ROWS..=5_000_000).contains(&rows)
                && rows.is_multiple_of(TRANSACTION_ROWS) =>
        {
            Ok(rows)
        }
        _ => Err("must be whole thousands from 1000 to 5000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn rows_are_whole_transactions() {
        assert_eq!(rows("3000"), Ok(3000));
        assert!(rows("0").is_err() && rows("1500").is_err() && rows("many").is_err());
    }

    #[test]
    fn only_those_that_are_named_run_and_in_the_order_of_a_round() {
        let of =
            |words: &[&str]| Options::parse_from(["bench-loader"].iter().chain(words)).contenders();
        assert_eq!(of(&[]), Contender::ALL);
        let both = [Contender::Copy, Contender::OneWriter];
        assert_eq!(of(&["--only", "loader-1", "--only", "copy"]), both);
        assert!(of(&["--history", "20000000"]).is_empty());
    }
}
