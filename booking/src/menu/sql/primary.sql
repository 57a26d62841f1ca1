-- Where the primary is, by its own clock, and whom its commits wait for.
SELECT clock_timestamp() AS now,
       pg_current_wal_lsn()::text AS lsn,
       current_setting('synchronous_standby_names') AS standby_names
