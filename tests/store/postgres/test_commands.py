"""Commands on a Postgres database: what they say, what they never say, and what a machine without psycopg is told."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ...postgres_server import PASSWORD, keeps_a_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ...postgres_server import Server


@pytest.mark.full
def test_a_database_is_made_named_and_checked_without_its_password(
    inside: Any, postgres: Server, tmp_path: Path
) -> None:
    """The address is shown, the user and the password are not."""
    url, home = postgres.empty(), tmp_path / "home"
    shown = f"postgresql://127.0.0.1:{postgres.port}/{url.rpartition('/')[2]}"
    commands = (
        ("runs",),
        ("db", "upgrade"),
        ("db", "current"),
        ("db", "check"),
        ("runs",),
        ("doctor",),
        ("verify",),
        ("sql", "SELECT count(*) AS n FROM runs"),
        ("sql", "SELECT nothing FROM nowhere", "--debug"),
        ("query", "runs/listed"),
        ("db", "grant-reader", "reader_of_commands"),
        ("merge", "tiny"),
    )
    said = [inside(*command, "--home", home, VLMPROBE_DATABASE_URL=url) for command in commands]
    assert f"no tables of vlmprobe at {shown}" in said[0].err
    assert said[0].code == 2
    assert said[1].out.startswith(f"{shown}: schema none -> ")
    assert said[2].out.startswith(shown)
    assert f"{shown}: Postgres " in said[5].out
    assert [ran.code for ran in said] == [2, 0, 0, 0, 0, said[5].code, 0, 0, 2, 0, 0, said[11].code]
    assert "VLMPROBE_READER_URL" in said[7].err
    # Trap 3: the states would be on this machine alone.
    assert "other machines cannot read the hidden states" in said[5].out
    for command, ran in zip(commands, said, strict=True):
        assert PASSWORD not in ran.out + ran.err, command
        assert "owner:" not in ran.out + ran.err, command
        assert "owner@" not in ran.out + ran.err, command


def test_an_address_that_leads_nowhere_is_one_line(inside: Any, tmp_path: Path) -> None:
    """What libpq says of a broken address repeats it, with the password."""
    wrong = {
        "postgresql://me:hunter2@127.0.0.1:1/study": "cannot connect to postgresql://127.0.0.1:1/study",
        "postgresql://me:hun@ter2@127.0.0.1:1/study": "cannot connect to postgresql://127.0.0.1:1/study",
        "postgresql://me:123/hunter2@127.0.0.1:1/study": "cannot connect to postgresql://127.0.0.1:1/study",
        "postgresql://me:hun%ter2@host/study": "is not an address of Postgres",
        "postgresql://me:hunter2@host/study?nonsense=hunter2": "is not an address of Postgres",
        "mysql://me:hunter2@host/study": "mysql:// is not supported",
    }
    for url, words in wrong.items():
        ran = inside("runs", "--home", tmp_path, VLMPROBE_DATABASE_URL=url)
        assert ran.code == 2, url
        assert words in ran.err
        assert len(ran.errors) == 1
        assert "ter2" not in ran.err + ran.out


def test_without_psycopg_the_extra_is_named(
    inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with exit code 2."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ran = inside(
        "runs", "--home", keeps_a_file(tmp_path), VLMPROBE_DATABASE_URL="postgresql://me:hunter2@host/study"
    )
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert "pip install 'vlmprobe[postgres]'" in ran.err
    assert "hunter2" not in ran.err


def test_the_parts_of_an_address_that_may_be_secret_are_in_no_repr() -> None:
    """A traceback with local variables, or a print left behind, shows neither address."""
    from vlmprobe.settings import Settings

    url = f"postgresql://me:{PASSWORD}@host/study"
    settings = Settings.load(environ={"VLMPROBE_DATABASE_URL": url, "VLMPROBE_READER_URL": url})
    assert settings.reader_url == url
    assert PASSWORD not in repr(settings)


@pytest.mark.full
def test_three_machines_extract_one_run_at_once(
    shell: Any,
    postgres: Server,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """On a new database: one extracts, the others wait and find it done; another home analyzes and compares it."""
    import psycopg

    url, data = postgres.empty(), benchmark(4)
    settings = {"VLMPROBE_DATABASE_URL": url, **mlflow_store}
    command = ("extract", "tiny", "--scale", "vanilla", "--data", data, "--batch-size", 8, "--wait", "--home")
    machines = [shell.start(*command, tmp_path / name, **settings) for name in ("n1", "n2", "n3")]
    for ran in [shell.finish(machine) for machine in machines]:
        ran.ok()
    shell("analyze", "--home", tmp_path / "n4", **settings).ok()
    shell("merge", "tiny", "--home", tmp_path / "n4", **settings).ok()
    shell("db", "check", "--home", tmp_path / "n4", **settings).ok()
    shell("db", "grant-reader", "reader_of_machines", "--home", tmp_path / "n4", **settings).ok()
    reading = {**settings, "VLMPROBE_DATABASE_URL": url.replace("//owner", "//reader_of_machines")}
    for of_reader in (("merge", "tiny"), ("verify",), ("runs",)):
        shell(*of_reader, "--home", tmp_path / "n5", **reading).ok()
    assert "is read-only" in shell("analyze", "--force", "--home", tmp_path / "n5", **reading).err
    with psycopg.connect(url) as session:
        assert session.execute("SELECT status, lease FROM runs").fetchall() == [("complete", None)]
        counts = session.execute(
            "SELECT count(*), count(DISTINCT (pair_id, side)), (SELECT sum(n_pairs) FROM shards) FROM predictions"
        ).fetchone()
        assert counts == (48, 48, 24)
        assert session.execute("SELECT count(*) FROM metrics").fetchone() != (0,)


@pytest.mark.full
@pytest.mark.parametrize("arguments", [("--help",), ("db", "upgrade"), ("runs",)])
def test_a_home_with_a_file_imports_nothing_of_it(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Not psycopg, and none of our own files for it; SQLAlchemy's dialect of that name does not load it."""
    code = (
        "import sys\n"
        "from vlmprobe.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('psycopg') or '.postgres_' in name])"
    )
    environment = {**os.environ, "VLMPROBE_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "[]"
