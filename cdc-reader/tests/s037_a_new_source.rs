//! `cdc-reader init`: what it writes works as it is, it names what is missing with a remedy that helps, it overwrites
//! nothing, and it shows no password.

use std::path::Path;
use std::process::Command;

use ::shared::postgres::ConnectOptions;
use ::shared::secret::Secret;
use cdc_reader::replication::{Client, Mode, WaitLimit};
use devstack::{Postgres, PostgresAddress, PostgresOptions, Psql, client_binary, shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Record, Source, records, unique};

/// The library's tables, without its publication and its grants, which are what is made here.
const LIBRARY: &str = include_str!("../../e2e/tests/sources/library.sql");

/// Names that are hard to write in SQL, in JSON and in regular expressions, and types of extensions.
const ODD: &str = r#"
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE SCHEMA "Odd.$1";
CREATE TABLE "Odd.$1"."Quo""te's, \A+ ${env:X}" ("Id" integer PRIMARY KEY, mail citext, more hstore, place int4multirange);
CREATE TABLE "T" (id integer PRIMARY KEY);
CREATE TABLE t (id integer PRIMARY KEY);
"#;

const ROWS: &str = r#"
INSERT INTO hr.people (id, name) VALUES (1, 'one');
INSERT INTO hr.staff VALUES (1, NULL, 1.5);
INSERT INTO "Authors" VALUES (1, 'An Author', true);
INSERT INTO books VALUES ('i', 't', 'novel');
INSERT INTO book_authors VALUES ('i', 1, 1);
INSERT INTO copies VALUES ('i', 1, 's');
INSERT INTO loans VALUES ('11111111-2222-3333-4444-555555555555', 1, 'i', 1);
INSERT INTO categories VALUES ('c', NULL, 't');
INSERT INTO visits VALUES ('2026-01-01', 1, 1);
INSERT INTO "Odd.$1"."Quo""te's, \A+ ${env:X}" VALUES (1, 'A@x', 'a=>1');
INSERT INTO "T" VALUES (1);
"#;

/// The topics of the captured tables, without their prefix.
const TOPICS: [&str; 11] = [
    "hr.people",
    "hr.staff",
    "public.Authors",
    "public.books",
    "public.book_authors",
    "public.copies",
    "public.loans",
    "public.categories",
    "public.visits",
    "Odd._1.Quo_te_s___A____env_X_",
    "public.T",
];

const ASKERS_PASSWORD: &str = "sesame-asks";
const READERS_PASSWORD: &str = "sesame-reads";

/// A database, a role that may only connect to it, and the name of the reader's role.
struct Asked {
    source: Source,
    id: String,
}

impl Asked {
    fn create(server: &PostgresAddress, stem: &str) -> Self {
        let id = unique(stem);
        let source = Source::create(server, &id);
        source.run(&format!(
            "REVOKE ALL ON DATABASE {id} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;
             CREATE ROLE {id}_asker LOGIN PASSWORD '{ASKERS_PASSWORD}'; GRANT CONNECT ON DATABASE {id} TO {id}_asker;"
        ));
        Self { source, id }
    }

    fn url(&self) -> String {
        let asker = format!("{}_asker", self.id);
        let url = self.source.server.url(&self.id, &asker, ASKERS_PASSWORD);
        format!("{url}?sslmode=disable")
    }

    /// Runs `init` as the role that may only connect.
    fn init(&self, args: &[&str]) -> Said {
        init(&self.url(), args)
    }

    fn psql(&self) -> Psql {
        self.source.psql().unwrap()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let drop = |role: String| {
            let script = format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\";");
            // A test that failed may not have made it.
            let _ = self.source.psql().and_then(|psql| psql.run(&script));
        };
        drop(format!("{}_asker", self.id));
        drop(self.reader());
    }
}

impl Asked {
    /// A name that has to be quoted.
    fn reader(&self) -> String {
        format!("{} \"\"Reader\"\" $1", self.id)
    }

    fn reader_as_given(&self) -> String {
        self.reader().replace("\"\"", "\"")
    }
}

/// What `init` said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// The one line that holds all these words.
    #[track_caller]
    fn line(&self, words: &[&str]) -> &str {
        let fits = |line: &&str| words.iter().all(|word| line.contains(word));
        let lines: Vec<&str> = self.err.lines().filter(fits).collect();
        assert_eq!(lines.len(), 1, "one line with {words:?} in:\n{}", self.err);
        lines[0]
    }

    fn is_silent_about_passwords(&self) -> bool {
        [&self.out, &self.err].iter().all(|text| !text.contains("sesame"))
    }
}

