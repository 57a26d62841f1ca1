//! A captured table at rest does not make the source keep WAL: what others write is confirmed, too.

use devstack::{shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Source, unique};

#[test]
fn the_slot_advances_while_only_others_write() {
    let stack = shared::stack();
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("idle{}", server.version));
        let source = Source::create(server, &id);
        let other = Source::create(server, &format!("{id}_other"));
        let create = "CREATE TABLE busy (n integer)";
        other.run(create);
        source.run(create);
        source.run("CREATE TABLE quiet (id integer PRIMARY KEY); CREATE PUBLICATION captured FOR TABLE quiet;");
        let connector = Connector::new(&source, &id)
            .without("schema.include.list")
            .set("table.include.list", "public.quiet");
        let reader = Launch::new(&connector, &stack.kafka_bootstrap).start();
        reader.wait_for_line("streaming");
        for writer in [&source, &other] {
            writer.run("INSERT INTO busy SELECT generate_series(1, 10000)");
            let written = source.value("SELECT pg_current_wal_lsn()");
            wait_for(PATIENCE, "the slot to advance over others' changes", || {
                source.value(&format!(
                    "SELECT confirmed_flush_lsn >= '{written}' FROM pg_replication_slots WHERE slot_name = '{id}'"
                )) == "t"
            });
        }
        reader.stop();
    }
}
