"""``vlmprobe sql`` on Postgres reads our tables and does nothing else, whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import DatabaseError, UsageError, VlmprobeError
from vlmprobe.store.ad_hoc import ask
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.postgres_sandbox import _answer
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.roles import grant_reader

from ..attacks import ATTACKS as OF_DUCKDB
from .attacks import ATTACKS, HARMLESS, OF_READER, OF_SUPERUSER, TOO_MUCH, UNDONE

if TYPE_CHECKING:
    from pathlib import Path

    from ...postgres_server import Server

PEOPLE = ("owner", "reader", "admin", "heir", "signals")
#: Whose SQL is not run at all: a superuser's, that of who may become one, and of who may end others' sessions.
MIGHTY = PEOPLE[2:]
EACH = [pytest.param("owner", marks=pytest.mark.full), "reader"]
EVERYTHING = """
SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc),
    (SELECT count(*) FROM pg_largeobject_metadata), (SELECT min(scale) FROM runs)
"""


@pytest.fixture(scope="module")
def target(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make one run, a table that is not ours, and a role that may only read."""
    url = postgres.migrated()
    store = PostgresStore(url, home=tmp_path_factory.mktemp("target"))
    name = url.rpartition("/")[2]
    postgres.run(
        "CREATE TABLE secrets (value text)",
        "INSERT INTO datasets VALUES ('d', 'bench', 'p', 'f', '{}', 0, NULL, now())",
        "INSERT INTO runs (run_id, run_key, dataset_id, template, family, scale, checkpoint, status, provenance, "
        "created_at, updated_at) VALUES ('r1', 'k', 'd', 'published', 'tiny', '2m', 'c', 'complete', 'extracted', "
        "now(), now())",
        database=name,
    )
    grant_reader(store, "reader")
    roles = {row[0] for row in postgres.run("SELECT rolname FROM pg_roles")}
    if "heir" not in roles:
        postgres.run(
            "CREATE ROLE heir LOGIN",
            "GRANT admin TO heir",
            "CREATE ROLE signals LOGIN",
            "GRANT pg_signal_backend TO signals",
            user="admin",
        )
    admin = PostgresStore(postgres.url(name, "admin"), home=store.places.home)
    for role in ("heir", "signals"):
        grant_reader(admin, role)
    admin.close()
    yield (
        store,
        {who: postgres.url(name, who) for who in PEOPLE},
        lambda: postgres.run(EVERYTHING, database=name),
    )
    store.close()


def answer(target: Any, who: str, sql: str, **limits: Any) -> dict[str, Any]:
    """Ask without a process of its own."""
    store, urls, _ = target
    request = {
        "url": urls[who],
        "name": store.name,
        "sql": sql,
        "parameters": None,
        "max_rows": 100,
        "timeout_s": 1.0,
    }
    return _answer(request | limits)


@pytest.mark.parametrize("who", EACH)
def test_what_does_anything_but_read_is_refused(target: Any, who: str) -> None:
    """Nothing is there afterwards that was not before."""
    before = target[2]()
    for sql in [*ATTACKS, *OF_SUPERUSER, *(OF_READER if who == "reader" else [])]:
        reply = answer(target, who, sql)
        assert "error" in reply, sql
        assert "hunter2" not in str(reply), sql
    for sql in UNDONE:
        answer(target, who, sql)
    assert target[2]() == before


@pytest.mark.parametrize("who", MIGHTY)
def test_nothing_is_run_for_a_role_that_may_do_more_than_read_and_write(target: Any, who: str) -> None:
    """A SELECT could take its other rights back, whatever we gave up before; one line says what to do."""
    before = target[2]()
    for sql in [*ATTACKS, *OF_SUPERUSER, *OF_READER, *UNDONE, *HARMLESS]:
        reply = answer(target, who, sql)
        assert reply.keys() == {"kind", "error"}, sql
        assert "db grant-reader NAME" in reply["error"], sql
        assert "hunter2" not in reply["error"], sql
    assert target[2]() == before
    # Our own statement, with values that are written into it as literals.
    own = answer(
        target, who, "SELECT count(*) AS n FROM runs WHERE scale = $scale", parameters={"scale": "2m"}
    )
    assert own["rows"] == [[1]]


