"""The schema: made by migrations, described by models, checked at every start."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import duckdb_sqlalchemy.alembic_impl  # noqa: F401 - registers DuckDB with Alembic
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from vlmprobe.errors import DatabaseError, StaleSchemaError
from vlmprobe.resources import migrations_folder
from vlmprobe.store.checks import run_checks
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.metrics import digest_matches
from vlmprobe.store.migrate import (
    current_revision,
    ensure_schema,
    require_any_schema,
    require_schema,
    upgrade,
)
from vlmprobe.store.queries import load_query
from vlmprobe.store.revision import SCHEMA_REVISION
from vlmprobe.store.rows import fetch_column
from vlmprobe.store.sandbox import run_sql
from vlmprobe.store.schema import Base

from .test_kept_rows import VIEWS, before, check_views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


OLD = Path(__file__).parents[1] / "databases"
#: Views that revision 0008 must leave as they were.
OF_RELEASES = (
    *("accuracy", "accuracy_by_category", "accuracy_by_perspective", "answer_shares", "control_accuracy"),
    *("every_answer_share", "every_pair_answer", "pair_answers"),
)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    return config


def ask(database: DuckDBStore) -> None:
    """Check the schema as ad-hoc SQL does: in its own process."""
    run_sql(database, "SELECT 1")


def _set_revision(database: DuckDBStore, revision: str) -> None:
    with database.transaction() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))


def test_models_and_migrations_say_the_same(database: DuckDBStore) -> None:
    """Alembic finds nothing to change in a migrated file, types and NULLs included."""
    with database.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_revision_in_the_code_is_the_newest_migration() -> None:
    """Reading commands compare with the constant and so need not import Alembic."""
    assert ScriptDirectory.from_config(_config()).get_current_head() == SCHEMA_REVISION


def _old() -> Iterator[Any]:
    """Name the earlier revisions; the fast tier has the oldest, which goes through all others, and the newest."""
    names = sorted(path.name.partition(".")[0] for path in OLD.glob("*.duckdb.gz"))
    for name in names:
        yield pytest.param(name, marks=() if name in {names[0], names[-1]} else pytest.mark.full)


@pytest.fixture(params=_old())
def old_database(request: pytest.FixtureRequest, tmp_path: Path) -> DuckDBStore:
    """Unpack a database of each earlier revision: two scales of the demo's models, twelve pairs, analyzed."""
    path = tmp_path / "vlmprobe.duckdb"
    path.write_bytes(gzip.decompress((OLD / f"{request.param}.duckdb.gz").read_bytes()))
    return DuckDBStore(path)


def test_every_earlier_revision_is_kept() -> None:
    """A migration comes with a database of the revision before it."""
    revisions = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    assert {path.name.partition(".")[0] for path in OLD.glob("*.duckdb.gz")} == revisions - {SCHEMA_REVISION}


def test_an_old_database_is_refused_with_the_command_that_upgrades_it(old_database: DuckDBStore) -> None:
    """Nothing is upgraded behind a user's back by a command that reads."""
    with pytest.raises(StaleSchemaError, match="vlmprobe db upgrade"):
        ask(old_database)


def test_an_old_database_is_upgraded_and_used(old_database: DuckDBStore) -> None:
    """Its rows are there, its views answer, new columns are NULL, and new rows go in beside them."""
    upgrade(old_database)
    answers = run_sql(old_database, "SELECT scale, n FROM accuracy WHERE axis = 'overall' ORDER BY scale")
    assert answers.rows == (("2m", 12), ("vanilla", 12))
    rows = run_sql(old_database, "SELECT passed, delta_error, plain_delta_error FROM certificates").rows
    assert rows
    assert set(rows) == {(True, None, None)}
    with old_database.transaction() as connection:
        connection.execute(text("UPDATE certificates SET delta_error = 0.25 WHERE batch = 0"))
    assert run_sql(old_database, "SELECT max(delta_error) FROM certificates").rows == ((0.25,),)
    added = run_sql(old_database, "SELECT DISTINCT n_images, method, reason, p_layers FROM metrics").rows
    assert added == ((None, None, None, None),)
    assert run_sql(old_database, "SELECT DISTINCT host FROM shards").rows == ((None,),)
    in_order = """
        SELECT axis, n FROM accuracy LEFT JOIN run_axes USING (run_id, axis)
        WHERE accuracy.scale = '2m' ORDER BY position
    """
    axes = (("horizontal", 4), ("vertical", 4), ("distance", 4), ("overall", 12))
    assert run_sql(old_database, in_order).rows == axes
    with old_database.transaction() as connection:
        for run_id in fetch_column(connection, "SELECT run_id FROM runs"):
            assert digest_matches(connection, run_id)
        assert load_query("checks/pairs_lie_on_axes").table(connection) == []


