"""Statements that write, reach files, other sessions or settings on Postgres, or hide that they do."""

from __future__ import annotations

__all__ = ["ATTACKS", "HARMLESS", "OF_READER", "OF_SUPERUSER", "TOO_MUCH", "UNDONE"]

#: Refused for everyone, whatever the rights of the role.
ATTACKS = [
    "INSERT INTO runs SELECT * FROM runs",
    "DELETE FROM runs",
    "UPDATE runs SET scale = 'mine'",
    "TRUNCATE runs",
    "DROP TABLE runs",
    "ALTER TABLE runs ADD COLUMN mine text",
    "SELECT 1; DROP TABLE runs",
    "SELECT 1; COMMIT; DELETE FROM runs",
    "SELECT 1; ROLLBACK; BEGIN; DELETE FROM runs; COMMIT",
    "COMMIT",
    "ROLLBACK",
    "WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x",
    "COPY runs TO '/tmp/x'",
    "COPY runs TO PROGRAM 'id'",
    "COPY runs TO STDOUT",
    "COPY runs FROM STDIN",
    "CREATE TEMP TABLE mine (a int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT * INTO mine FROM runs",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SET transaction_read_only = off",
    "SET ROLE owner",
    "RESET ALL",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CALL mine()",
    "PREPARE mine AS SELECT 1",
    "LISTEN mine",
    "LOCK TABLE alembic_version",
    "VACUUM",
    "GRANT ALL ON runs TO PUBLIC",
    "SELECT dblink('x', 'y')",
    "SELECT nextval('x')",
    "SELECT * FROM runs FOR UPDATE",
    "SELECT query_to_xml('DELETE FROM runs', true, true, '')",
    "SELECT 1 \0; DELETE FROM runs",
    "EXPLAIN ANALYZE DELETE FROM runs",
    "EXPLAIN (ANALYZE) DELETE FROM runs",
    "EXPLAIN SELECT 1; DELETE FROM runs",
    "EXPLAIN /* SELECT */ ANALYZE /* */ DELETE FROM runs",
    "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
    "EXPLAIN EXECUTE mine",
    "SHOW data_directory",
    "",
    ";",
]
#: What a superuser may do, or who may become one within a SELECT.
OF_SUPERUSER = [
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT * FROM pg_ls_dir('/')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(lo_from_bytea(0, 'x'), '/tmp/vlmprobe-attack')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'admin' AND pid <> pg_backend_pid()",
    "SELECT query_to_xml('SELECT pg_read_file(''/etc/passwd'')', true, true, '')",
    "SELECT set_config('role', 'admin', true), query_to_xml('SELECT pg_read_file(''/etc/passwd'')', true, true, '')",
    "SELECT set_config('session_authorization', 'admin', true), pg_read_file('/etc/passwd')",
    "SELECT set_config('temp_file_limit', '-1', true)",
    "SELECT set_config('log_min_messages', 'panic', true)",
    "WITH x AS (SELECT pg_read_file('/etc/passwd') AS words) SELECT * FROM x",
    "EXPLAIN ANALYZE SELECT pg_read_file('/etc/passwd')",
    "VALUES (pg_read_file('/etc/passwd'))",
    "COPY (SELECT 1) TO PROGRAM 'id'",
]
#: Refused for the role that may only read: the one that writes owns what it has made, and its own sessions.
OF_READER = [
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'owner' AND pid <> pg_backend_pid()",
    "SELECT * FROM secrets",
]
#: Let through by Postgres in a transaction that only reads; undone with it, or with its session.
UNDONE = ["SELECT lo_from_bytea(0, 'x')", "SELECT pg_notify('a', 'b')", "SELECT pg_advisory_lock(1)"]
#: Stopped in time.
TOO_MUCH = [
    "SELECT pg_sleep(1000)",
    "SELECT count(*) FROM generate_series(1, 1000000000) AS a, generate_series(1, 1000) AS b",
    "SELECT set_config('statement_timeout', '0', true), pg_sleep(1000)",
    "EXPLAIN ANALYZE SELECT pg_sleep(1000)",
    "SELECT repeat(run_id, 300000000) FROM runs, generate_series(1, 10)",
]
#: They only read, and are what people ask.
HARMLESS = [
    "SELECT count(*) FROM runs",
    "SELECT axis, acc_both FROM accuracy",
    "VALUES (1), (2)",
    "TABLE runs",
    "SELECT 1;",
    "SELECT 1 -- at the end",
    "/* first */ SELECT 'DELETE FROM runs; COMMIT' AS words, '50 %' AS share, '$x' AS dollar",
    "WITH x AS (SELECT 1 AS n) SELECT n FROM x",
    "EXPLAIN SELECT count(*) FROM runs",
    "explain (analyze, verbose) SELECT count(*) FROM runs",
]
