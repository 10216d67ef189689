"""Help without waiting: every command has an example that works, and none of it loads a model's packages."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import typer

from vlmprobe.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Any = typer.main.get_command(app)
HEAVY = {"torch", "transformers", "mlflow", "duckdb", "psycopg", "sqlalchemy", "numpy", "pyarrow"}


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if path:
        yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


COMMANDS = dict(_commands(ROOT))


def test_these_are_the_commands() -> None:
    """The ones the documentation promises."""
    promised = {"demo", "extract", "analyze", "merge", "run", "sync", "sql", "query", "runs", "ui"}
    assert promised <= {" ".join(path) for path in COMMANDS}
    assert {("data", "check"), ("db", "upgrade"), ("db", "current"), ("db", "check")} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_shows_an_example(vlmprobe: Any, path: tuple[str, ...]) -> None:
    """``--help`` ends well, on stdout, with an example of this very command."""
    ran = vlmprobe(*path, "--help").ok()
    assert ran.err == ""
    assert f"Example: vlmprobe {' '.join(path)}" in ran.out


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_example_is_a_command_line_that_parses(path: tuple[str, ...]) -> None:
    """Every option in it exists, nothing that is needed is missing."""
    program, *words = shlex.split(COMMANDS[path].epilog.removeprefix("Example: "))
    assert program == "vlmprobe"
    command = ROOT
    while hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)  # raises where the line is wrong


def test_version(vlmprobe: Any) -> None:
    """``--version`` prints the installed version."""
    assert vlmprobe("--version").ok().out == f"vlmprobe {version('vlmprobe')}\n"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["extract", "--help"], ["sql", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    """Neither the model's packages nor the database's are imported to print help."""
    code = (
        "import sys\n"
        "from vlmprobe.cli.main import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "finally:\n"
        f"    print(*{HEAVY!r} & {{name.split('.')[0] for name in sys.modules}}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []


def test_ad_hoc_sql_loads_no_database_package() -> None:
    """The process that may read the file is another one: this one hands the question over."""
    code = "import sys, vlmprobe.workflows.query, vlmprobe.cli.sql, vlmprobe.cli.console; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.split(".")[0] for name in done.stdout.split()}