def test_the_views_of_an_upgraded_database_say_what_its_predictions_say(old_database: DuckDBStore) -> None:
    """Complete runs have kept rows from then on."""
    upgrade(old_database)
    with old_database.transaction() as connection:
        for view in VIEWS:
            connection.execute(text(before(view)))
        assert fetch_column(connection, "SELECT count(*) FROM kept_run_counts") == [2]
        check_views(connection)
        assert [result for result in run_checks(connection) if result.rows] == []


def test_the_newest_upgrade_changes_no_row_of_a_view(tmp_path: Path) -> None:
    """Of a complete run, an interrupted one and a control: names, types, order and bits of the columns."""
    path = tmp_path / "vlmprobe.duckdb"
    path.write_bytes(gzip.decompress((OLD / "0007.duckdb.gz").read_bytes()))
    with duckdb.connect(str(path)) as connection:
        ((run_id,),) = connection.execute("SELECT run_id FROM runs WHERE scale = '2m'").fetchall()
        for name, status, control in (("cut off", "interrupted", None), ("blind", "complete", "grey")):
            changed = f"'{name}' AS run_id, '{name}' AS run_key, '{status}' AS status, $control AS control"
            of_run = {"run_id": run_id}
            connection.execute(
                f"INSERT INTO runs SELECT * REPLACE ({changed}) FROM runs WHERE run_id = $run_id",
                {**of_run, "control": control},
            )
            connection.execute(
                f"INSERT INTO predictions SELECT * REPLACE ('{name}' AS run_id) FROM predictions "
                "WHERE run_id = $run_id",
                of_run,
            )

    def read() -> dict[str, Any]:
        with duckdb.connect(str(path), read_only=True) as connection:
            found = {}
            for view in OF_RELEASES:
                cursor = connection.execute(f"SELECT * FROM {view} ORDER BY ALL")
                found[view] = (cursor.description, repr(cursor.fetchall()))
            return found

    earlier = read()
    assert upgrade(DuckDBStore(path)) == ("0007", SCHEMA_REVISION)
    assert read() == earlier


def test_a_database_can_be_downgraded_to_nothing_and_upgraded_again(database: DuckDBStore) -> None:
    """Every migration has a way back."""
    with database.transaction() as connection:
        command.downgrade(_config(connection), "base")
    with database.transaction() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    assert upgrade(database) == (None, SCHEMA_REVISION)
    require_schema(database)


def test_upgrade_makes_a_new_file_and_leaves_a_current_one_alone(tmp_path: Path) -> None:
    """It tells the revision before and after."""
    database = DuckDBStore(tmp_path / "new.duckdb")
    assert upgrade(database) == (None, SCHEMA_REVISION)
    assert upgrade(database) == (SCHEMA_REVISION, SCHEMA_REVISION)


