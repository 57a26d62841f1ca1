//! What a running loader says about itself.

use devstack::wait_for_async;

use crate::support::{PATIENCE, World, airport, create};

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
    let expected = [
        format!("vault_loader_events_total{{topic=\"{topic}\"}} 2"),
        format!("vault_loader_quarantined_total{{topic=\"{topic}\"}} 1"),
        format!("vault_loader_lag_events{{topic=\"{topic}\",partition=\"0\"}} 0"),
        "vault_loader_rows_total{table=\"hub_airports\"} 1".to_owned(),
        "vault_loader_batches_total".to_owned(),
        "vault_loader_batch_seconds_bucket".to_owned(),
        "vault_loader_source_lag_seconds".to_owned(),
        "vault_loader_repeats_total 0".to_owned(),
        "vault_loader_fenced_total 0".to_owned(),
    ];
    wait_for_async(PATIENCE, "the metrics", async || {
        let page = get(port, "/metrics").await.map_err(|err| err.to_string())?;
        match expected.iter().find(|line| !page.contains(line.as_str())) {
            None => Ok(true),
            Some(line) => Err(format!("{line} is not in {page}")),
        }
    })
    .await;
    world.end(&mut loader);
}

async fn get(port: u16, path: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
