-- The replica applies what it has received meanwhile.
SELECT pg_wal_replay_resume()