fn init(url: &str, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdc-reader"));
    command.arg("init").args(args).env("CDC_READER_SOURCE", url);
    let output = command.output().unwrap();
    let said = Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(said.is_silent_about_passwords(), "{}{}", said.out, said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_is_written_for_postgresql_15_works_as_it_is() {
    what_is_written_works(&shared::stack().postgres15);
}

#[test]
fn what_is_written_for_postgresql_18_works_as_it_is() {
    what_is_written_works(&shared::stack().postgres18);
}

fn what_is_written_works(server: &PostgresAddress) {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let asked = Asked::create(server, &format!("init{}", server.version));
    let (id, source) = (asked.id.as_str(), &asked.source);
    source.run(LIBRARY);
    source.run(ODD);
    source.run(ROWS);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("written");
    let reader = asked.reader_as_given();
    let publication = format!("{id} \"P\"");
    let names = ["--role", &reader, "--publication", &publication];
    let excluded = ["public.diary", "public.shifts", "public.scratch", "public.t"]
        .map(|table| ["--exclude-table", table]);
    let args = [&names[..], excluded.as_flattened()].concat();
    let first = asked.init(&[&args[..], &["--output-dir", folder.to_str().unwrap()]].concat());
    assert_eq!((first.code, first.out.as_str()), (1, ""), "{}", first.err);
    first.line(&["missing: role", &reader, "does not exist", "run the SQL"]);
    first.line(&["missing: publication", &publication, "does not exist", "run the SQL"]);
    assert_eq!(first.err.matches("missing: ").count(), 2, "{}", first.err);
    first.line(&["note: table hr.people has generated columns", ": full_name"]);
    first.line(&["note: columns of type public.mail[] have no form", "hr.people.more_mail"]);
    first.line(&["note: columns of type public.citext arrive as strings: "]);
    first
        .line(&["note: columns of type public.hstore arrive as strings that hold a JSON object: "]);
    first.line(&["note: columns of type int4multirange have no form"]);
    first.line(&["note: pg_hba.conf", id]);
    let there = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())";
    assert_eq!(source.value(there), "0", "nothing is changed at the source");

    apply(&asked, &folder.join("source.sql"));
    let json = read(&folder.join("connector.json"));
    assert!(!json.contains("sesame") && json.contains("${env:CDC_READER_PASSWORD}"), "{json}");
    let launch = Launch::new(&Connector::new(source, id), bootstrap)
        .file(&json)
        .env("CDC_READER_PASSWORD", READERS_PASSWORD);
    let started = launch.start();
    started.wait_for_line("streaming");
    source.run("INSERT INTO visits VALUES ('2026-01-09', 2, 1); INSERT INTO \"T\" VALUES (2); INSERT INTO t VALUES (3);");
    let of = |topic: &str| -> Vec<Record> { records(bootstrap, &format!("{id}.{topic}")) };
    wait_for(PATIENCE, "the inserts", || {
        of("public.visits").len() == 2 && of("public.T").len() == 2
    });
    for topic in TOPICS {
        assert_eq!(of(topic)[0].json()["op"], "r", "{topic}");
    }
    assert_eq!(of("public.t"), [], "its name differs from that of a captured table in case only");

    let again = asked.init(&args);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.ends_with("nothing is missing\n"), "{}", again.err);
    again.line(&["note: replication slot", "exists and can be read"]);
    let printed = format!("==> connector.json <==\n{json}\n==> source.sql <==\n");
    assert!(again.out.starts_with(&printed), "{}", again.out);
    assert!(again.out.ends_with(&read(&folder.join("source.sql"))), "{}", again.out);
    let log = started.stop();
    assert!(!log.contains("sesame") && !log.contains("not set up"), "{log}");
}

