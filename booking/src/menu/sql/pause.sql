-- The replica goes on receiving WAL and stops applying it.
SELECT pg_wal_replay_pause()
