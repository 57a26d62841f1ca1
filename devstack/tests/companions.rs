//! Redis, PgBouncer and HAProxy really start, ask for passwords, and come back where they were.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use devstack::{CompanionOptions, Haproxy, Pgbouncer, Redis, http, wait_for};

const WAIT: Duration = Duration::from_secs(30);

/// Sends lines to Redis, and reads all that it answers.
fn ask(redis: &Redis, lines: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    BufReader::new(stream).lines().map_while(Result::ok).collect()
}

#[test]
fn redis_answers_its_user_only_and_allows_what_the_service_needs() {
    let mut redis = Redis::start(&CompanionOptions::default(), "secret").unwrap();
    assert!(ask(&redis, &["PING"])[0].starts_with("-NOAUTH"), "nobody without a password");
    let login = "AUTH booking secret";
    let answers = ask(
        &redis,
        &[login, "SET booking:a 1", "GET booking:a", "SET other 1", "FLUSHALL", "PUBLISH other x"],
    );
    assert_eq!(answers[..4], ["+OK", "+OK", "$1", "1"], "{answers:?}");
    assert!(answers[4..].iter().all(|answer| answer.starts_with("-NOPERM")), "{answers:?}");
    let port = redis.port();
    redis.kill9();
    redis.start_again().unwrap();
    assert_eq!(redis.port(), port);
    assert_eq!(ask(&redis, &[login, "GET booking:a"]), ["+OK", "$-1"], "nothing is kept");
}

#[tokio::test]
async fn pgbouncer_gives_a_connection_for_one_transaction() {
    let server = &devstack::shared::stack().postgres15;
    let pooler =
        Pgbouncer::start(&CompanionOptions::default(), server, &[&server.user], 1).unwrap();
    let target = |password: &str| {
        format!(
            "host=127.0.0.1 port={} dbname=postgres user={} password={password}",
            pooler.port(),
            server.user
        )
    };
    let refused = devstack::sql::connect(&target("wrong")).await;
    assert!(refused.is_err(), "a wrong password is refused");
    let (one, two) = (
        devstack::sql::connect(&target(&server.password)).await.unwrap(),
        devstack::sql::connect(&target(&server.password)).await.unwrap(),
    );
    let backend = "SELECT pg_backend_pid()";
    let pid = async |client: &tokio_postgres::Client| -> i32 {
        client.query_typed_one(backend, &[]).await.unwrap().get(0)
    };
    assert_eq!(pid(&one).await, pid(&two).await, "two clients share the one connection");
}

#[test]
fn pgbouncer_names_a_role_that_does_not_exist() {
    let server = &devstack::shared::stack().postgres15;
    let refusal = Pgbouncer::start(&CompanionOptions::default(), server, &["nobody_here"], 1);
    let text = format!("{:#}", refusal.unwrap_err());
    assert!(text.contains("nobody_here"), "{text}");
}

/// Answers every request with a name: with 200 while it is ready, and with 503 afterwards. It is always alive.
fn instance(name: &'static str) -> (u16, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ready = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asked = std::sync::Arc::clone(&ready);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let status = if request.starts_with(b"GET /health/live")
                || asked.load(std::sync::atomic::Ordering::Relaxed)
            {
                "200 OK"
            } else {
                "503 Service Unavailable"
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}",
                name.len()
            );
        }
    });
    (port, ready)
}

#[test]
fn haproxy_leads_to_instances_that_are_ready() {
    let (one, one_is_ready) = instance("one");
    let (two, two_is_ready) = instance("two");
    let proxy = Haproxy::start(&CompanionOptions::default(), &[one, two]).unwrap();
    let url = format!("http://{}/", proxy.address());
    let name = || http::get(&url).unwrap().body;
    wait_for(WAIT, "an answer of each instance", || {
        let names = [name(), name(), name()];
        names.contains(&"one".to_owned()) && names.contains(&"two".to_owned())
    });
    one_is_ready.store(false, std::sync::atomic::Ordering::Relaxed);
    wait_for(WAIT, "only the other one to answer", || {
        (0..6).map(|_| name()).all(|name| name == "two")
    });
    two_is_ready.store(false, std::sync::atomic::Ordering::Relaxed);
    wait_for(WAIT, "all that live to answer", || {
        let names = [name(), name(), name()];
        names.contains(&"one".to_owned()) && names.contains(&"two".to_owned())
    });
}