/// Runs the script as an administrator does: without a password it is refused and changes nothing, with the variable of
/// the environment it works, and so it does once more with a variable of psql.
fn apply(asked: &Asked, script: &Path) {
    assert!(!read(script).contains("sesame"));
    let refused = asked.psql().run_files([script]).unwrap_err().to_string();
    assert!(refused.contains("set the variable CDC_READER_PASSWORD"), "{refused}");
    assert_eq!(asked.source.value("SELECT count(*) FROM pg_publication"), "0");
    let mut psql = Command::new(client_binary("psql").unwrap());
    psql.args(["--no-psqlrc", "--quiet", "--file"]).arg(script);
    psql.args(["--dbname", &asked.source.superuser()]);
    let done = psql.env("CDC_READER_PASSWORD", READERS_PASSWORD).output().unwrap();
    let complaints = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && complaints.is_empty(), "{complaints}");
    let with_variable = asked.psql().variable("reader_password", READERS_PASSWORD);
    assert_eq!(with_variable.run_files([script]).unwrap(), "");
    let rights = format!(
        "SELECT string_agg(DISTINCT privilege_type, ',') FROM information_schema.role_table_grants WHERE grantee = '{}'",
        asked.reader_as_given()
    );
    assert_eq!(asked.source.value(&rights), "SELECT");
}

