//! What a running loader says about itself.

use devstack::{http, wait_for_async};

use crate::support::{AIRLINE, PATIENCE, World, airport, create};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_tell_what_the_loader_does() {
    let mut world = World::new("http").await;
    let port = devstack::free_port().unwrap();
    let listen = format!("127.0.0.1:{port}");
    let variables = [("VAULT_LOADER__LISTEN", listen.as_str())];
    let asked = world.command_with(&["health"], &variables);
    assert_eq!(asked.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&asked.stderr).contains(&format!("no loader answers at {listen}"))
    );
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.send("airports", 0, None, Some(b"no json")).await;
    let mut loader = world.loader_with("loader", &variables);
    world.loaded().await;
    let asked = world.command_with(&["health"], &variables);
    assert_eq!(asked.status.code(), Some(0), "{}", String::from_utf8_lossy(&asked.stderr));
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), r#"{"status":"healthy"}"#);
    let topic = world.topic("airports");
    let of = format!("source=\"{}\"", world.source);
    let expected = [
        format!("vault_loader_events_total{{{of},topic=\"{topic}\"}} 2"),
        format!("vault_loader_quarantined_total{{{of},topic=\"{topic}\"}} 1"),
        format!("vault_loader_lag_events{{{of},topic=\"{topic}\",partition=\"0\"}} 0"),
        format!("vault_loader_lost_offsets{{{of},topic=\"{topic}\"}} 0"),
        format!("vault_loader_rows_total{{{of},table=\"hub_airports\"}} 1"),
        format!("vault_loader_batches_total{{{of}}}"),
        "vault_loader_batch_seconds_bucket{".to_owned(),
        format!("vault_loader_source_lag_seconds{{{of}}}"),
        format!("vault_loader_repeats_total{{{of}}} 0"),
        format!("vault_loader_fenced_total{{{of}}} 0"),
    ];
    wait_for_async(PATIENCE, "the metrics", async || {
        let page = http::get(&format!("http://{listen}/metrics"))?.body;
        match expected.iter().find(|line| !page.contains(line.as_str())) {
            None => Ok(true),
            Some(line) => Err(anyhow::anyhow!("{line} is not in {page}")),
        }
    })
    .await;
    world.end(&mut loader);
}

/// Inside a COPY nothing but this tells the server that a loader's machine is gone, with all the locks that it held.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_asks_soon_whether_a_silent_loader_is_still_there() {
    let mut world = World::new("keepalive").await;
    let mut loader = world.loader("loader");
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    // The session that loads ends each attempt with this lock. Another session measures the quarantine.
    let sessions = "SELECT client_port
                    FROM pg_stat_activity
                    WHERE datname = current_database()
                      AND application_name = 'vault-loader'
                      AND query LIKE '%pg_advisory_unlock_shared%'";
    let port: i32 = world.client.query_one(sessions, &[]).await.unwrap().get(0);
    let (server, client) = (format!(":{:04X}", world.stack.warehouse.port), format!(":{port:04X}"));
    wait_for_async(PATIENCE, "a keepalive timer of at most 10 s", async || {
        // local address, remote address, state, queues, timer:expires-in-ticks, ...
        let sockets = std::fs::read_to_string("/proc/net/tcp").map_err(|err| err.to_string())?;
        let line = sockets.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let mut line =
            line.filter(|socket| socket[1].ends_with(&server) && socket[2].ends_with(&client));
        let socket = line.next().ok_or("no such socket")?;
        let ticks = socket[5].strip_prefix("02:").ok_or("another timer")?;
        let ticks = i64::from_str_radix(ticks, 16).map_err(|err| err.to_string())?;
        if ticks <= 1000 { Ok(true) } else { Err(format!("{ticks} hundredths of a second")) }
    })
    .await;
    world.end(&mut loader);
}

/// Neither a file that cannot be parsed nor a property that librdkafka does not take may end up in a terminal or a log.
#[test]
fn a_refused_configuration_does_not_show_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("vault.toml");
    std::fs::write(&model, AIRLINE).unwrap();
    let database = "bootstrap_servers = \"localhost:1\"\n[database]\nhost = \"localhost\"\nname = \"dwh\"\nuser = \"u\"\n";
    let unquoted = format!("{database}password = hunter2\n");
    let jaas = format!(
        "{database}[kafka]\nsecurity.protocol = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\n\
         sasl.jaas.config = 'L required password=\"hunter2\";'\n"
    );
    let misspelt = format!("{database}[kafka]\n\"sasl.pasword\" = \"hunter2\"\n");
    for (text, expected) in [
        (&unquoted, "cannot be parsed at line 6"),
        (
            &jaas,
            "sasl.jaas.config must name org.apache.kafka.common.security.plain.PlainLoginModule",
        ),
        (&misspelt, "librdkafka has no property sasl.pasword"),
    ] {
        let config = dir.path().join("loader.toml");
        std::fs::write(&config, text).unwrap();
        for command in ["run", "status"] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_vault-loader"))
                .arg(command)
                .arg("--config")
                .arg(&config)
                .arg("--model")
                .arg(&model)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains(expected) && !said.contains("hunter2"), "{command}: {said}");
        }
    }
}
