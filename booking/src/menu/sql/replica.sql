-- What a replica says of itself. $1 is the end of the primary's WAL, or NULL when the primary does not answer.
-- The last three are NULL when there is nothing to tell them by.
SELECT pg_is_in_recovery() AS in_recovery,
       pg_get_wal_replay_pause_state() AS replay_state,
       pg_last_wal_replay_lsn()::text AS replay_lsn,
       pg_wal_lsn_diff($1::text::pg_lsn, pg_last_wal_replay_lsn())::bigint AS behind_bytes,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint AS unreplayed_bytes,
       pg_last_xact_replay_timestamp() AS replayed_at