def test_a_migration_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and version come in one transaction, so the next start begins anew."""
    database = DuckDBStore(tmp_path / "new.duckdb")

    def fail(*_: object, **__: object) -> None:
        raise KeyError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_text", fail)  # views are read after the tables are made
        with pytest.raises(KeyError, match="interrupted"):
            ensure_schema(database)
    with database.transaction() as connection:
        assert current_revision(connection) is None
    ensure_schema(database)


@pytest.mark.parametrize("check", [ensure_schema, require_schema, ask])
def test_a_stale_schema_names_the_command_that_upgrades_it(database: DuckDBStore, check: Any) -> None:
    """Neither a reading nor a writing command touches an old file."""
    _set_revision(database, "0000")
    with pytest.raises(StaleSchemaError) as caught:
        check(database)
    assert str(caught.value) == (
        f"{database.path} has schema 0000, but this vlmprobe needs {SCHEMA_REVISION}; run 'vlmprobe db upgrade'"
    )


@pytest.mark.parametrize("check", [ensure_schema, require_schema, upgrade, ask])
def test_a_newer_schema_asks_for_a_newer_vlmprobe(database: DuckDBStore, check: Any) -> None:
    """``db upgrade`` says so too: it cannot help here."""
    _set_revision(database, "9999")
    with pytest.raises(
        StaleSchemaError, match=r"has schema 9999, newer than this vlmprobe .*; upgrade vlmprobe"
    ):
        check(database)


@pytest.mark.parametrize("check", [ensure_schema, require_schema, upgrade, ask])
def test_someone_elses_database_is_left_alone(tmp_path: Path, check: Any) -> None:
    """The error names a table of theirs; none of ours is added."""
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(str(path)) as theirs:
        theirs.execute("CREATE TABLE recipes (name VARCHAR)")
    with pytest.raises(DatabaseError, match=r"not a vlmprobe database \(it holds recipes\)"):
        check(DuckDBStore(path))
    with duckdb.connect(str(path)) as theirs:
        assert theirs.execute("SHOW TABLES").fetchall() == [("recipes",)]


@pytest.mark.parametrize("check", [require_schema, ask])
def test_reading_from_no_database_names_the_commands_that_make_one(tmp_path: Path, check: Any) -> None:
    """And does not leave an empty one there."""
    database = DuckDBStore(tmp_path / "none.duckdb")
    with pytest.raises(DatabaseError, match="create one with 'vlmprobe demo' or 'vlmprobe extract'"):
        check(database)
    assert not database.exists()


@pytest.mark.parametrize("check", [require_schema, ask])
def test_reading_from_an_empty_database_names_the_upgrade(tmp_path: Path, check: Any) -> None:
    """A DuckDB file without tables is made ours by ``db upgrade``."""
    path = tmp_path / "empty.duckdb"
    duckdb.connect(str(path)).close()
    with pytest.raises(StaleSchemaError, match="is empty; run 'vlmprobe db upgrade'"):
        check(DuckDBStore(path))


@pytest.mark.parametrize("check", [require_schema, ask])
def test_reading_from_another_kind_of_file_says_so(tmp_path: Path, check: Any) -> None:
    """Whichever process opens it."""
    path = tmp_path / "notes.duckdb"
    path.write_text("not a database, but longer than its header would be\n" * 500)
    with pytest.raises(DatabaseError, match="is not a DuckDB database; use another with --home"):
        check(DuckDBStore(path))


@pytest.mark.parametrize(
    "use", [require_schema, require_any_schema, ensure_schema, ask], ids=lambda use: use.__name__
)
@pytest.mark.parametrize(
    "definition",
    [
        "CREATE OR REPLACE VIEW consistency AS FROM enable_logging('QueryLog')",
        'CREATE OR REPLACE VIEW accuracy AS SELECT (SELECT count(*) FROM "CheckPoint" /* */ ())',
        "CREATE MACRO best() AS TABLE SELECT * FROM query('SELECT 1')",
    ],
    ids=["a log", "quoted", "a macro"],
)
def test_a_database_whose_views_do_more_than_read_is_refused(
    database: DuckDBStore, definition: str, use: Any
) -> None:
    """A view of a database from elsewhere would run as soon as a report asks it."""
    with duckdb.connect(str(database.path)) as connection:
        connection.execute(definition)
    with pytest.raises(DatabaseError, match="which no view of vlmprobe does, so it was not run"):
        use(database)


def test_a_view_of_ones_own_is_welcome(database: DuckDBStore) -> None:
    """One that reads; and our own, which have a column that is called like a function that writes."""
    with duckdb.connect(str(database.path)) as connection:
        connection.execute("CREATE VIEW best AS SELECT checkpoint, count(*) AS query FROM runs GROUP BY 1")
    require_schema(database)
    ask(database)
