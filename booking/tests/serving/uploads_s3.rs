//! Uploads in S3: the program, told by its environment, beside a server that speaks S3.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use devstack::{Process, ProcessOptions, http, wait_for_async, workspace_root};

use super::browser::Browser;
use super::shop::{fill, sign_up};
use super::uploads::{ask, file, form, send, text};
use crate::support::Airline;

/// How long a program may take to start.
const WAIT: Duration = Duration::from_secs(60);

/// A server of S3 with a bucket, and its address.
async fn s3(dir: &std::path::Path) -> (Process, String) {
    let port = devstack::free_port().unwrap();
    let script = workspace_root().join("scripts/s3-server.sh");
    let options = ProcessOptions::new(script, dir.join("s3.log")).args([port.to_string()]);
    let mut server = Process::start(&options).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let bucket = format!("{url}/files");
    wait_for_async(WAIT, "the server of S3", async || {
        let ended = server.exit_code().unwrap();
        assert_eq!(ended, None, "the server of S3 has ended: {}", server.last_lines(3));
        http::request("PUT", &bucket, Some("")).is_ok_and(|answer| answer.status == 200)
    })
    .await;
    (server, url)
}

/// The keys of the bucket below the service's prefix.
fn keys(url: &str) -> Vec<String> {
    let list = http::get(&format!("{url}/files?list-type=2&prefix=air/")).unwrap().body;
    list.split("<Key>").skip(1).map(|part| part.split('<').next().unwrap().to_owned()).collect()
}

/// A service whose store is a bucket of the S3 server at `url`.
fn serve_from(url: &str, airline: &Airline, log: PathBuf) -> Process {
    let options = ProcessOptions::new(env!("CARGO_BIN_EXE_booking"), log)
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--uploads-url", "s3://files/air", "--upload-bytes-max", "20000000"])
        .env("BOOKING_DATABASE_URL", format!("{}?sslmode=disable", airline.url()))
        .env("AWS_ACCESS_KEY_ID", "the-key")
        .env("AWS_SECRET_ACCESS_KEY", "the-very-secret-key")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT", url)
        .env("AWS_ALLOW_HTTP", "true")
        .env("RUST_LOG", "trace");
    Process::start(&options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_the_files_and_its_absence_refuses_uploads_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, url) = s3(dir.path()).await;
    let files = ["010_schema.sql", "020_views.sql", "050_service.sql", "070_uploads.sql"];
    let shared = &devstack::shared::stack().postgres15;
    let airline = Airline::create_with(shared, &devstack::unique("serving"), &files);
    fill(&airline).await;
    let mut service = serve_from(&url, &airline, dir.path().join("booking.log"));
    wait_for_async(WAIT, "the service to listen", async || {
        !service.lines_with("serving").is_empty()
    })
    .await;
    let address = service.lines_with("serving")[0]["address"].as_str().unwrap().parse().unwrap();
    let (client, _) = sign_up(address, "ann@example.org").await;

    // One that is a single request to S3, and one that has three parts.
    let small = b"%PDF-1.4 small".to_vec();
    let large = [b"%PDF-1.7".as_slice(), &[9; 12 << 20]].concat();
    let mut made = Vec::new();
    for bytes in [&small, &large] {
        let body = form(&[text("title", "A file"), file("a.pdf", "application/pdf", bytes)]);
        let upload = send(&client, "", &body).await.expect(201).json();
        let content = ask(&client, "GET", upload["content"].as_str().unwrap()).await.expect(200);
        assert!(content.body == *bytes, "{} bytes come back", bytes.len());
        made.push(upload);
    }
    let stored = keys(&url);
    assert_eq!(stored.len(), 2, "{stored:?}");
    assert!(stored.iter().all(|key| key.starts_with("air/")), "{stored:?}");
    let path =
        |number: usize| format!("/api/v1/uploads/{}", made[number]["upload_id"].as_str().unwrap());
    ask(&client, "DELETE", &path(0)).await.expect(204);
    assert_eq!(keys(&url).len(), 1);
    let too_large = [b"%PDF-1.7".as_slice(), &[9; 20 << 20]].concat();
    let body = form(&[text("title", "A file"), file("a.pdf", "application/pdf", &too_large)]);
    send(&client, "", &body).await.expect(413);
    assert_eq!(keys(&url).len(), 1, "nothing is left of a file that is too large");

    // A server that accepts connections and is silent: readiness waits for nobody.
    server.pause();
    let asked = Instant::now();
    ask(&client, "GET", "/health/ready").await.expect(200);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    // The pages look at the store themselves, and do not wait for it long.
    let mut browser = Browser::sign_up(address, "eve@example.org", "EVE EXAMPLE").await;
    for (page, words) in [("/uploads", "does not answer"), ("/", "does not answer within 2 s")] {
        let asked = Instant::now();
        browser.go(page).await;
        browser.expect(200).shows(words);
        assert!(asked.elapsed() < Duration::from_secs(4), "{page}: {:?}", asked.elapsed());
    }
    server.kill9();
    let body = form(&[text("title", "A file"), file("a.pdf", "application/pdf", &small)]);
    send(&client, "", &body).await.expect(503);
    let content = format!("{}/content", path(1));
    ask(&client, "GET", &content).await.expect(503);
    wait_for_async(WAIT, "the store to be away", async || {
        let ready = ask(&client, "GET", "/health/ready").await.expect(200).json();
        ready["status"] == "ready" && ready["uploads"] == "away"
    })
    .await;
    ask(&client, "GET", "/api/v1/bookings").await.expect(200);
    service.terminate();
    assert_eq!(service.wait_exit(WAIT).unwrap(), 0);
    let log = std::fs::read_to_string(service.log()).unwrap();
    assert!(!log.contains("the-very-secret-key"), "the log has the key of S3");
    assert!(!log.contains("panicked"), "a task panicked");
}
