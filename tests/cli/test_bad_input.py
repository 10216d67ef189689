"""What a user gets wrong is told in one line that says what, where and what to do; exit code 2."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import vlmprobe as package

if TYPE_CHECKING:
    from collections.abc import Callable

EXTRACT = "extract tiny --scale 2m --data {good} --home {home}"

#: What is typed, what is in the environment, what the line says.
WRONG = {
    "family": ("extract nope --scale 2m --data {good} --home {home}", {}, "unknown family 'nope'; known: "),
    "scale": (
        "extract tiny --scale 3m --data {good} --home {home}",
        {},
        "known: vanilla, 80k, 400k, 800k, 2m",
    ),
    "file missing": ("extract tiny --scale 2m --data {bad}/none.tsv", {}, "none.tsv: No such file"),
    "file is a folder": ("extract tiny --scale 2m --data {bad}", {}, "is a folder; use a TSV file"),
    "file empty": ("extract tiny --scale 2m --data {bad}/empty.tsv", {}, "empty.tsv: the file is empty"),
    "header": ("extract tiny --scale 2m --data {bad}/header.tsv", {}, "header.tsv, line 1: the header lacks"),
    "base64": (
        "extract tiny --scale 2m --data {bad}/base64.tsv",
        {},
        "none of its 12 rows gives a pair (problems: image 12); correct the file, starting with line 2, column image",
    ),
    "half of the rows": (
        "extract tiny --scale 2m --data {bad}/half.tsv --home {home} --checkpoint {bad}",
        {},
        "half.tsv: 7 of 12 rows give no pair, the first on line 2 (image: not base64",
    ),
    "half of the rows, in run": (
        "run tiny --scale 2m --data {bad}/half.tsv --home {home}",
        {},
        "correct the file, or pass --allow-problems to go on with the rest",
    ),
    "half of the rows, allowed": (
        "extract tiny --scale 2m --data {bad}/half.tsv --home {home} --checkpoint {bad} --allow-problems",
        {},
        "no weights in this folder",
    ),
    "database is a text file": (EXTRACT, {"VLMPROBE_DATABASE_URL": "{bad}/text.duckdb"}, "is not a DuckDB"),
    "another program's database": (
        EXTRACT,
        {"VLMPROBE_DATABASE_URL": "{bad}/other.duckdb"},
        "not a vlmprobe database (it holds invoices)",
    ),
    "another kind of database": (
        EXTRACT,
        {"VLMPROBE_DATABASE_URL": "mysql://h/db"},
        "duckdb:///path/to/file.duckdb",
    ),
    "postgres that is not there": (
        EXTRACT,
        {"VLMPROBE_DATABASE_URL": "postgresql://127.0.0.1:1/db"},
        "cannot connect to postgresql://127.0.0.1:1/db",
    ),
    "layers no number": (EXTRACT + " --layers last", {}, "--layers 'last': use 'all' or layer numbers"),
    "layers beyond": (
        EXTRACT + " --layers 0,99",
        {},
        "--layers: layer 99 does not exist; ",
    ),
    "batch size": (EXTRACT + " --batch-size 0", {}, "--batch-size '0': use 'auto' or a number"),
    "device": (EXTRACT + " --device tpu", {}, "unknown device 'tpu'; use auto, cpu, cuda or cuda:N"),
    "dtype": (EXTRACT + " --dtype int4", {}, "unknown dtype 'int4'; known: auto, float32, bfloat16"),
    "max per category": (EXTRACT + " --max-per-category -1", {}, "use a positive number, or 0 for all"),
    "checkpoint": (EXTRACT + " --checkpoint {bad}/none", {}, "none: no such folder"),
    "checkpoint without weights": (EXTRACT + " --checkpoint {bad}", {}, "no weights in this folder"),
    "out is a file": (
        "merge tiny --out {bad}/text.duckdb",
        {},
        "text.duckdb is not a folder; use another folder",
    ),
    "out is in a file": (
        "plot tiny --out {bad}/text.duckdb/a/b",
        {},
        "text.duckdb is not a folder; use another",
    ),
    "out is a device": (
        "export /dev/full --home {home}",
        {},
        "/dev/full is not a folder; use another folder",
    ),
    "out links nowhere": (
        "demo benchmark {bad}/dangling",
        {},
        "dangling is a broken link; use another folder",
    ),
    "out is too long": ("export {bad}/" + 300 * "a", {}, "File name too long; use another folder"),
    "training to a file": (
        "demo train --out {bad}/text.duckdb",
        {},
        "text.duckdb is not a folder; use another",
    ),
    "shard size": (
        EXTRACT,
        {"VLMPROBE_SHARD_PAIRS": "many"},
        "VLMPROBE_SHARD_PAIRS='many': expected a number",
    ),
    "option": (EXTRACT + " --bath-size 8", {}, "--bath-size"),
    "option left out": ("extract tiny --scale 2m", {}, "Missing option '--data'"),
    "command": ("extrakt", {}, "No such command 'extrakt'"),
    "no database": ("merge tiny --home {bad}/nowhere", {}, "create one with 'vlmprobe demo'"),
    "demo scale": ("demo --scales 3m --home {home}", {}, "known: vanilla, 80k, 400k, 800k, 2m"),
    "query": (
        "query accuracy/nope --home {home}",
        {},
        "unknown query 'accuracy/nope'; known: accuracy/by_axis",
    ),
    "query parameter": ("query accuracy/by_axis --param family --home {home}", {}, "use name=value"),
    "port": ("ui --port 70000 --home {home}", {}, "use a port from 1 to 65535"),
}


@pytest.fixture(scope="module")
def places(benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a good benchmark, a folder of wrong files, and a home that does not exist."""
    good, bad = benchmark(2), tmp_path_factory.mktemp("bad")
    (bad / "empty.tsv").touch()
    (bad / "header.tsv").write_text("name\tage\nAda\t36\n")
    lines = [line.split("\t") for line in good.read_text().splitlines()]
    for cells in lines[1:]:
        cells[lines[0].index("image")] = "no base64!"
    (bad / "base64.tsv").write_text("".join("\t".join(cells) + "\n" for cells in lines))
    sound = [line.split("\t") for line in good.read_text().splitlines()][8:]
    (bad / "half.tsv").write_text("".join("\t".join(cells) + "\n" for cells in (*lines[:8], *sound)))
    (bad / "text.duckdb").write_text("a shopping list\n")
    (bad / "dangling").symlink_to(bad / "nowhere" / "at all")
    with duckdb.connect(str(bad / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE invoices (amount INTEGER)")
    return {"good": good, "bad": bad, "home": bad / "home"}


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_one_line_and_exit_code_2(
    what: str, vlmprobe: Any, places: dict[str, Path], mlflow_store: dict[str, str]
) -> None:
    """Nothing on stdout, one line on stderr that starts with ``error:``, no traceback."""
    typed, environ, says = WRONG[what]
    settings = {name: value.format(**places) for name, value in environ.items()}
    quiet = [] if what in {"command", "option left out"} else ["--quiet"]

    ran = vlmprobe(*typed.format(**places).split(), *quiet, **mlflow_store, **settings)

    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1, ran.err
    assert ran.err.startswith("error: ")
    assert says in ran.err


def test_progress_may_come_before_the_error(
    vlmprobe: Any, places: dict[str, Path], mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """Without ``--quiet`` the error is still one line, and the last: here, that of weights that were cut off."""
    folder = shutil.copytree(
        Path(package.__file__).parent / "demo" / "checkpoints" / "2m", tmp_path / "damaged"
    )
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    command = EXTRACT.format(**places).replace("--scale 2m", f"--scale mine --checkpoint {folder}")
    ran = vlmprobe(*command.split(), **mlflow_store)
    assert ran.err.splitlines()[0] == "benchmark: 12 pairs from 12 rows (embspatial form)"
    assert ran.errors == ran.err.splitlines()[-1:]
    assert "model.safetensors is damaged" in ran.errors[0]


def test_wrong_files_are_left_alone(vlmprobe: Any, places: dict[str, Path]) -> None:
    """A file that is no database of ours is not written to."""
    for name in ("text.duckdb", "other.duckdb"):
        before = (places["bad"] / name).read_bytes()
        vlmprobe(*EXTRACT.format(**places).split(), VLMPROBE_DATABASE_URL=str(places["bad"] / name))
        assert (places["bad"] / name).read_bytes() == before


def test_debug_shows_the_traceback(vlmprobe: Any, places: dict[str, Path]) -> None:
    """``--debug`` adds where it happened; the line and the exit code stay."""
    ran = vlmprobe("extract", "nope", "--scale", "2m", "--data", places["good"], "--debug")
    assert ran.code == 2
    assert ran.err.startswith("Traceback (most recent call last):")
    assert ran.err.splitlines()[-1].startswith("error: unknown family 'nope'; known: ")
