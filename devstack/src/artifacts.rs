//! Artifacts of Maven Central that this machine may lack: PostgreSQL binaries, Kafka's jars, Debezium's plugin, JMeter.
//!
//! In: artifact coordinates with the SHA-256 we expect. Out: unpacked directories in the cache
//! (`VAULTSTREAM_CACHE`, else `$XDG_CACHE_HOME/vaultstream`, else `~/.cache/vaultstream`).
//! Invariant: nothing is used whose hash is not the pinned one, and a directory is in the cache only when it is
//! complete: it is filled under another name, under a lock, and renamed.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};

/// Version of Kafka and Kafka Connect.
pub const KAFKA_VERSION: &str = "4.3.0";

/// Version of JMeter.
pub const JMETER_VERSION: &str = "5.6.3";

/// Version of Debezium's connectors.
pub const DEBEZIUM_VERSION: &str = "3.6.0.Final";

/// SHA-256 of the archive of Debezium's PostgreSQL connector.
const DEBEZIUM_POSTGRES_SHA256: &str =
    "f810048b2880fe559d47aea75091ccc2ad0249fbce93d3c1e303588b17b6a060";

/// SHA-256 of the archive of Debezium's JDBC sink.
const DEBEZIUM_JDBC_SHA256: &str =
    "c23af8d416f0f801ffb0271b1a8fd9b5360ff8d66b0dd650e066bb56ecfddc05";

/// Version of the Maven plugin that copies artifacts.
const MAVEN_PLUGIN_VERSION: &str = "3.8.1";

/// How often a download is tried, because a busy repository sometimes refuses a request.
const MAVEN_ATTEMPTS: u32 = 4;

/// The pause after the first failure; it grows with each.
const MAVEN_PAUSE: Duration = Duration::from_secs(5);

/// SHA-256 of each of Kafka's jars, as `sha256sum` prints them.
const KAFKA_JARS: &str = include_str!("../kafka-jars.sha256");

/// SHA-256 of each of JMeter's jars, as `sha256sum` prints them.
const JMETER_JARS: &str = include_str!("../jmeter-jars.sha256");

/// Major version, release and SHA-256 of the PostgreSQL binaries, for this processor.
#[cfg(target_arch = "x86_64")]
const POSTGRES: [(u16, &str, &str); 5] = [
    (14, "14.18.0", "d08a4c4703faf3f78ed74af72f1794d32ad3798f7dedf46abd383f809a99262b"),
    (15, "15.13.0", "cc0177d8a22b85ed266f6204c0642fd5c24ab583d1ef221d4b60bce29d4fa4ef"),
    (16, "16.9.0", "d983cee24678490199e1684d6a93f49f84673696cb6f0db64e880a4cf233017b"),
    (17, "17.7.0", "ceb1c01cf5e71d6f906b8614982f6ed61e96b3740dd30758fa6262f97e752b69"),
    (18, "18.4.0", "401d4e69baba9072d3772607710df0d47b39a7632c6b01b2a5f5d85a9514e212"),
];
#[cfg(target_arch = "aarch64")]
const POSTGRES: [(u16, &str, &str); 3] = [
    (16, "16.9.0", "9d113402f70f4d134250916319ad83e87cba3796bd73a606c28dbabd326b4fa3"),
    (17, "17.7.0", "85622d56a394c424db4b15185bad31f51848809cb0810fe87059ec38be23caad"),
    (18, "18.4.0", "a9ec284923b9a7d2db41509bfb88c3d0eeb9f4aa5e2b29ea0aac5e8dbaf4c335"),
];
#[cfg(target_arch = "x86_64")]
const PLATFORM: &str = "linux-amd64";
#[cfg(target_arch = "aarch64")]
const PLATFORM: &str = "linux-arm64v8";

/// The dependencies that are Kafka, its tools and Kafka Connect.
fn kafka_artifacts() -> Vec<(&'static str, &'static str, &'static str)> {
    ["kafka_2.13", "kafka-tools", "connect-runtime", "connect-json"]
        .map(|name| ("org.apache.kafka", name, KAFKA_VERSION))
        .into_iter()
        .chain([("org.slf4j", "slf4j-simple", "1.7.36")])
        .collect()
}

