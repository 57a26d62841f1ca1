-- What the primary knows of each replica that is connected: how far behind the end of its WAL it is, in bytes and in time.
-- A time is NULL while there was nothing to measure lately.
SELECT application_name AS name,
       state,
       sync_state,
       pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn)::bigint AS sent_bytes,
       pg_wal_lsn_diff(pg_current_wal_lsn(), write_lsn)::bigint AS write_bytes,
       pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)::bigint AS flush_bytes,
       pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS replay_bytes,
       extract(epoch FROM write_lag)::double precision AS write_seconds,
       extract(epoch FROM flush_lag)::double precision AS flush_seconds,
       extract(epoch FROM replay_lag)::double precision AS replay_seconds
FROM pg_stat_replication
