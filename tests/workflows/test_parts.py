"""One run, extracted by several processes, a part each: what is left is what one process leaves, bit for bit."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.settings import Settings
from vlmprobe.store.open import open_database
from vlmprobe.store.parts import Part

from ..left_behind import read_left
from ..postgres_server import environ_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = "SELECT part, n_parts, status FROM run_parts ORDER BY n_parts, part"
#: 96 pairs in twelve batches, as the undisturbed study has them, in shards of two batches.
SHARDS = {"VLMPROBE_SHARD_PAIRS": "16"}


@pytest.fixture
def command(study: Any, tmp_path: Path) -> Callable[..., tuple[object, ...]]:
    """Return the command that extracts a part of the study's run of 2m in a home of its own."""

    def words(*more: object, data: Path = study.data) -> tuple[object, ...]:
        return ("extract", "tiny", "--scale", "2m", "--data", data, "--home", tmp_path / "home", *more)

    return words


@pytest.fixture
def extract(
    command: Callable[..., tuple[object, ...]], inside: Any, mlflow_store: dict[str, str]
) -> Callable[..., Any]:
    """Run it within the test's process."""
    return lambda *more, **settings: inside(*command(*more, **settings), **SHARDS, **mlflow_store)


@pytest.fixture
def few(benchmark: Callable[..., Path]) -> dict[str, Path]:
    """Name a benchmark of 24 pairs, which are three batches of 8."""
    return {"data": benchmark(4)}


def assert_equals_one_process(home: Path, study: Any) -> None:
    """Answers, margins and states have the same bits, and each pair is in one shard; every certificate passed."""
    ours, undisturbed = read_left(home), read_left(study.home)
    assert ours.answers == undisturbed.answers
    assert ours.states == undisturbed.states
    assert ours.in_shards == undisturbed.in_shards


def mlflow_runs(store: dict[str, str], run_id: str) -> list[tuple[str, str]]:
    """Return the MLflow runs of a run, deleted ones too: status and stage."""
    path = store["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")
    sql = """
        SELECT status, lifecycle_stage FROM runs JOIN tags USING (run_uuid)
        WHERE tags.key = 'vlmprobe.run_id' AND tags.value = ?
    """
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, (run_id,)).fetchall()