/// The dependencies that are JMeter with what the plans use: HTTP, extractors and assertions, functions, and the files
/// of its `bin` directory.
fn jmeter_artifacts() -> Vec<(&'static str, &'static str, &'static str)> {
    [
        "ApacheJMeter",
        "ApacheJMeter_core",
        "ApacheJMeter_http",
        "ApacheJMeter_components",
        "ApacheJMeter_functions",
        "ApacheJMeter_config",
    ]
    .map(|name| ("org.apache.jmeter", name, JMETER_VERSION))
    .into_iter()
    .collect()
}

/// A project with these dependencies: group, name, version.
fn pom(project: &str, artifacts: &[(&str, &str, &str)]) -> String {
    let mut dependencies = String::new();
    for (group, name, version) in artifacts {
        let _ = writeln!(
            dependencies,
            "    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        );
    }
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>devstack</groupId>\n  <artifactId>{project}</artifactId>\n  <version>1</version>\n  \
         <packaging>pom</packaging>\n  <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}

/// The cache directory, made if need be.
fn cache() -> anyhow::Result<PathBuf> {
    let dir = match (
        std::env::var_os("VAULTSTREAM_CACHE"),
        std::env::var_os("XDG_CACHE_HOME"),
        std::env::var_os("HOME"),
    ) {
        (Some(dir), _, _) if !dir.is_empty() => PathBuf::from(dir),
        (_, Some(dir), _) if !dir.is_empty() => PathBuf::from(dir).join("vaultstream"),
        (_, _, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache/vaultstream"),
        _ => anyhow::bail!("no place for downloads: set VAULTSTREAM_CACHE to a directory"),
    };
    crate::fs::make_dir(&dir)
}

/// A directory of the cache that a script has filled.
pub(crate) fn cached_dir(name: &str) -> anyhow::Result<PathBuf> {
    let dir = cache()?.join(name);
    anyhow::ensure!(dir.is_dir(), "{} is not there", dir.display());
    Ok(dir)
}

/// The directory `name` of the cache. The first caller fills it with `fill`.
fn cached(name: &str, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let cache = cache()?;
    let dir = cache.join(name);
    if dir.is_dir() {
        return Ok(dir);
    }
    let lock = File::create(cache.join(format!("{name}.lock")))
        .context("cannot make a lock file in the cache")?;
    lock.lock().context("cannot lock the cache")?;
    if dir.is_dir() {
        return Ok(dir);
    }
    tracing::info!(artifact = name, dir = %dir.display(), "downloading");
    let partial = cache.join(format!("{name}.partial"));
    if partial.exists() {
        std::fs::remove_dir_all(&partial).context("cannot remove an unfinished download")?;
    }
    crate::fs::make_dir(&partial)?;
    fill(&partial)?;
    std::fs::rename(&partial, &dir)
        .with_context(|| format!("cannot complete {}", dir.display()))?;
    Ok(dir)
}

/// The `bin` directory of PostgreSQL `version`: this machine's package, or the cache's.
pub(crate) fn postgres_bin(version: u16) -> anyhow::Result<PathBuf> {
    let packaged = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    if packaged.join("postgres").is_file() {
        return Ok(packaged);
    }
    let Some((_, release, sha256)) = POSTGRES.iter().find(|(major, _, _)| *major == version) else {
        anyhow::bail!(
            "PostgreSQL {version} is neither installed below /usr/lib/postgresql nor known for {PLATFORM}; install postgresql-{version}"
        );
    };
    let dir = cached(&format!("postgres-{release}-{PLATFORM}"), |dir| {
        fetch_postgres(dir, release, sha256)
    })?;
    Ok(dir.join("bin"))
}

fn fetch_postgres(dir: &Path, release: &str, sha256: &str) -> anyhow::Result<()> {
    let name = format!("embedded-postgres-binaries-{PLATFORM}");
    let download = dir.join("download");
    maven_copy(&format!("io.zonky.test.postgres:{name}:{release}"), &download)?;
    let jar = download.join(format!("{name}-{release}.jar"));
    verify(&jar, sha256)?;
    run(Command::new("unzip").arg("-q").arg(&jar).arg("-d").arg(&download))?;
    let archive = std::fs::read_dir(&download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "txz"))
        .with_context(|| format!("{} holds no .txz", jar.display()))?;
    // Every user may read them, because under root another user runs these binaries.
    run(Command::new("tar").arg("--no-same-owner").arg("-xJf").arg(&archive).arg("-C").arg(dir))?;
    std::fs::remove_dir_all(&download).context("cannot remove a download that was unpacked")
}

/// The directory of Kafka's jars.
pub(crate) fn kafka_libs() -> anyhow::Result<PathBuf> {
    let dir = cached(&format!("kafka-{KAFKA_VERSION}"), |dir| {
        fetch_jars(dir, &pom("kafka", &kafka_artifacts()), "kafka-jars.sha256", KAFKA_JARS)
    })?;
    Ok(dir.join("libs"))
}

/// JMeter's home, with `bin` and `libs`. The directories in which JMeter looks for plugins are empty.
pub(crate) fn jmeter_home() -> anyhow::Result<PathBuf> {
    cached(&format!("jmeter-{JMETER_VERSION}"), |dir| {
        fetch_jars(dir, &pom("jmeter", &jmeter_artifacts()), "jmeter-jars.sha256", JMETER_JARS)?;
        for plugins in ["lib/ext", "lib/junit"] {
            crate::fs::make_dir(&dir.join(plugins))?;
        }
        let config = dir.join("libs").join(format!("ApacheJMeter_config-{JMETER_VERSION}.jar"));
        run(Command::new("unzip").arg("-q").arg(&config).arg("bin/*").arg("-d").arg(dir))
    })
}

/// Fills `libs` below `dir` with the dependencies of a project, and checks them against their manifest.
fn fetch_jars(dir: &Path, pom: &str, manifest: &str, jars: &str) -> anyhow::Result<()> {
    let project = dir.join("pom.xml");
    crate::fs::write(&project, pom)?;
    let libs = dir.join("libs");
    let goal = dependency_plugin("copy-dependencies");
    maven(&[&goal, &format!("-DoutputDirectory={}", libs.display())], Some(&project))?;
    verify_jars(&libs, manifest, jars)
}

/// Checks each jar against the manifest, and that there is none besides.
fn verify_jars(libs: &Path, manifest: &str, jars: &str) -> anyhow::Result<()> {
    let mut expected = 0;
    for line in jars.lines() {
        let (sha256, name) = line
            .split_once("  ")
            .with_context(|| format!("malformed line in {manifest}: {line}"))?;
        verify(&libs.join(name), sha256)?;
        expected += 1;
    }
    let found = std::fs::read_dir(libs)?.count();
    anyhow::ensure!(
        found == expected,
        "{} holds {found} files, but {manifest} lists {expected}",
        libs.display()
    );
    Ok(())
}

/// The directory that holds Debezium's PostgreSQL connector, for `plugin.path`.
pub(crate) fn debezium_plugin() -> anyhow::Result<PathBuf> {
    plugin("postgres", DEBEZIUM_POSTGRES_SHA256)
}

/// The directory that holds Debezium's JDBC sink, for `plugin.path`.
pub(crate) fn debezium_jdbc_plugin() -> anyhow::Result<PathBuf> {
    plugin("jdbc", DEBEZIUM_JDBC_SHA256)
}

fn plugin(kind: &str, sha256: &str) -> anyhow::Result<PathBuf> {
    cached(&format!("debezium-{kind}-{DEBEZIUM_VERSION}"), |dir| {
        let download = dir.join("download");
        let name = format!("debezium-connector-{kind}");
        maven_copy(&format!("io.debezium:{name}:{DEBEZIUM_VERSION}:tar.gz:plugin"), &download)?;
        let archive = download.join(format!("{name}-{DEBEZIUM_VERSION}-plugin.tar.gz"));
        verify(&archive, sha256)?;
        run(Command::new("tar")
            .arg("--no-same-owner")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(dir))?;
        std::fs::remove_dir_all(&download).context("cannot remove a download that was unpacked")
    })
}

/// Fills the cache with what the demo and the tests need; with `all`, with every version of PostgreSQL.
pub fn fetch_all(all: bool) -> anyhow::Result<()> {
    for (version, _, _) in POSTGRES {
        if all || version == 15 || version == 18 {
            tracing::info!(version, dir = %postgres_bin(version)?.display(), "postgresql is there");
        }
    }
    tracing::info!(version = KAFKA_VERSION, dir = %kafka_libs()?.display(), "kafka is there");
    if all {
        tracing::info!(version = DEBEZIUM_VERSION, dir = %debezium_plugin()?.display(), "debezium is there");
        tracing::info!(version = JMETER_VERSION, dir = %jmeter_home()?.display(), "jmeter is there");
    }
    Ok(())
}

fn verify(file: &Path, sha256: &str) -> anyhow::Result<()> {
    // A download is some ten megabytes, so it is read whole.
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = hex::encode(Sha256::digest(&bytes));
    anyhow::ensure!(
        found == sha256,
        "{} has SHA-256 {found}, but {sha256} is expected; it is not used",
        file.display()
    );
    Ok(())
}

fn maven_copy(artifact: &str, dir: &Path) -> anyhow::Result<()> {
    maven(
        &[
            &dependency_plugin("copy"),
            &format!("-Dartifact={artifact}"),
            &format!("-DoutputDirectory={}", dir.display()),
        ],
        None,
    )
}

/// Runs Maven, one process at a time, because two processes that fill its local repository at once can damage it.
fn maven(args: &[&str], pom: Option<&Path>) -> anyhow::Result<()> {
    let lock = File::create(cache()?.join("maven.lock"))
        .context("cannot make a lock file in the cache")?;
    lock.lock().context("cannot lock the cache")?;
    let mut attempt = 1;
    loop {
        let mut command = Command::new("mvn");
        // -U: Maven asks for a failed download again instead of remembering the failure.
        command.args(["--quiet", "--batch-mode", "-U"]);
        if let Some(pom) = pom {
            command.arg("--file").arg(pom);
        }
        match run(command.args(args).current_dir(std::env::temp_dir())) {
            Err(err) if attempt < MAVEN_ATTEMPTS => {
                tracing::warn!(attempt, error = %err, "maven failed; trying again");
                std::thread::sleep(MAVEN_PAUSE * attempt);
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// A goal of the plugin that copies artifacts, in one version whatever machine this is.
fn dependency_plugin(goal: &str) -> String {
    format!("org.apache.maven.plugins:maven-dependency-plugin:{MAVEN_PLUGIN_VERSION}:{goal}")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}; install it with `make setup`"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // The first lines say what is wrong. The other lines are advice about Maven itself.
    let first: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
    anyhow::bail!("{program} failed: {}", first.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_hash_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.jar");
        std::fs::write(&file, "abc").unwrap();
        verify(&file, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        let err = verify(&file, DEBEZIUM_JDBC_SHA256).unwrap_err().to_string();
        assert!(err.contains("a.jar has SHA-256 ba7816bf") && err.contains("not used"), "{err}");
    }

    #[test]
    fn a_manifest_names_each_jar_once_with_a_whole_hash() {
        for (jars, known) in
            [(KAFKA_JARS, "kafka_2.13-4.3.0.jar"), (JMETER_JARS, "ApacheJMeter_http-5.6.3.jar")]
        {
            let mut names = std::collections::BTreeSet::new();
            for line in jars.lines() {
                let (sha256, name) = line.split_once("  ").unwrap();
                assert_eq!(sha256.len(), 64, "{line}");
                assert!(names.insert(name), "{name} twice");
            }
            assert!(names.contains(known), "{known}");
        }
    }
}
