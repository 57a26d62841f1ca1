//! `booking staff`: lets an account see the reports and edit reference data, or takes that back.

use booking::database::Database;
use booking::staff::{grant, revoke};
use clap::Args;

/// What `booking staff` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Example; the database's URL has a password, so it is in the environment, which other users cannot read:
  export BOOKING_OWNER_URL
  read -rs BOOKING_OWNER_URL      # postgres://owner:password@db.example/airline_tickets
  booking staff --grant ann@example.org

The account is one that signed up on the pages or by the interface.")]
pub(super) struct StaffArgs {
    /// The database as the owner of schema service: the role of the service may not do this
    #[arg(long, env = "BOOKING_OWNER_URL", hide_env_values = true)]
    database_url: String,

    /// E-mail address of the account that may see the reports, and edit airports and aircraft models, from now on
    #[arg(
        long,
        value_name = "EMAIL",
        required_unless_present = "revoke",
        conflicts_with = "revoke"
    )]
    grant: Option<String>,

    /// E-mail address of the account that may no longer
    #[arg(long, value_name = "EMAIL")]
    revoke: Option<String>,
}

impl StaffArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let database: Database = self.database_url.parse()?;
        if let Some(email) = &self.grant {
            grant(&database, email).await?;
            println!("the account is staff now");
        }
        if let Some(email) = &self.revoke {
            let had = revoke(&database, email).await?;
            println!("the account {}", if had { "is no longer staff" } else { "was no staff" });
        }
        Ok(())
    }
}