def test_parts_one_after_the_other_end_as_one_process(
    extract: Callable[..., Any],
    inside: Any,
    study: Any,
    rows: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """The first stores the plan, and the second keeps it without being told; the last one completes the run."""
    home = tmp_path / "home"
    first = extract("--part", "1/2", "--batch-size", 8).ok()
    assert "part 1/2: complete: 48 pairs extracted, 0 reused, 0 failed of 48" in first.err
    assert "the run is complete once its other parts are" in first.err
    assert "next: vlmprobe analyze" not in first.err
    assert rows(home, PARTS) == [(1, 2, "complete")]
    assert rows(home, "SELECT status, finished_at IS NULL FROM runs") == [("interrupted", False)]
    assert rows(home, "SELECT count(*) FROM kept_pair_answers") == [(0,)]

    second = extract("--part", "2/2").ok()

    assert "part 2/2: complete: 48 pairs extracted, 0 reused, 0 failed of 48" in second.err
    assert "the run is complete" in second.err
    assert "next: vlmprobe analyze tiny" in second.err
    assert rows(home, PARTS) == [(1, 2, "complete"), (2, 2, "complete")]
    ((run_id, status),) = rows(home, "SELECT run_id, status FROM runs")
    assert status == "complete"
    assert_equals_one_process(home, study)
    assert rows(home, "SELECT count(*) FROM kept_pair_answers") == [(96,)]
    # Part 1 has batches 0, 2, ... and shards 1, 3, 5; each certified its own first batch, at least.
    assert rows(home, "SELECT shard FROM shards ORDER BY 1") == [(number,) for number in range(1, 7)]
    certified = rows(home, "SELECT batch, reason, passed FROM certificates ORDER BY batch")
    assert {(0, "first", True), (1, "first", True)} <= set(certified)
    assert all(passed for *_, passed in certified)
    assert mlflow_runs(mlflow_store, run_id) == [("FINISHED", "active")]
    assert rows(home, "SELECT count(*) FROM shards WHERE synced_at IS NULL") == [(0,)]
    inside("db", "check", "--home", home).ok()
    inside("verify", "--home", home, **mlflow_store).ok()


@pytest.mark.full
@pytest.mark.parametrize("n_parts", [2, 3])
def test_parts_at_the_same_time_end_as_one_process(
    n_parts: int,
    command: Callable[..., tuple[object, ...]],
    shell: Any,
    inside: Any,
    study: Any,
    rows: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """On a home that is not there yet, and without a batch size in the database: one plan, one MLflow run."""
    home = tmp_path / "home"
    processes = [
        shell.start(*command("--part", f"{number}/{n_parts}", "--batch-size", 8), **SHARDS, **mlflow_store)
        for number in range(1, n_parts + 1)
    ]
    ends = [shell.finish(process).ok() for process in processes]
    assert [end.err.count(f"0 failed of {96 // n_parts}") for end in ends] == [1] * n_parts
    assert sum("next: vlmprobe analyze" in end.err for end in ends) == 1
    ((run_id, status),) = rows(home, "SELECT run_id, status FROM runs")
    assert status == "complete"
    assert rows(home, PARTS) == [(number, n_parts, "complete") for number in range(1, n_parts + 1)]
    assert_equals_one_process(home, study)
    assert mlflow_runs(mlflow_store, run_id) == [("FINISHED", "active")]
    assert rows(home, "SELECT count(*) FROM shards WHERE synced_at IS NULL") == [(0,)]
    inside("db", "check", "--home", home).ok()
    inside("verify", "--home", home, **mlflow_store).ok()


@pytest.mark.full
def test_a_killed_part_is_resumed_by_another_process(
    command: Callable[..., tuple[object, ...]],
    extract: Callable[..., Any],
    shell: Any,
    inside: Any,
    study: Any,
    rows: Any,
    wait_until: Any,
    committed: Callable[[Path], int],
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """The other part neither completes the run nor touches what the dead one left; the next process takes that up."""
    home = tmp_path / "home"
    process = shell.start_behind(*command("--part", "1/2", "--batch-size", 8), **SHARDS, **mlflow_store)
    wait_until(lambda: committed(home) >= 1, process)
    process.kill()
    assert shell.finish(process).code == -signal.SIGKILL
    kept = rows(home, "SELECT shard FROM shards")
    left = {path.name for path in home.glob("spool/*/*.safetensors")}

    assert "the run is complete once" in extract("--part", "2/2").ok().err
    assert left <= {path.name for path in home.glob("spool/*/*.safetensors")}
    assert rows(home, PARTS) == [(1, 2, "running"), (2, 2, "complete")]
    # Nobody is at work any more.
    assert rows(home, "SELECT status FROM runs") == [("interrupted",)]

    resumed = extract("--part", "1/2").ok()
    assert f"resuming run {rows(home, 'SELECT run_id FROM runs')[0][0]}" in resumed.err
    assert rows(home, "SELECT status FROM runs") == [("complete",)]
    assert rows(home, PARTS) == [(1, 2, "complete"), (2, 2, "complete")]
    assert set(kept) <= set(rows(home, "SELECT shard FROM shards"))
    assert_equals_one_process(home, study)
    inside("db", "check", "--home", home).ok()


def test_a_stopped_part_goes_on_and_what_is_done_is_left_alone(
    extract: Callable[..., Any],
    few: dict[str, Path],
    rows: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C after the first batch of part 1, which has batches 0 and 2; then each command once more."""
    from vlmprobe.extraction.loop import Extraction

    home = tmp_path / "home"
    collect = Extraction._collect
    collected: list[int] = []

    def stop(extraction: Any, *arguments: Any) -> None:
        if collected:
            raise KeyboardInterrupt
        collect(extraction, *arguments)
        collected.append(1)

    with monkeypatch.context() as patch:
        patch.setattr(Extraction, "_collect", stop)
        assert extract("--part", "1/2", "--batch-size", 8, **few).code == 130
    assert rows(home, PARTS) == [(1, 2, "interrupted")]
    assert rows(home, "SELECT status FROM runs") == [("interrupted",)]
    resumed = extract("--part", "1/2", **few).ok()
    assert "part 1/2: resuming run" in resumed.err
    assert "8 pairs extracted, 8 reused, 0 failed of 16" in resumed.err
    assert "part 2/2: complete: 8 pairs extracted" in extract("--part", "2/2", **few).ok().err
    assert rows(home, "SELECT status FROM runs") == [("complete",)]

    again = extract("--part", "1/2", **few).ok()

    assert "part 1/2: complete already, all 16 pairs reused" in again.err
    assert "loading" not in again.err
    assert rows(home, "SELECT count(*), count(DISTINCT (pair_id, side)) FROM predictions") == [(48, 48)]


@pytest.mark.full
def test_without_a_part_the_rest_is_done(
    extract: Callable[..., Any], study: Any, rows: Any, tmp_path: Path
) -> None:
    """One part of three, then the same command without it: as one process from the beginning."""
    home = tmp_path / "home"
    extract("--part", "2/3", "--batch-size", 8).ok()
    assert "64 pairs extracted, 32 reused" in extract().ok().err
    assert rows(home, "SELECT status FROM runs") == [("complete",)]
    assert_equals_one_process(home, study)


@pytest.mark.full
def test_a_run_is_split_in_another_way_once_nobody_is_at_it(
    extract: Callable[..., Any], study: Any, rows: Any, tmp_path: Path
) -> None:
    """Half of it is done when four processes go on: each does what is left of its quarter."""
    home = tmp_path / "home"
    extract("--part", "1/2", "--batch-size", 8).ok()
    said = [extract("--part", f"{number}/4").ok().err for number in range(1, 5)]
    assert ["0 pairs extracted, 24 reused" in line for line in said] == [True, False, True, False]
    assert rows(home, "SELECT status FROM runs") == [("complete",)]
    assert {status for *_, status in rows(home, PARTS)} == {"complete"}
    assert_equals_one_process(home, study)


def test_more_parts_than_batches(
    extract: Callable[..., Any], few: dict[str, Path], rows: Any, tmp_path: Path
) -> None:
    """A part without batches is done at once, and completes nothing that is not done."""
    home = tmp_path / "home"
    assert "part 4/4: complete: 0 pairs" in extract("--part", "4/4", "--batch-size", 8, **few).ok().err
    assert rows(home, "SELECT status FROM runs") == [("interrupted",)]
    for number in (1, 2, 3):
        assert (
            "8 pairs extracted, 0 reused, 0 failed of 8" in extract("--part", f"{number}/4", **few).ok().err
        )
    assert rows(home, "SELECT status FROM runs") == [("complete",)]


@pytest.mark.parametrize("text", ["0/2", "3/2", "x", "1", "2/1", "1/0", "-1/2", "1/2/3", ""])
def test_a_part_that_is_none_is_one_line(extract: Callable[..., Any], text: str, tmp_path: Path) -> None:
    """Before anything is read or written."""
    refused = extract(f"--part={text}")
    assert refused.code == 2
    assert refused.errors == [f"error: --part {text!r}: use I/N with I from 1 to N, like 2/4"]
    assert not (tmp_path / "home").exists()


def test_one_part_of_one_is_the_run(
    extract: Callable[..., Any], few: dict[str, Path], rows: Any, tmp_path: Path
) -> None:
    """A script may have a single machine."""
    assert "tiny @ 2m: complete: 24 pairs extracted" in extract("--part", "1/1", **few).ok().err
    assert rows(tmp_path / "home", PARTS) == []


def test_who_may_work_beside_whom(
    extract: Callable[..., Any], few: dict[str, Path], rows: Any, tmp_path: Path
) -> None:
    """A part keeps off the whole run, itself and other ways to split it; the whole run keeps off every part."""
    home = tmp_path / "home"
    extract("--part", "1/3", "--batch-size", 8, **few).ok()
    ((key,),) = rows(home, "SELECT run_key FROM runs")
    database = open_database(Settings.load(home, environ=environ_of(home), folder=tmp_path))
    with database.lease(key, part=Part(3, 2)):
        for wanted in ((), ("--part", "2/3"), ("--part", "1/2")):
            refused = extract(*wanted, **few)
            assert refused.code == 1
            (line,) = refused.errors
            assert "part 2/3 of this run is being extracted by process" in line
            assert "wait for it with --wait, or stop it" in line
        extract("--part", "3/3", **few).ok()
    with database.lease(key):
        refused = extract("--part", "2/3", **few)
        assert refused.code == 1
        assert "error: this run is being extracted by process" in refused.errors[0]
    assert rows(home, "SELECT status FROM runs") == [("interrupted",)]
    extract("--part", "2/3", **few).ok()
    assert rows(home, "SELECT status FROM runs") == [("complete",)]


def test_all_parts_keep_the_plan_of_the_first(
    extract: Callable[..., Any], few: dict[str, Path], rows: Any, tmp_path: Path
) -> None:
    """Other batches would overlap and leave gaps; and with --new each part would have a run to itself."""
    home = tmp_path / "home"
    extract("--part", "1/2", "--batch-size", 8, **few).ok()
    ((run_id,),) = rows(home, "SELECT run_id FROM runs")
    refused = extract("--part", "2/2", "--batch-size", 4, **few)
    assert refused.code == 2
    assert refused.errors == [
        f"error: tiny @ 2m: run {run_id} began with --batch-size 8, which all its parts keep, not 4; "
        "leave the option out"
    ]
    refused = extract("--part", "2/2", "--new", **few)
    assert refused.code == 2
    assert "--part cannot go with --new" in refused.errors[0]
    assert rows(home, "SELECT count(*) FROM runs") == [(1,)]


def test_a_part_that_cannot_answer_anything_fails_alone(
    extract: Callable[..., Any],
    few: dict[str, Path],
    rows: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its machine may be at fault, so the run is not complete with its failures; the part can be done again."""
    from vlmprobe.families.worker.qwen.family import Tiny

    home = tmp_path / "home"

    def fail(*_: Any) -> Any:
        raise ValueError("a bad machine")

    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "prompts", fail)
        failed = extract("--part", "2/2", "--batch-size", 8, **few)
    assert failed.code == 1
    assert "no pair of part 2/2 could be answered; the first error was: " in failed.errors[0]
    extract("--part", "1/2", **few).ok()
    assert rows(home, PARTS) == [(1, 2, "complete"), (2, 2, "failed")]
    assert rows(home, "SELECT status FROM runs") == [("failed",)]
    extract("--part", "2/2", **few).ok()
    assert rows(home, "SELECT status FROM runs") == [("complete",)]


@pytest.mark.full
def test_templates_and_controls_are_extracted_in_parts_too(
    extract: Callable[..., Any], few: dict[str, Path], rows: Any, tmp_path: Path
) -> None:
    """Each run has its own plan and parts; a control needs a run that is complete."""
    home = tmp_path / "home"
    for number in (1, 2):
        templates = ("--templates", "published,yes-no", "--part", f"{number}/2", "--batch-size", 8)
        assert extract(*templates, **few).ok().err.count(f"part {number}/2: complete") == 2
    for number in (1, 2):
        extract("--control", "grey", "--part", f"{number}/2", "--batch-size", 8, **few).ok()
    found = rows(
        home,
        "SELECT template, control, status, count(DISTINCT pair_id) FROM runs JOIN predictions USING (run_id) "
        "GROUP BY runs.run_id, template, control, status ORDER BY template, control",
    )
    assert sorted(found, key=str) == [
        ("published", "grey", "complete", 24),
        ("published", None, "complete", 24),
        ("yes-no", None, "complete", 24),
    ]


@pytest.mark.full
def test_boxes_are_shared_out_as_well(
    inside: Any, mlflow_store: dict[str, str], benchmark: Callable[..., Path], rows: Any, tmp_path: Path
) -> None:
    """Pairs that only quads need are batches of the plan like others, and leave the numbers of the rest alone."""
    data = benchmark(8)
    options = ("--data", data, "--max-per-category", 5, "--boxes", data.parent / "boxes.json")

    def run(home: str, *more: object) -> None:
        where = ("--home", tmp_path / home, "--batch-size", 8, *more)
        inside("extract", "tiny", "--scale", "2m", *options, *where, **mlflow_store).ok()

    run("one")
    run("parts", "--part", "2/2")
    run("parts", "--part", "1/2")
    ours, one = read_left(tmp_path / "parts"), read_left(tmp_path / "one")
    assert (ours.answers, ours.states, ours.in_shards) == (one.answers, one.states, one.in_shards)
    assert rows(tmp_path / "parts", "SELECT status FROM runs") == [("complete",)]
