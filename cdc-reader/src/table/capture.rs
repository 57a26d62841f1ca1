//! A captured table with its plan and its topic, ready to write its rows.

use std::sync::Arc;

use crate::context::Context;
use crate::envelope::{PlanError, TableInfo, TablePlan};

/// A table's plan and the topic's name, shared with the records that wait.
pub(crate) struct Capture {
    pub(crate) plan: TablePlan,
    pub(crate) topic: Arc<str>,
}

impl Capture {
    /// Compiles a table's plan, and reports which columns are left out of it.
    ///
    /// # Errors
    /// When the table cannot be captured.
    pub(crate) fn compile(context: &Context, table: TableInfo) -> Result<Self, PlanError> {
        let plan = TablePlan::new(table, &context.plan_options())?;
        context.observer.columns_left_out(&plan.table().display(), plan.left_out());
        Ok(Self { topic: Arc::from(plan.topic()), plan })
    }
}
