"""``vlmprobe doctor`` on a shared Postgres, with every role, and on a shared folder: what will do, and what to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import update

from vlmprobe.resources import migrations_folder
from vlmprobe.settings import Settings
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.roles import grant_reader, grant_writer
from vlmprobe.store.schema import Shard
from vlmprobe.store.shards import write_shard
from vlmprobe.verification.servers import Finding, check_postgres, check_reader, check_shared_folder, looked
from vlmprobe.workspace import Workspace

from ..postgres_server import PASSWORD, SUPERUSER
from ..store.conftest import Study, begin, shard_content  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..postgres_server import Server


class Team:
    """A database of its own, and what ``doctor`` finds with some role of it."""

    def __init__(self, postgres: Server, folder: Path) -> None:
        self.postgres, self.folder = postgres, folder
        self.url = postgres.migrated()
        self.name = self.url.rpartition("/")[2]
        self.shown = f"postgresql://127.0.0.1:{postgres.port}/{self.name}"

    def workspace(self, user: str = "owner", **environ: str) -> Workspace:
        home = {"VLMPROBE_HOME": str(self.folder / "home")}
        settings = {**home, "VLMPROBE_DATABASE_URL": self.postgres.url(self.name, user), **environ}
        return Workspace(Settings.load(environ=settings, folder=self.folder))

    def found(self, user: str = "owner", **environ: str) -> dict[str, Finding]:
        """Return the findings about the server, of which each is one line and holds no password."""
        workspace = self.workspace(user, **environ)
        findings = [
            *looked("database", check_postgres, workspace),
            *looked("reader", check_reader, workspace),
        ]
        for finding in findings:
            assert "\n" not in finding.state
            assert PASSWORD not in finding.state
        assert len({finding.what for finding in findings}) == len(findings)
        return {finding.what: finding for finding in findings}

    def run(self, *statements: str) -> None:
        self.postgres.run(*statements, database=self.name)


@pytest.fixture
def team(postgres: Server, tmp_path: Path) -> Team:
    """Make a database with tables."""
    return Team(postgres, tmp_path)


def test_all_is_well_for_the_owner(team: Team) -> None:
    """Server, schema, driver, encryption, rights, clock; and that there is no reader yet."""
    found = team.found()
    assert list(found) == ["database", "rights", "clock", "reader"]
    assert all(finding.ok for finding in found.values())
    assert found["database"].state.startswith(f"{team.shown}: Postgres ")
    assert "not encrypted, schema " in found["database"].state
    assert found["rights"].state == "owner of the tables: may upgrade the schema, write and read"
    assert "s ahead of" in found["clock"].state or "s behind" in found["clock"].state
    assert "which uses the one above; 'vlmprobe db grant-reader NAME'" in found["reader"].state


def test_a_role_is_called_what_it_may_do(team: Team) -> None:
    """A writer and a reader, and a reader beside a writer."""
    grant_writer(team.workspace().database, "writer_of_doctor")
    grant_reader(team.workspace().database, "reader_of_doctor")
    assert "refuses the one above, a superuser or the like" in team.found(SUPERUSER)["reader"].state
    assert team.found("writer_of_doctor")["rights"] == Finding(
        "rights", "writer: may write and read rows, not upgrade the schema"
    )
    reader = team.found("reader_of_doctor")["rights"]
    assert reader.ok
    assert reader.state.startswith("reader: may only read")
    beside = team.found(
        "writer_of_doctor", VLMPROBE_READER_URL=team.postgres.url(team.name, "reader_of_doctor")
    )
    assert beside["reader"] == Finding("reader", f"{team.shown}: may only read")


def _no_answer(team: Team) -> dict[str, Any]:
    return {"VLMPROBE_DATABASE_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:1/study"}


def _no_such_database(team: Team) -> dict[str, Any]:
    return {"VLMPROBE_DATABASE_URL": team.postgres.url("nowhere")}


def _empty_for_a_stranger(team: Team) -> dict[str, Any]:
    team.postgres.run("DROP ROLE IF EXISTS stranger_of_doctor", "CREATE ROLE stranger_of_doctor LOGIN")
    empty = team.postgres.empty().rpartition("/")[2]
    return {"VLMPROBE_DATABASE_URL": team.postgres.url(empty, "stranger_of_doctor")}


def _old_schema(team: Team) -> dict[str, Any]:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with team.workspace().unchecked_database.transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    return {}


def _a_table_that_the_reader_lacks(team: Team) -> dict[str, Any]:
    grant_reader(team.workspace().database, "reader_of_doctor")
    team.run("REVOKE SELECT ON leaks FROM reader_of_doctor")
    return {"user": "reader_of_doctor"}


def _a_table_that_the_writer_lacks(team: Team) -> dict[str, Any]:
    grant_writer(team.workspace().database, "writer_of_doctor")
    team.run("REVOKE INSERT ON metrics FROM writer_of_doctor")
    return {"user": "writer_of_doctor"}


def _a_schema_that_the_role_may_not_use(team: Team) -> dict[str, Any]:
    grant_writer(team.workspace().database, "writer_of_doctor")
    team.run("REVOKE USAGE ON SCHEMA public FROM PUBLIC, writer_of_doctor")
    return {"user": "writer_of_doctor"}


def _a_reader_that_writes(team: Team) -> dict[str, Any]:
    return {"VLMPROBE_READER_URL": team.url}


def _a_reader_elsewhere(team: Team) -> dict[str, Any]:
    return {"VLMPROBE_READER_URL": team.postgres.empty()}


def _a_reader_nowhere(team: Team) -> dict[str, Any]:
    return {"VLMPROBE_READER_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:1/study"}


@pytest.mark.parametrize(
    ("what", "spoil", "says", "to_do"),
    [
        ("database", _no_answer, "cannot connect to postgresql://127.0.0.1:1/study", "check that it runs"),
        ("database", _no_such_database, 'database "nowhere" does not exist', "check that it runs"),
        ("database", _empty_for_a_stranger, "it has no tables", "ask its owner to run 'vlmprobe db upgrade'"),
        ("database", _old_schema, "has schema 0006, but this vlmprobe needs", "run 'vlmprobe db upgrade'"),
        ("database", _a_schema_that_the_role_may_not_use, "may use no schema", "'vlmprobe db grant-writer'"),
        ("rights", _a_table_that_the_reader_lacks, "may not read leaks", "'vlmprobe db grant-reader'"),
        ("rights", _a_table_that_the_writer_lacks, "but not metrics", "'vlmprobe db grant-writer' again"),
        ("reader", _a_reader_that_writes, "may write", "name one that 'vlmprobe db grant-reader' made"),
        ("reader", _a_reader_elsewhere, "has no tables of vlmprobe", "name the same database"),
        (
            "reader",
            _a_reader_nowhere,
            "cannot connect to postgresql://127.0.0.1:1/study",
            "check that it runs",
        ),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_what_will_not_do_says_so_and_what_to_do(
    team: Team, what: str, spoil: Callable[[Team], dict[str, Any]], says: str, to_do: str
) -> None:
    """One finding of all is wrong."""
    found = team.found(**spoil(team))
    assert [finding.what for finding in found.values() if not finding.ok] == [what]
    assert says in found[what].state
    assert to_do in found[what].state.partition(says)[2]


def test_an_empty_database_is_filled_by_the_first_command(team: Team) -> None:
    """If the role may create tables there."""
    found = team.found(VLMPROBE_DATABASE_URL=team.postgres.empty())
    assert found["database"].state.endswith("; the first command creates the tables")
    assert all(finding.ok for finding in found.values())


def test_a_clock_that_is_off_is_seen(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the database's; a second or two are nothing."""
    for shift, ok in ((1.5, True), (95.0, False), (-95.0, False)):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda real=time.time, shift=shift: real() + shift)
            clock = team.found()["clock"]
        assert clock.ok == ok
        side = "ahead of" if shift > 0 else "behind"
        assert f"{abs(shift):.1f} s {side} the database" in clock.state
        assert ok or clock.state.endswith("set the clocks by NTP")


