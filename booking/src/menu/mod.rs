//! A menu over a primary and its read replicas: write on the one, read from all, and see what replication does.
//!
//! In: addresses of the servers, choices by line or by key. Out: what the servers answered, told in sentences and
//! tables.
//!
//! Data flows downward: `statement` SQL from files, `server` one connection that may come and go, `fleet` all of them,
//! `report` what is told, `lag` figures, `commit` whom commits wait for, `desk` writes, `look` reads, `steer` pause and
//! refusal, `choice` the list, `pipe` and `terminal` the two ways to talk.
//!
//! What a server does or refuses is a result, also when it does not answer: the menu is for looking at that. Two things
//! are failures: a primary that does not answer at the start, because then an address or a password is wrong; and, in a
//! pipe, a line that is no answer to what is asked, because then the script is wrong.

mod choice;
mod commit;
mod desk;
mod fleet;
mod lag;
mod look;
mod pipe;
mod report;
mod server;
mod statement;
mod steer;
mod terminal;

use std::io;

pub use fleet::{MenuOptions, Operator};
pub use server::{NoServerName, ServerName};

use choice::Choice;
use commit::{Awaited, LEVELS, await_replicas};
use fleet::Fleet;
use lag::{Standing, primary_stand};
use pipe::{Answer, Pipe};
use report::Report;
use server::Trouble;
use steer::{Replay, try_write, turn};
use terminal::Terminal;

/// How the menu talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Lines in, lines out.
    Pipe,
    /// Screens and keys.
    Terminal,
}