@pytest.mark.full
@pytest.mark.parametrize("who", PEOPLE[:2])
def test_those_of_duckdb_are_refused_as_well(target: Any, who: str) -> None:
    """Most are no SQL to Postgres; a nested comment that hides what follows from DuckDB hides it here, too."""
    before = target[2]()
    for sql in OF_DUCKDB:
        try:
            sql.encode()
        except UnicodeEncodeError:
            continue
        reply = answer(target, who, sql)
        assert "error" in reply or reply["rows"][0][0] == 1 or reply["columns"] == ["QUERY PLAN"], sql
    assert target[2]() == before


@pytest.mark.full
def test_duckdb_refuses_those_of_postgres(tmp_path: Path, empty_database: Path) -> None:
    """One list for both would only be as good as the shorter one."""
    from ..test_sandbox_attacks import _ask

    for sql in ATTACKS:
        assert "error" in _ask(empty_database, sql), sql


@pytest.mark.parametrize("who", EACH)
def test_what_reads_is_answered(target: Any, who: str) -> None:
    """With comments, a semicolon at its end, or words of SQL in a text."""
    for sql in HARMLESS:
        assert answer(target, who, sql).get("rows") is not None, (sql, answer(target, who, sql))
    (row,) = answer(target, who, HARMLESS[6])["rows"]
    assert row == ["DELETE FROM runs; COMMIT", "50 %", "$x"]


@pytest.mark.parametrize("who", EACH)
@pytest.mark.parametrize(
    "sql", [pytest.param(sql, marks=pytest.mark.full if n else []) for n, sql in enumerate(TOO_MUCH)]
)
def test_what_takes_too_much_is_stopped(target: Any, who: str, sql: str) -> None:
    """By the server's clock, or with the child."""
    store, urls, _ = target
    with pytest.raises(VlmprobeError, match=r"longer than 1 s|select less|larger than"):
        ask(store, sql, reader_url=urls[who], timeout_s=1)


def test_an_answer_has_its_limits_names_and_types(target: Any) -> None:
    """As from DuckDB: at most so many rows, every column a name of its own, JSON's types."""
    store, urls, _ = target
    table = ask(
        store,
        "SELECT n, n AS n, n * 1000000000000 AS big, sum(n) OVER () AS total, n / 2.0 AS half, now()::date AS day "
        "FROM generate_series(1, 5) AS n",
        reader_url=urls["reader"],
        max_rows=2,
    )
    assert table.columns == ("n", "n_1", "big", "total", "half", "day")
    assert table.truncated
    assert [row[:5] for row in table.rows] == [(1, 1, 10**12, 15, 0.5), (2, 2, 2 * 10**12, 15, 1.0)]
    assert isinstance(table.rows[0][5], str)


def test_the_role_may_only_read_our_tables(target: Any, postgres: Server) -> None:
    """It cannot even keep writers waiting, since it cannot take their lock; its store knows that it only reads."""
    import psycopg

    store, urls, _ = target
    reader = PostgresStore(urls["reader"], home=store.places.home)
    assert not reader.is_writable
    with reader.transaction() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM runs").scalar() == 1
    reader.close()
    with psycopg.connect(urls["reader"]) as session:
        session.execute("SET TRANSACTION READ WRITE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE")


def test_making_it_again_changes_nothing(target: Any, tmp_path: Path) -> None:
    """After an upgrade it grants what is new. A DuckDB file has no roles, and a name is no SQL."""
    (note,) = grant_reader(target[0], "reader")
    assert note.startswith("only a superuser can limit its temporary files")
    admin = PostgresStore(target[1]["admin"], home=tmp_path)
    assert grant_reader(admin, "reader") == []
    admin.close()
    with pytest.raises(UsageError, match="has no roles"):
        grant_reader(DuckDBStore(tmp_path / "x.duckdb"), "reader")
    with pytest.raises(UsageError, match="no name for a role"):
        grant_reader(target[0], 'x"; DROP TABLE runs; --')


def test_a_role_without_the_right_is_told_whom_to_ask(target: Any) -> None:
    """In one line, without a password."""
    store, urls, _ = target
    reader = PostgresStore(urls["reader"], home=store.places.home)
    with pytest.raises(DatabaseError, match="ask its owner") as raised:
        grant_reader(reader, "reader")
    assert "hunter2" not in str(raised.value)
