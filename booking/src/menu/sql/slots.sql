-- How much WAL the primary keeps for each replica, and how much more it would keep.
SELECT slot_name::text AS name,
       active,
       coalesce(wal_status, 'unreserved') AS wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS kept_bytes,
       safe_wal_size AS left_bytes
FROM pg_replication_slots
WHERE slot_type = 'physical'
