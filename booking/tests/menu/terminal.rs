//! The menu in a real terminal: tmux keeps one without a person, types keys and shows what is on the screen.

use std::process::Command;

use devstack::{unique, wait_for};

use super::servers::{PATIENCE, Servers};

/// A terminal of tmux, with a server of tmux's own for this test alone.
struct Screen {
    socket: String,
}

impl Screen {
    /// Runs the menu in a terminal of this size, with these settings before the command.
    fn open(servers: &Servers, settings: &str) -> Self {
        let screen = Self { socket: unique("booking_menu") };
        let mut words = vec!["new-session", "-d", "-x", "110", "-y", "32"];
        let variables = servers.variables().map(|(name, value)| format!("{name}={value}"));
        for variable in &variables {
            words.extend(["-e", variable]);
        }
        let menu = env!("CARGO_BIN_EXE_booking");
        let command = format!("{settings} {menu} menu; echo ended with $?; exec sleep 600");
        words.push(&command);
        screen.tmux(&words);
        screen
    }

    /// A command of tmux; gives what it prints.
    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-f", "/dev/null", "-L", &self.socket])
            .args(words)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .output()
            .unwrap_or_else(|err| {
                panic!("tmux cannot be run ({err}); scripts/setup.sh test installs it")
            });
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types keys by tmux's names.
    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "0"], keys].concat());
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "0"])
    }

    /// With the escape sequences of colours.
    fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e", "-t", "0"])
    }

    /// Waits until all these texts are on the screen, and gives it.
    #[track_caller]
    fn wait_for(&self, texts: &[&str]) -> String {
        wait_for(PATIENCE, &format!("{texts:?} on the screen"), || {
            let screen = self.text();
            let missing = texts.iter().find(|text| !screen.contains(**text));
            match missing {
                None => Ok(Some(screen)),
                Some(text) => Err(format!("no '{text}' in\n{screen}")),
            }
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

const QUESTION: &str = "What shall be done?";

/// Leaves the screens of a run, for whoever sets VAULTSTREAM_SCREENS to a file.
fn keep(heading: &str, screen: &str) {
    use std::io::Write as _;
    if let Some(file) = std::env::var_os("VAULTSTREAM_SCREENS") {
        let mut file = std::fs::File::options().create(true).append(true).open(file).unwrap();
        writeln!(file, "## {heading}\n\n{}\n", screen.trim_end()).unwrap();
    }
}

#[tokio::test]
async fn a_terminal_shows_a_paused_and_a_stopped_replica() {
    let mut servers = Servers::start(15).await;
    servers.replay_a_commit();
    let screen = Screen::open(&servers, "TERM=xterm-256color");
    let first = screen.wait_for(&[QUESTION, "replica_two  answers  running  0 B"]);
    assert!(first.contains(">  1  Book a flight"), "{first}");
    assert!(screen.coloured().contains("\u{1b}[32m"), "no colours");

    // By arrows: the seventh line pauses, and the second of the next list is the second replica.
    screen.press(&["Down"; 6]);
    screen.wait_for(&[">  7  Pause a replica"]);
    screen.press(&["Enter"]);
    screen.wait_for(&["Which server", ">  1  replica_one"]);
    screen.press(&["Down", "Enter"]);
    screen.wait_for(&["replica_two is paused", "Press a key"]);
    screen.press(&["Space"]);

    // By number, and a line of text.
    screen.wait_for(&[QUESTION, "replica_two  answers  paused"]);
    screen.press(&["1", "Enter"]);
    screen.wait_for(&["Name of the passenger ["]);
    screen.press(&["IDA EXAMPLE", "Enter"]);
    screen.wait_for(&["Booked ", "IDA EXAMPLE", "Press a key"]);
    screen.press(&["Space"]);
    let behind = wait_for(PATIENCE, "the paused replica to be behind", || {
        let text = screen.text();
        let row = text.lines().find(|line| line.starts_with("replica_two"))?;
        (row.contains("paused") && row.contains("at most")).then_some(text)
    });
    keep("A paused replica", &behind);
    screen.press(&["6", "Enter"]);
    keep("Its lag", &screen.wait_for(&["What the primary keeps", "Press a key"]));
    screen.press(&["Space"]);

    // What happens elsewhere is seen here.
    screen.wait_for(&[QUESTION]);
    servers.stop_two();
    keep("A stopped replica", &screen.wait_for(&["replica_two  unreachable"]));
    servers.start_two();
    wait_for(PATIENCE, "the replica to be back on the screen", || {
        screen
            .text()
            .lines()
            .any(|line| line.starts_with("replica_two") && line.contains("running"))
    });
    screen.press(&["q"]);
    screen.wait_for(&["ended with 0"]);
}

#[tokio::test]
async fn no_color_is_honoured_and_ctrl_c_restores_the_terminal() {
    let servers = Servers::start(15).await;
    let screen = Screen::open(&servers, "TERM=xterm-256color NO_COLOR=1");
    screen.wait_for(&[QUESTION, "replica_two  answers  running"]);
    let coloured = screen.coloured();
    for code in ["\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m"] {
        assert!(!coloured.contains(code), "{coloured:?}");
    }
    screen.press(&["C-c"]);
    screen.wait_for(&["ended with 130"]);

    let dumb = Screen::open(&servers, "TERM=dumb");
    dumb.wait_for(&["  0  Leave"]);
    dumb.press(&["q", "Enter"]);
    dumb.wait_for(&["> q", "ended with 0"]);
}
