"""``vlmprobe import HOME``: two homes become one, and nothing of either is lost."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from ..left_behind import change_rows
from ..postgres_server import copied_home, keeps_a_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: What comes along unchanged; where MLflow has something is another matter in another home.
TABLES = (
    "datasets",
    "axes",
    "row_problems",
    "swap_pairs",
    "quads",
    "leaks",
    "predictions",
    "failures",
    "certificates",
    "metrics",
    "results_json",
)


@pytest.fixture(autouse=True)
def _one_store(mlflow_store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Share MLflow's store between homes, since creating one takes seconds."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store["MLFLOW_TRACKING_URI"])


@pytest.fixture(scope="module")
def other(
    inside: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Extract two scales with object boxes, and analyze one."""
    home = keeps_a_file(tmp_path_factory.mktemp("other"))
    data = benchmark(4)
    for scale in ("vanilla", "2m"):
        inside(
            *_extract(scale, data), "--boxes", data.parent / "boxes.json", "--home", home, **mlflow_store
        ).ok()
    inside("analyze", "--scale", "2m", "--home", home, **mlflow_store).ok()
    return home


def _extract(scale: str, data: Path) -> tuple[object, ...]:
    return ("extract", "tiny", "--scale", scale, "--data", data, "--max-per-category", "2")


def _states(inside: Any, *command: object, code: int = 0) -> dict[str, tuple[str, str]]:
    ran = inside("import", *command, "--json")
    assert ran.code == code, ran.err
    return {row["scale"]: (row["state"], row["note"]) for row in json.loads(ran.out)}


def _held(rows: Any, home: Path, table: str) -> list[tuple[Any, ...]]:
    synced = "EXCLUDE (synced_at)" if table == "metrics" else ""
    found: list[tuple[Any, ...]] = rows(home, f"SELECT * {synced} FROM {table} ORDER BY ALL")
    return found