@pytest.fixture
def shared(team: Team, tmp_path: Path, shard_content: Callable[..., Any]) -> Path:  # noqa: F811
    """Store a shard of home ``a`` in a folder that hosts share; return the folder."""
    root = tmp_path / "mnt"
    workspace = team.workspace(VLMPROBE_STORE_ROOT=str(root), VLMPROBE_HOME=str(root / "a"))
    begin(workspace.database)
    study = Study(workspace.database)
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    with workspace.database.transaction() as connection:
        commit_shard(connection, write_shard(root / "a" / "spool" / "r1", shard_content()))
    return root


def _folder(workspace: Workspace) -> tuple[bool, str] | None:
    found = list(looked("shared folder", check_shared_folder, workspace))
    return (found[0].ok, found[0].state) if found else None


def test_a_shared_folder_is_tried(team: Team, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, holds what the database names, and can be written; no file stays in it."""

    def look(root: Path | None, home: Path) -> tuple[bool, str] | None:
        environ = {} if root is None else {"VLMPROBE_STORE_ROOT": str(root)}
        settings = {"VLMPROBE_DATABASE_URL": team.url, **environ}
        return _folder(Workspace(Settings.load(home, environ=settings, folder=shared.parent)))

    before = sorted(shared.rglob("*"))
    assert look(shared, shared / "b") == (True, f"{shared}: written, and this home is in it")
    assert sorted(shared.rglob("*")) == before

    ok, state = look(shared, shared.parent / "home") or (None, "")
    assert ok
    assert "other hosts do not see this home" in state
    ok, state = look(None, shared.parent / "home") or (None, "")
    assert not ok
    assert "(below a there); set VLMPROBE_STORE_ROOT" in state
    ok, state = look(shared.parent / "nothing", shared.parent / "home") or (None, "")
    assert (ok, "is not there; mount it" in state) == (False, True)
    (empty := shared.parent / "empty").mkdir()
    ok, state = look(empty, empty / "b") or (None, "")
    assert not ok
    assert "lacks what the database names in it (a); mount it" in state

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    # Whoever runs the tests may write anywhere.
    monkeypatch.setattr("vlmprobe.verification.servers.TemporaryFile", refuse)
    assert look(shared, shared / "b") == (
        False,
        f"{shared} cannot be written: Read-only file system; check its rights",
    )


def test_one_home_of_several_may_be_gone(
    team: Team,
    shared: Path,
    shard_content: Callable[..., Any],  # noqa: F811
) -> None:
    """That is said, and is no failure: someone may have removed it."""
    environ = {"VLMPROBE_STORE_ROOT": str(shared), "VLMPROBE_HOME": str(shared / "a")}
    workspace = team.workspace(**environ)
    Study(workspace.database).pairs({"3": "left", "4": "far"})
    with workspace.database.transaction() as connection:
        commit_shard(
            connection, write_shard(shared / "a" / "spool" / "r1", shard_content(2, pair_ids=("3", "4")))
        )
        gone = {"path": "shared:/gone/spool/r1/00002.safetensors"}
        connection.execute(update(Shard).where(Shard.shard == 2).values(**gone))
    settings = {"VLMPROBE_DATABASE_URL": team.url, "VLMPROBE_STORE_ROOT": str(shared)}
    found = _folder(Workspace(Settings.load(shared / "a", environ=settings, folder=shared)))
    assert found == (True, f"{shared}: written, and this home is in it; not there any more: gone")


def test_a_home_with_a_file_has_none_of_these_lines(tmp_path: Path) -> None:
    """Nothing is shared, so nothing is asked."""
    workspace = Workspace.open(tmp_path / "home")
    assert _folder(workspace) is None
    assert list(check_reader(workspace)) == []
