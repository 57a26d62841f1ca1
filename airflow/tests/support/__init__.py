"""What the tests share: the servers, the source computed anew, runs of DAGs."""