/// Why the menu has ended otherwise than by being left.
#[derive(Debug, thiserror::Error)]
pub enum MenuError {
    /// The primary does not answer at the start.
    #[error("the menu needs the primary: {0}")]
    Primary(String),
    /// Lines of a pipe that mean nothing.
    #[error("of the input, {0} answers were none of the choices, or missing at its end")]
    Nonsense(usize),
    /// Standard input or output.
    #[error("cannot talk to the terminal")]
    Io(#[from] io::Error),
}

/// Opens the menu and returns when it is left.
pub async fn menu(options: MenuOptions, manner: Manner) -> Result<(), MenuError> {
    let show_sql = options.show_sql;
    let mut fleet = Fleet::new(options);
    primary_stand(&mut fleet.primary)
        .await
        .map_err(|trouble: Trouble| MenuError::Primary(trouble.to_string()))?;
    let title = format!("A primary and {} read replicas", fleet.replicas.len());
    let talk = match manner {
        Manner::Pipe => Talk::Pipe(Pipe::new(title)),
        Manner::Terminal => Talk::Terminal(Terminal::new(title)),
    };
    let mut menu = Menu { fleet, talk, show_sql, nonsense: 0 };
    menu.run().await?;
    match menu.nonsense {
        0 => Ok(()),
        count => Err(MenuError::Nonsense(count)),
    }
}

enum Talk {
    Pipe(Pipe),
    Terminal(Terminal),
}

struct Menu {
    fleet: Fleet,
    talk: Talk,
    show_sql: bool,
    /// Answers in a pipe that were none.
    nonsense: usize,
}

impl Menu {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let choice = match &mut self.talk {
                Talk::Terminal(terminal) => terminal.choose(&mut self.fleet).await?,
                Talk::Pipe(pipe) => match pipe.choose()? {
                    Answer::Given(choice) => choice,
                    Answer::Ended => Choice::Leave,
                    Answer::Nonsense => {
                        self.nonsense += 1;
                        continue;
                    }
                },
            };
            if choice == Choice::Leave {
                return match &mut self.talk {
                    Talk::Terminal(terminal) => terminal.leave(),
                    Talk::Pipe(_) => Ok(()),
                };
            }
            self.fleet.forget();
            let mut report = Report::default();
            if self.perform(choice, &mut report).await?.is_none() {
                continue;
            }
            if self.show_sql {
                self.fleet.show_sql(&mut report);
            }
            match &mut self.talk {
                Talk::Pipe(pipe) => pipe.show(&report)?,
                Talk::Terminal(terminal) => terminal.show(choice.label(), &report).await?,
            }
        }
    }

    /// Asks what a choice needs to know, and does it. Nothing when an answer was not given.
    async fn perform(&mut self, choice: Choice, report: &mut Report) -> io::Result<Option<()>> {
        match choice {
            Choice::Book | Choice::BookAndRead => {
                let proposal = desk::some_name();
                let Some(name) = self.ask("Name of the passenger", &proposal).await? else {
                    return Ok(None);
                };
                if choice == Choice::Book {
                    desk::book(&mut self.fleet, &name, report).await;
                } else {
                    look::book_and_read(&mut self.fleet, &name, report).await;
                }
            }
            Choice::Rename => {
                let Some(book_ref) = self.book_ref().await? else { return Ok(None) };
                let Some(name) = self.ask("New name", &desk::some_name()).await? else {
                    return Ok(None);
                };
                desk::rename(&mut self.fleet, &book_ref, &name, report).await;
            }
            Choice::Cancel => {
                let Some(book_ref) = self.book_ref().await? else { return Ok(None) };
                desk::cancel(&mut self.fleet, &book_ref, report).await;
            }
            Choice::Compare => look::compare(&mut self.fleet, report).await,
            Choice::Lag => Standing::measure(&mut self.fleet).await.details(report),
            Choice::ToggleSql => {
                self.show_sql = !self.show_sql;
                report.plain(if self.show_sql { "SQL is shown." } else { "SQL is hidden." });
            }
            Choice::Awaited | Choice::Level => return self.choose_commits(choice, report).await,
            Choice::Newest | Choice::Pause | Choice::Resume | Choice::TryWrite => {
                return self.choose_server(choice, report).await;
            }
            Choice::Leave => {}
        }
        Ok(Some(()))
    }

    /// The choices that ask for a server.
    async fn choose_server(
        &mut self,
        choice: Choice,
        report: &mut Report,
    ) -> io::Result<Option<()>> {
        let names = match choice {
            Choice::Newest => self.fleet.names(),
            _ => self.fleet.replica_names(),
        };
        let list: Vec<String> = names.iter().map(ToString::to_string).collect();
        let Some(place) = self.pick("Which server", &list).await? else { return Ok(None) };
        let (name, fleet) = (&names[place], &mut self.fleet);
        match choice {
            Choice::Pause => turn(fleet, name, Replay::Pause, report).await,
            Choice::Resume => turn(fleet, name, Replay::Resume, report).await,
            Choice::TryWrite => try_write(fleet, name, report).await,
            _ => look::newest(fleet, name, report).await,
        }
        Ok(Some(()))
    }

    /// The choices about commits.
    async fn choose_commits(
        &mut self,
        choice: Choice,
        report: &mut Report,
    ) -> io::Result<Option<()>> {
        if choice == Choice::Awaited {
            let names = self.fleet.replica_names();
            let all = Awaited::all(&names);
            let list: Vec<String> = all.iter().map(|awaited| awaited.label(&names)).collect();
            let Some(place) = self.pick("Every commit waits for", &list).await? else {
                return Ok(None);
            };
            await_replicas(&mut self.fleet, &all[place], report).await;
        } else {
            let list = LEVELS.map(|(level, what)| format!("{level}: {what}"));
            let Some(place) = self.pick("The menu's commits wait for", &list).await? else {
                return Ok(None);
            };
            self.fleet.commit_level = LEVELS[place].0;
            report.good(format!("From now on the menu's commits wait for {}.", LEVELS[place].1));
        }
        Ok(Some(()))
    }

    async fn book_ref(&mut self) -> io::Result<Option<String>> {
        let given = self.ask("Booking reference", "").await?;
        Ok(given.map(|text| text.to_uppercase()).filter(|text| !text.is_empty()))
    }

    async fn ask(&mut self, question: &str, proposal: &str) -> io::Result<Option<String>> {
        match &mut self.talk {
            Talk::Terminal(terminal) => terminal.ask(question, proposal).await.map(Some),
            Talk::Pipe(pipe) => {
                let answer = pipe.ask(question, proposal)?;
                Ok(self.given(answer))
            }
        }
    }

    async fn pick(&mut self, question: &str, list: &[String]) -> io::Result<Option<usize>> {
        match &mut self.talk {
            Talk::Terminal(terminal) => {
                let picked = terminal.pick(&mut self.fleet, question, list).await?;
                // What the screen asked meanwhile is not what the choice does.
                self.fleet.forget();
                Ok(picked)
            }
            Talk::Pipe(pipe) => {
                let answer = pipe.pick(question, list)?;
                Ok(self.given(answer))
            }
        }
    }

    /// What was given; counts what was not.
    fn given<T>(&mut self, answer: Answer<T>) -> Option<T> {
        match answer {
            Answer::Given(value) => Some(value),
            Answer::Nonsense | Answer::Ended => {
                self.nonsense += 1;
                None
            }
        }
    }
}