def _hashes(home: Path) -> dict[str, str]:
    """Hash what a home holds, but the files by which processes wait for each other."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def test_an_empty_home_becomes_the_other(inside: Any, other: Path, tmp_path: Path, rows: Any) -> None:
    """Rows, arrays and times are equal; MLflow shows the runs; the other home is as it was."""
    before = _hashes(other)
    home = tmp_path / "home"
    assert _states(inside, other, "--home", home) == {
        "vanilla": ("imported", ""),
        "2m": ("imported", ""),
    }
    for table in TABLES:
        assert _held(rows, home, table) == _held(rows, other, table), table
    assert {name: value for name, value in _hashes(home).items() if name.startswith("spool")} == {
        name: value for name, value in before.items() if name.startswith("spool")
    }
    assert rows(home, "SELECT count(*) FROM shards WHERE synced_at IS NULL") == [(0,)]
    assert _hashes(other) == before
    assert "all well" in inside("verify", "--home", home).ok().err


@pytest.mark.full
def test_an_imported_run_goes_on(
    inside: Any, other: Path, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """The command that made it there finds it complete here, and its metrics are current."""
    _states(inside, other, "--home", tmp_path)
    data = benchmark(4)
    ran = inside(*_extract("2m", data), "--boxes", data.parent / "boxes.json", "--home", tmp_path).ok()
    assert "complete already" in ran.err
    assert "1 of 2 runs were up to date" in inside("analyze", "--home", tmp_path).ok().err


@pytest.mark.full
def test_importing_again_changes_nothing(inside: Any, other: Path, tmp_path: Path, rows: Any) -> None:
    """And says so."""
    _states(inside, other, "--home", tmp_path)
    before = {table: _held(rows, tmp_path, table) for table in TABLES}
    assert _states(inside, other, "--home", tmp_path) == {
        "vanilla": ("already there", ""),
        "2m": ("already there", ""),
    }
    assert {table: _held(rows, tmp_path, table) for table in TABLES} == before


@pytest.mark.full
def test_metrics_that_were_computed_later_come_too(
    inside: Any, other: Path, tmp_path: Path, rows: Any
) -> None:
    """With the times at which they were computed; those that differ stay, and the note says so."""
    _states(inside, other, "--home", tmp_path)
    metrics = _held(rows, tmp_path, "metrics")
    change_rows(tmp_path, "DELETE FROM metrics; DELETE FROM results_json")
    assert _states(inside, other, "--home", tmp_path)["2m"] == ("already there", "")
    assert _held(rows, tmp_path, "metrics") == metrics
    change_rows(tmp_path, "UPDATE metrics SET value = 7 WHERE name = 'delta_norm'")
    assert _states(inside, other, "--home", tmp_path)["2m"] == (
        "already there",
        "its metrics differ; those here stay",
    )


@pytest.mark.full
def test_a_run_with_the_same_settings_is_numbered(
    inside: Any, other: Path, benchmark: Callable[..., Path], tmp_path: Path, rows: Any
) -> None:
    """Both stay; a dataset that had no boxes here gets those of the other home."""
    inside(*_extract("2m", benchmark(4)), "--home", tmp_path).ok()
    state, note = _states(inside, other, "--scale", "2m", "--home", tmp_path)["2m"]
    assert state == "imported"
    assert note == "this home has a run with the same settings; this one is number 2"
    assert rows(tmp_path, "SELECT count(*), count(DISTINCT run_key) FROM runs") == [(2, 2)]
    for table in ("swap_pairs", "quads"):
        assert _held(rows, tmp_path, table) == _held(rows, other, table)
    assert "all well" in inside("verify", "--home", tmp_path).ok().err


@pytest.mark.full
def test_two_states_of_one_run_are_a_conflict(inside: Any, other: Path, tmp_path: Path, rows: Any) -> None:
    """Nothing is overwritten, the other runs are imported, and the exit code says it."""
    _states(inside, other, "--home", tmp_path)
    change_rows(tmp_path, "DELETE FROM predictions WHERE pair_id = (SELECT min(pair_id) FROM predictions)")
    n_here = rows(tmp_path, "SELECT count(*) FROM predictions")
    states = _states(inside, other, "--home", tmp_path, code=1)
    assert {state for state, _ in states.values()} == {"in conflict"}
    assert "went on in both homes and is not the same" in states["2m"][1]
    assert rows(tmp_path, "SELECT count(*) FROM predictions") == n_here


@pytest.mark.full
def test_other_boxes_are_a_conflict(inside: Any, other: Path, tmp_path: Path) -> None:
    """Answers about other quads must not be mixed."""
    _states(inside, other, "--scale", "vanilla", "--home", tmp_path)
    change_rows(tmp_path, """UPDATE datasets SET boxes = '{"digest": "x", "counts": {"matched": 1}}'""")
    state, note = _states(inside, other, "--scale", "2m", "--home", tmp_path, code=1)["2m"]
    assert state == "in conflict"
    assert "has other object boxes here; keep the two homes apart" in note


@pytest.mark.full
def test_a_shard_that_is_lost_there_stops_its_run_alone(
    inside: Any, other: Path, tmp_path: Path, rows: Any
) -> None:
    """The others come; importing again once it is back brings the rest."""
    copy = keeps_a_file(copied_home(other, tmp_path / "copy"))
    (run_id,) = (run_id for run_id, scale in rows(copy, "SELECT run_id, scale FROM runs") if scale == "2m")
    shard = copy / "spool" / run_id / "00001.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    home = tmp_path / "home"
    states = _states(inside, copy, "--home", home, code=1)
    assert states["vanilla"] == ("imported", "")
    assert states["2m"][0] == "not readable"
    assert rows(home, "SELECT scale FROM runs") == [("vanilla",)]
    shard.write_bytes(whole)
    assert _states(inside, copy, "--home", home)["2m"] == ("imported", "")


def test_a_home_is_not_imported_into_itself(inside: Any, other: Path) -> None:
    """Nor is a database read as two."""
    ran = inside("import", other, "--home", other)
    assert ran.code == 2
    assert "is this home" in ran.err
