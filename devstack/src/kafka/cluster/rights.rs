//! Rights of a user: which operations on which topics and groups.
//!
//! In: operations and names. Out: arguments of Kafka's program for rules of access.

/// Operations that a user is allowed on resources. One right names resources that all know these operations.
#[derive(Debug, Clone)]
pub struct Right {
    operations: Vec<String>,
    resources: Vec<String>,
    is_prefix: bool,
}

impl Right {
    /// Operations such as `Read`, `Write`, `Describe`, on nothing yet.
    #[must_use]
    pub fn to(operations: &[&str]) -> Self {
        let operations = operations.iter().map(|&operation| operation.to_owned()).collect();
        Self { operations, resources: Vec::new(), is_prefix: false }
    }

    /// On a topic; `*` is every topic.
    #[must_use]
    pub fn topic(self, name: &str) -> Self {
        self.on(&["--topic", name])
    }

    /// On a consumer group; `*` is every group.
    #[must_use]
    pub fn group(self, name: &str) -> Self {
        self.on(&["--group", name])
    }

    /// On the cluster.
    #[must_use]
    pub fn cluster(self) -> Self {
        self.on(&["--cluster"])
    }

    /// The names of topics and groups are beginnings of names.
    #[must_use]
    pub fn prefixed(mut self) -> Self {
        self.is_prefix = true;
        self
    }

    fn on(mut self, resource: &[&str]) -> Self {
        self.resources.extend(resource.iter().map(|&word| word.to_owned()));
        self
    }

    /// The arguments that allow it to a user.
    pub(super) fn arguments(&self, user: &str) -> Vec<String> {
        let mut arguments = vec!["--add".to_owned(), "--allow-principal".to_owned()];
        arguments.push(format!("User:{user}"));
        for operation in &self.operations {
            arguments.extend(["--operation".to_owned(), operation.clone()]);
        }
        arguments.extend(self.resources.iter().cloned());
        if self.is_prefix {
            arguments.extend(["--resource-pattern-type", "prefixed"].map(str::to_owned));
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_names_the_user_each_operation_and_each_resource() {
        let right = Right::to(&["Read", "Describe"]).topic("airline.").group("loader").prefixed();
        assert_eq!(
            right.arguments("loader").join(" "),
            "--add --allow-principal User:loader --operation Read --operation Describe --topic airline. \
             --group loader --resource-pattern-type prefixed"
        );
        let right = Right::to(&["Describe"]).cluster();
        assert!(right.arguments("o").join(" ").ends_with("--operation Describe --cluster"));
    }
}
