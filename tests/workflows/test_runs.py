"""``runs rm`` removes a run for good; ``runs rename`` gives a scale another name."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from ..postgres_server import copied_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLES = ("runs", "predictions", "shards", "metrics", "results_json", "certificates")


@pytest.fixture(scope="module")
def made(
    inside: Any, benchmark: Callable[..., Path], empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Extract and analyze two scales on two pairs of each category."""
    home = tmp_path_factory.mktemp("made")
    shutil.copy(empty_mlflow, home / "mlflow.db")
    for scale in ("vanilla", "2m"):
        inside(*_extract(scale, benchmark(4)), "--home", home).ok()
    inside("analyze", "--home", home).ok()
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """Copy that home, so that each test may change its own."""
    return copied_home(made, tmp_path / "home")


def _extract(scale: str, data: Path) -> tuple[object, ...]:
    return ("extract", "tiny", "--scale", scale, "--data", data, "--max-per-category", "2")


def _listed(inside: Any, home: Path) -> dict[str, str]:
    rows = json.loads(inside("runs", "--json", "--home", home).ok().out)
    return {row["scale"]: row["run_id"] for row in rows}


def _mlflow(home: Path) -> dict[str, str]:
    with closing(sqlite3.connect(home / "mlflow.db")) as store:
        return dict(store.execute("SELECT name, lifecycle_stage FROM runs").fetchall())


def test_a_run_is_removed_whole_and_the_other_stays(inside: Any, home: Path, rows: Any) -> None:
    """Rows and hidden states are gone, MLflow's copy is in its trash, and the home is well."""
    run_id = _listed(inside, home)["2m"]
    said = inside("runs", "rm", run_id[-12:], "--yes", "--home", home).ok().err
    assert f"removed run {run_id}: tiny @ 2m on benchmark (published), 12 pairs" in said
    for table in TABLES:
        assert rows(home, f"SELECT count(*) FROM {table} WHERE run_id = '{run_id}'") == [(0,)], table
        assert rows(home, f"SELECT count(*) > 0 FROM {table}") == [(True,)], table
    assert not (home / "spool" / run_id).exists()
    assert _mlflow(home) == {"tiny @ vanilla": "active", "tiny @ 2m": "deleted"}
    assert "all well" in inside("verify", "--home", home).ok().err


@pytest.mark.full
def test_a_removed_run_can_be_extracted_again(
    inside: Any, home: Path, benchmark: Callable[..., Path]
) -> None:
    """Its key is free; it is a new run."""
    run_id = _listed(inside, home)["2m"]
    inside("runs", "rm", run_id, "--yes", "--home", home).ok()
    assert "12 pairs extracted, 0 reused" in inside(*_extract("2m", benchmark(4)), "--home", home).ok().err
    assert _listed(inside, home)["2m"] != run_id


def test_nothing_is_removed_unasked(inside: Any, home: Path) -> None:
    """Without a terminal to ask on, and for an id that names no run or several, it ends with one line."""
    before = _listed(inside, home)
    assert inside("runs", "rm", before["2m"], "--home", home).code != 0
    for run_id, says in (
        ("no-such-run", "no run 'no-such-run'"),
        (before["2m"][:4], "no run"),
        ("", "no run ''"),
    ):
        ran = inside("runs", "rm", run_id, "--yes", "--home", home)
        assert ran.code == 2
        assert says in ran.errors[0]
    assert _listed(inside, home) == before


def test_a_renamed_scale_is_resumed_under_its_new_name(
    inside: Any, home: Path, benchmark: Callable[..., Path]
) -> None:
    """As if it had been extracted under it: same run, complete already; MLflow shows the new name."""
    run_id = _listed(inside, home)["vanilla"]
    inside("runs", "rename", "vanilla", "untrained", "--home", home).ok()
    assert _listed(inside, home)["untrained"] == run_id
    assert set(_mlflow(home)) == {"tiny @ untrained", "tiny @ 2m"}
    inside("runs", "rename", "untrained", "vanilla", "--home", home).ok()
    assert "complete already" in inside(*_extract("vanilla", benchmark(4)), "--home", home).ok().err


def test_a_scale_is_not_renamed_onto_itself_or_a_bad_name(inside: Any, home: Path) -> None:
    """The message says what there is."""
    for old, new, says in (
        ("mine", "yours", "no run is of scale 'mine'"),
        ("2m", "../2m", "../2m"),
        ("2m", "2m", "has the same run already"),
    ):
        ran = inside("runs", "rename", old, new, "--home", home)
        assert ran.code == 2
        assert says in ran.errors[0]


def test_a_scale_is_not_renamed_onto_another_checkpoint_in_silence(
    inside: Any, home: Path, rows: Any
) -> None:
    """Both are named with fingerprint and date; who means it goes on, and a rename by id takes it back."""
    before = _listed(inside, home)
    facts = "SELECT scale, run_id, run_key, samples_seen, global_steps FROM runs ORDER BY run_id"
    runs, kept = rows(home, facts), rows(home, "SELECT scale, fingerprint, created_at FROM runs")
    ran = inside("runs", "rename", "2m", "vanilla", "--home", home)
    assert ran.code == 2
    (line,) = ran.errors
    for _, fingerprint, created_at in kept:
        assert f"(fingerprint {fingerprint[:12]}, run of {created_at:%Y-%m-%d %H:%M} UTC)" in line
    assert f"run {before['2m']} of scale 2m is" in line
    assert "pass --new-checkpoint" in line
    assert rows(home, facts) == runs
    said = inside("runs", "rename", "2m", "vanilla", "--new-checkpoint", "--home", home).ok().err
    assert f"run {before['2m']}, scale 2m until now" in said
    assert {row[0] for row in rows(home, facts)} == {"vanilla"}
    said = inside("runs", "rename", before["2m"][:13], "2m", "--home", home).ok().err
    assert "scale vanilla until now" in said
    assert rows(home, facts) == runs
    inside("runs", "rename", "2m", "mine", "--home", home).ok()
    inside("runs", "rename", "mine", "2m", "--home", home).ok()
    assert rows(home, facts) == runs


@pytest.mark.full
def test_one_run_is_renamed_and_has_its_own_training_sizes_again(inside: Any, home: Path, rows: Any) -> None:
    """An id renames that run alone; the samples and steps that a name stands for end with the name."""
    facts = "SELECT run_id, samples_seen, global_steps FROM runs WHERE scale <> '2m'"
    before = rows(home, facts)
    inside("runs", "rename", "vanilla", "mine", "--home", home).ok()
    inside("runs", "rename", "mine", "80k", "--home", home).ok()
    assert rows(home, facts) != before
    inside("runs", "rename", before[0][0], "mine", "--home", home).ok()
    assert rows(home, facts) == before


@pytest.mark.full
@pytest.mark.parametrize("stdin", ["<&-", "</dev/null"])
def test_a_question_without_anyone_to_answer_is_one_line(shell: Any, home: Path, stdin: str) -> None:
    """As under a scheduler: nothing is removed, and the line names the option."""
    run_id = _listed(shell, home)["2m"]
    command = f"exec {shlex.quote(sys.executable)} -m vlmprobe runs rm {run_id} --home {shlex.quote(str(home))} {stdin}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        "error: nothing was removed, since nobody answered; pass --yes to remove it unasked"
    )
    assert run_id in _listed(shell, home).values()