/// What is wrong, the words of the one line that says so, and what helps; `R` stands for the role.
const WRONG: [(&str, &[&str], &str); 16] = [
    (
        "CREATE UNLOGGED TABLE \"Scratch\" (id integer PRIMARY KEY)",
        &["table public.Scratch is left out", "unlogged", "ALTER TABLE \"public\".\"Scratch\" SET LOGGED"],
        "ALTER TABLE \"public\".\"Scratch\" SET LOGGED",
    ),
    (
        "CREATE TABLE diary (line text)",
        &["table public.diary is left out", "no replica identity", "ALTER TABLE \"public\".\"diary\" REPLICA IDENTITY FULL"],
        "ALTER TABLE \"public\".\"diary\" REPLICA IDENTITY FULL",
    ),
    (
        "CREATE TABLE late (id integer PRIMARY KEY DEFERRABLE)",
        &["table public.late is left out", "a primary key that is not deferrable"],
        "ALTER TABLE \"public\".\"late\" REPLICA IDENTITY FULL",
    ),
    (
        "CREATE TABLE root (id integer) PARTITION BY RANGE (id); CREATE TABLE leaf PARTITION OF root DEFAULT;
         ALTER TABLE root REPLICA IDENTITY FULL",
        &["table public.root is left out", "because public.leaf has no replica identity"],
        "ALTER TABLE \"public\".\"leaf\" REPLICA IDENTITY FULL",
    ),
    (
        "CREATE TABLE hidden (id integer PRIMARY KEY); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
        &["row-level security of table public.hidden applies to role R", "ALTER ROLE \"R\" BYPASSRLS"],
        "ALTER ROLE \"R\" BYPASSRLS",
    ),
    ("CREATE ROLE \"R\" CREATEDB", &["role R may not log in", "ALTER ROLE \"R\" LOGIN"], "ALTER ROLE \"R\" LOGIN"),
    (
        "",
        &["role R exists and may do more", "(CREATEDB)", "ALTER ROLE \"R\" NOCREATEDB"],
        "ALTER ROLE \"R\" NOCREATEDB",
    ),
    ("", &["role R may not replicate", "ALTER ROLE \"R\" REPLICATION"], "ALTER ROLE \"R\" REPLICATION"),
    (
        "",
        &["role R may not connect to database D", "GRANT CONNECT ON DATABASE \"D\" TO \"R\""],
        "GRANT CONNECT ON DATABASE \"D\" TO \"R\"",
    ),
    (
        "CREATE SCHEMA \"S\"; CREATE TABLE \"S\".a (id integer PRIMARY KEY); GRANT USAGE ON SCHEMA public TO \"R\"",
        &["role R may not use schema S", "GRANT USAGE ON SCHEMA \"S\" TO \"R\""],
        "GRANT USAGE ON SCHEMA \"S\" TO \"R\"",
    ),
    (
        "GRANT SELECT ON hidden TO \"R\"",
        &["role R may not read table S.a", "GRANT SELECT ON \"S\".\"a\" TO \"R\""],
        "GRANT SELECT ON \"S\".\"a\" TO \"R\"",
    ),
    (
        "CREATE TABLE part (id integer PRIMARY KEY, n integer); GRANT SELECT ON part TO \"R\";
         CREATE TABLE \"Out\" (id integer PRIMARY KEY);
         CREATE TABLE parted (id integer PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE below PARTITION OF parted DEFAULT;
         CREATE UNLOGGED TABLE fleeting PARTITION OF parted FOR VALUES FROM (0) TO (9); GRANT SELECT ON parted TO \"R\";
         CREATE PUBLICATION \"P\" FOR TABLE parted, \"Out\", part (id) WHERE (id > 1) WITH (publish = 'insert, update')",
        &["publication P exists and differs", "publishes table public.Out, which is not captured"],
        "ALTER PUBLICATION \"P\" DROP TABLE \"Out\"",
    ),
    (
        "",
        &[
            "table public.parted is partitioned, publication P publishes its changes as those of its partitions",
            "ALTER PUBLICATION \"P\" SET (publish_via_partition_root = true)",
        ],
        "ALTER PUBLICATION \"P\" SET (publish_via_partition_root = true)",
    ),
    ("", &["publication P exists and differs", "holds back rows of table public.part"], "ALTER PUBLICATION \"P\" SET TABLE part"),
    ("", &["publication P does not publish delete", "SET (publish ="], "ALTER PUBLICATION \"P\" SET (publish = 'insert, update, delete, truncate')"),
    (
        "",
        &["table public.hidden is captured but not in publication P", "ALTER PUBLICATION \"P\" ADD TABLE \"public\".\"hidden\""],
        "ALTER PUBLICATION \"P\" ADD TABLE \"public\".\"hidden\"",
    ),
];

#[test]
fn each_thing_that_is_missing_is_named_with_a_remedy_that_helps() {
    for server in [&shared::stack().postgres15, &shared::stack().postgres18] {
        check_remedies(server);
    }
}

/// What is not in [`WRONG`], because the remedy is an argument, or because nothing has to be done.
const FURTHER: &str = "
CREATE FOREIGN DATA WRAPPER none; CREATE SERVER none FOREIGN DATA WRAPPER none;
CREATE FOREIGN TABLE far (n integer) SERVER none;
CREATE TABLE wide (id integer) PARTITION BY RANGE (id); ALTER TABLE wide REPLICA IDENTITY FULL;
CREATE FOREIGN TABLE far_away PARTITION OF wide DEFAULT SERVER none;
CREATE TABLE periods (period int4multirange PRIMARY KEY);
CREATE TABLE \"x y\" (id integer PRIMARY KEY);
CREATE TABLE x_y (id integer PRIMARY KEY, number integer NOT NULL UNIQUE);
ALTER TABLE x_y REPLICA IDENTITY USING INDEX x_y_number_key;
SELECT pg_create_logical_replication_slot(current_database() || '_slot', 'test_decoding');
";

impl Asked {
    fn in_sql(&self, sql: &str) -> String {
        let sql = sql.replace("\"R\"", &format!("\"{}\"", self.reader()));
        sql.replace("\"D\"", &format!("\"{}\"", self.id))
    }

    fn in_words(&self, words: &[&str]) -> Vec<String> {
        let role = format!("role {}", self.reader_as_given());
        let database = format!("database {}", self.id);
        let in_words = |words: &&str| self.in_sql(words).replace("role R", &role);
        words.iter().map(|words| in_words(words).replace("database D", &database)).collect()
    }
}

fn check_remedies(server: &PostgresAddress) {
    let asked = Asked::create(server, &format!("remedies{}", server.version));
    for (wrong, ..) in WRONG {
        asked.source.run(&asked.in_sql(wrong));
    }
    asked.source.run(FURTHER);
    let reader = asked.reader_as_given();
    let own = ["--role", reader.as_str(), "--publication", "P", "--exclude-table", "public.Out"];
    let found = asked.init(&own);
    assert_eq!(found.code, 1, "{}", found.err);
    let others = [
        ["table public.far is left out", "--exclude-table public.far"],
        ["column period of table public.periods is part of the key", "--exclude-table"],
        ["belongs to plugin test_decoding, not pgoutput", "choose another slot.name"],
        ["publication P exists and differs", "holds back columns of table public.part"],
    ];
    for words in others {
        assert!(found.line(&words).starts_with("missing: "));
    }
    for (_, words, _) in WRONG {
        let words = asked.in_words(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert!(found.line(&words).starts_with("missing: "), "{words:?}");
    }
    for (_, words, remedy) in WRONG {
        asked.source.run(&asked.in_sql(remedy));
        let now = asked.init(&own);
        let words = asked.in_words(words);
        let fits = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(!now.err.lines().any(fits), "{remedy} does not help:\n{}", now.err);
    }
    let accepted = ["--exclude-table", "public.far", "--exclude-table", "public.periods"];
    let slot = format!("{}_other", asked.id);
    check_the_rest(&asked, &[&own[..], &accepted, &["--slot", &slot]].concat());
}

/// What was left out at first is neither published nor readable yet: the SQL does that, and then nothing is missing.
fn check_the_rest(asked: &Asked, args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let before = asked.init(&[args, &["--output-dir", dir.path().to_str().unwrap()]].concat());
    let notes = [
        ["table public.diary has no key", "no vault can hold the table"],
        ["partition public.fleeting of table public.parted", "is unlogged"],
        ["partition public.far_away of table public.wide", "is a foreign table"],
        ["these tables share topic", ": public.x y, public.x_y"],
        ["table public.x_y: the replica identity", "set REPLICA IDENTITY DEFAULT or FULL"],
    ];
    for words in notes {
        assert!(before.line(&words).starts_with("note: "));
    }
    let psql = asked.psql().variable("reader_password", READERS_PASSWORD);
    psql.run_files([dir.path().join("source.sql")]).unwrap();
    let after = asked.init(args);
    assert_eq!(after.code, 0, "{}", after.err);
    asked.source.run("DROP PUBLICATION \"P\"; CREATE PUBLICATION \"P\" FOR ALL TABLES");
    let all = asked.init(args);
    assert_eq!(all.code, 1, "{}", all.err);
    let remedy = "DROP PUBLICATION \"P\"";
    all.line(&["publication P exists and differs: it is FOR ALL TABLES", remedy]);
}

#[test]
fn names_that_mean_nothing_are_named_and_a_source_without_tables_gets_no_file() {
    let asked = Asked::create(&shared::stack().postgres15, "nothing");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("none");
    let args =
        ["--schema", "Nope", "--exclude-table", "a.b", "--output-dir", folder.to_str().unwrap()];
    let said = asked.init(&args);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
    said.line(&["missing: schema Nope does not exist", "--schema"]);
    said.line(&["missing: there is no table a.b", "--exclude-table"]);
    said.line(&["missing: no table of database", "nothing is written"]);
    assert!(!folder.exists());
}

/// Somebody may name an administrator's role by mistake.
#[test]
fn the_password_of_a_superuser_is_not_changed() {
    let asked = Asked::create(&shared::stack().postgres15, "superuser");
    asked.source.run("CREATE TABLE t (id integer PRIMARY KEY)");
    let role = asked.reader_as_given();
    asked.source.run(&format!("CREATE ROLE \"{}\" SUPERUSER", asked.reader()));
    let dir = tempfile::tempdir().unwrap();
    let said = asked.init(&["--role", &role, "--output-dir", dir.path().to_str().unwrap()]);
    said.line(&[
        "missing: role",
        "may do more than a reader needs (SUPERUSER",
        "choose another --role",
    ]);
    let psql = asked.psql().variable("reader_password", READERS_PASSWORD);
    let refused = psql.run_files([dir.path().join("source.sql")]).unwrap_err().to_string();
    assert!(refused.contains("is a superuser, whose password is not changed here"), "{refused}");
    assert_eq!(asked.source.value("SELECT count(*) FROM pg_publication"), "0");
}

#[test]
fn files_are_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    // Nothing listens there: the files are looked at first.
    let nowhere = "postgres://a:sesame@127.0.0.1:1/x?sslmode=disable";
    for name in ["connector.json", "source.sql"] {
        let path = dir.path().join(name);
        std::fs::write(&path, "edited").unwrap();
        let said = init(nowhere, &["--output-dir", folder]);
        assert_eq!((said.code, said.out.as_str()), (2, ""));
        said.line(&[name, "exists, and nothing is overwritten", "--output-dir"]);
        assert_eq!(read(&path), "edited");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_source_that_cannot_be_looked_at_is_exit_code_2_and_its_password_is_not_shown() {
    let asked = Asked::create(&shared::stack().postgres18, "closed");
    let wrong = asked.url().replace(ASKERS_PASSWORD, "sesame-wrong");
    let said = init(&wrong, &[]);
    assert_eq!(said.code, 2, "{}", said.err);
    said.line(&["cannot look at the source", "password authentication failed"]);
    let url = "postgres://a:sesame@127.0.0.1:1/x?sslmode=disable";
    let said = init(url, &[]);
    assert_eq!(said.code, 2);
    said.line(&["cannot look at the source", "127.0.0.1:1"]);
    for url in [
        "host=x password=sesame",
        "postgres://a:sesame@h/x?sslmode=sesame",
        "postgres://a:sesame@db.example/x",
    ] {
        let said = init(url, &[]);
        assert_eq!(said.code, 2);
        said.line(&["--source"]);
    }
    asked.source.run("CREATE TABLE t (id integer PRIMARY KEY)");
    let said = asked.init(&["--topic-prefix", "a b"]);
    assert_eq!(said.code, 2);
    said.line(&["no connector file can be written", "topic.prefix"]);
}

#[test]
fn a_server_without_room_or_logical_wal_is_named_with_the_remedy() {
    let options = PostgresOptions::new(15)
        .fsync(false)
        .setting("wal_level", "replica")
        .setting("wal_sender_timeout", "0")
        .setting("max_wal_senders", "1")
        .setting("max_replication_slots", "1");
    let server = Postgres::start(options).unwrap();
    let asked = Asked::create(server.address(), "room");
    asked.source.run(
        "CREATE TABLE t (id integer PRIMARY KEY); SELECT pg_create_physical_replication_slot('standby');",
    );
    let mut superuser =
        ConnectOptions::new(&server.address().host, server.address().port, &asked.id);
    superuser.user.clone_from(&server.address().user);
    superuser.password = Secret::new(server.address().password.clone());
    let sender = Client::connect(&superuser, Mode::Replication, WaitLimit::brief()).unwrap();
    let said = asked.init(&[]);
    assert_eq!(said.code, 1, "{}", said.err);
    said.line(&["missing: wal_level is replica", "wal_level = logical", "restart"]);
    said.line(&[
        "missing: all 1 replication slots of the server are taken",
        "max_replication_slots",
    ]);
    said.line(&["missing: all 1 WAL senders", "raise max_wal_senders to 3"]);
    said.line(&[
        "missing: wal_sender_timeout is 0",
        "ALTER ROLE \"cdc_reader\" SET wal_sender_timeout = '60s'",
    ]);
    drop(sender);
    // The role's own value counts.
    asked
        .source
        .run("CREATE ROLE cdc_reader; ALTER ROLE \"cdc_reader\" SET wal_sender_timeout = '60s'");
    assert!(!asked.init(&[]).err.contains("wal_sender_timeout"));
}

#[test]
fn a_slot_that_is_lost_is_named_with_the_remedy() {
    let options = PostgresOptions::new(18)
        .fsync(false)
        .setting("max_wal_size", "32MB")
        .setting("max_slot_wal_keep_size", "1MB");
    let server = Postgres::start(options).unwrap();
    let asked = Asked::create(server.address(), "lost");
    asked.source.run("CREATE TABLE t (id integer PRIMARY KEY)");
    let slot = format!("{}_slot", asked.id);
    asked.source.run(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    wait_for(PATIENCE, "the slot to be lost", || {
        asked.source.run(
            "SELECT pg_switch_wal(); CREATE TABLE more (n integer); DROP TABLE more; CHECKPOINT;",
        );
        asked.source.value("SELECT wal_status FROM pg_replication_slots") == "lost"
    });
    let said = asked.init(&[]);
    assert_eq!(said.code, 1, "{}", said.err);
    let remedy = format!("pg_drop_replication_slot('{slot}')");
    said.line(&["missing: replication slot", "has invalidated it (wal_removed)", &remedy]);
    asked.source.run(&format!("SELECT {remedy}"));
    assert!(!asked.init(&[]).err.contains("invalidated"));
}

#[test]
fn a_standby_is_named_with_the_remedy() {
    let options = || PostgresOptions::new(18).fsync(false);
    let server = Postgres::start(options()).unwrap();
    let asked = Asked::create(server.address(), "standby");
    asked.source.run("CREATE TABLE t (id integer PRIMARY KEY)");
    let standby = Postgres::start_replica_of(&server, options()).unwrap();
    let asker = format!("{}_asker", asked.id);
    let url = standby.address().url(&asked.id, &asker, ASKERS_PASSWORD);
    let said = init(&format!("{url}?sslmode=disable"), &[]);
    assert_eq!(said.code, 1, "{}", said.err);
    said.line(&["missing: the server is a standby", "primary"]);
}
