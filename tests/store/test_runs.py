"""Datasets and runs: registered once, found by their key, leased and finished."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from vlmprobe.errors import LeaseHeldError, VlmprobeError
from vlmprobe.pairs import SPACE, Dataset, HeldImage, Question, RowProblem, SwapPair
from vlmprobe.pairs.axes import LEFT, RIGHT
from vlmprobe.store import runs
from vlmprobe.store.datasets import register_dataset
from vlmprobe.store.earlier_runs import EarlierRun, begun_on_another_content, other_checkpoint
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.store.runs import RunPlan, complete_runs, find_run, open_run, set_status

from .conftest import next_millisecond

PLAN = RunPlan(
    "key", "data", "published", "tiny", "80k", "folder", "abc", 80000, None, "float32", "cpu", {"a": [1]}
)


def _pair(pair_id: str) -> SwapPair:
    orig = Question("Is the cup to the left or right of the book?", LEFT, RIGHT)
    swap = Question("Is the book to the left or right of the cup?", RIGHT, LEFT)
    return SwapPair(pair_id, LEFT, "cup", "book", orig, swap, "ab" * 32, 640, 480, 2, HeldImage(b""))


@pytest.fixture
def dataset() -> Dataset:
    """Make two pairs and a row that gives none."""
    return Dataset(
        axes=SPACE,
        path=Path("bench.tsv"),
        name="bench",
        form="embspatial",
        template="published",
        dataset_id="d1",
        pairs=(_pair("7"), _pair("3")),
        problems=(RowProblem(4, "image", "not an image", "image"),),
        n_rows=3,
        n_made={LEFT: 2},
        options={"max_per_category": 200},
    )


def test_a_dataset_is_registered_once(study: Any, dataset: Dataset) -> None:
    """With its pairs in their order and the rows that give none; again it changes nothing."""
    for _ in range(2):
        with study.database.transaction() as connection:
            register_dataset(connection, dataset)
    assert study.rows(
        "SELECT name, n_rows, options->>'max_per_category' FROM datasets WHERE dataset_id = 'd1'"
    ) == [("bench", 3, "200")]
    assert study.rows(
        "SELECT pair_id, position, axis, orig_expected, swap_expected, orig_question, image_width "
        "FROM swap_pairs ORDER BY position"
    ) == [
        ("7", 0, "horizontal", "left", "right", "Is the cup to the left or right of the book?", 640),
        ("3", 1, "horizontal", "left", "right", "Is the cup to the left or right of the book?", 640),
    ]
    assert study.rows("SELECT line, what, why, column_name FROM row_problems") == [
        (4, "image", "not an image", "image")
    ]
    assert study.broken_checks() == []


def test_each_template_of_a_dataset_has_its_pairs(study: Any, dataset: Dataset) -> None:
    """One dataset and one list of its bad rows; the same pairs in the same order with other questions."""
    for template in ("published", "yes-no", "yes-no"):
        with study.database.transaction() as connection:
            register_dataset(connection, dataset.under(template))
    assert study.rows("SELECT count(*) FROM datasets WHERE dataset_id = 'd1'") == [(1,)]
    assert study.rows("SELECT count(*) FROM row_problems") == [(1,)]
    assert study.rows(
        "SELECT template, pair_id, position, category, orig_expected, swap_expected FROM swap_pairs ORDER BY 1, 2"
    ) == [
        ("published", "3", 1, "left", "left", "right"),
        ("published", "7", 0, "left", "left", "right"),
        ("yes-no", "3", 1, "left", "yes", "no"),
        ("yes-no", "7", 0, "left", "yes", "no"),
    ]
    assert study.broken_checks() == []


def test_many_pairs_go_in_by_parts(study: Any, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at its place, none twice: a benchmark of any size takes the memory of one part."""
    monkeypatch.setattr("vlmprobe.store.datasets._PAIRS_AT_A_TIME", 2)
    many = replace(dataset, pairs=tuple(_pair(str(number)) for number in range(5)))
    with study.database.transaction() as connection:
        register_dataset(connection, many)
    found = study.rows("SELECT pair_id, position FROM swap_pairs WHERE dataset_id = 'd1' ORDER BY position")
    assert found == [(str(number), number) for number in range(5)]


def test_the_same_plan_finds_its_run(study: Any) -> None:
    """Extract again, and it goes on where it was."""
    with study.database.transaction() as connection:
        made, was_there = open_run(connection, PLAN, new=False)
        again, is_there = open_run(connection, PLAN, new=False)
    assert (was_there, is_there) == (False, True)
    assert again == made
    assert (made.name, made.dataset, made.status, made.config) == (
        "tiny @ 80k",
        "bench",
        "created",
        {"a": [1]},
    )


def test_new_makes_another_run_and_the_newest_is_found(study: Any) -> None:
    """Keys stay unique; a key that begins alike is another plan's."""
    with study.database.transaction() as connection:
        for key in ("key", "key", "key", "keyhole"):
            open_run(connection, replace(PLAN, run_key=key), new=True)
            next_millisecond()
        found = find_run(connection, "key")
    assert study.rows("SELECT run_key FROM runs ORDER BY run_id") == [
        ("key",),
        ("key#2",),
        ("key#3",),
        ("keyhole",),
    ]
    assert found is not None
    assert found.run_key == "key#3"


@pytest.mark.of_a_file
def test_a_run_that_another_host_works_on_is_refused(study: Any) -> None:
    """Until its heartbeat is old; ``--new`` is free to start another."""
    with study.database.transaction() as connection:
        run, _ = open_run(connection, PLAN, new=False)
        lease = json.dumps({"host": "elsewhere", "pid": 7, "renewed": time.time()})
        set_status(connection, run.run_id, "running", lease=lease)
    with study.database.transaction() as connection:
        with pytest.raises(LeaseHeldError, match="process 7 on elsewhere"):
            open_run(connection, PLAN, new=False)
        assert open_run(connection, PLAN, new=True)[1] is False
        set_status(connection, run.run_id, "interrupted")
    assert study.rows("SELECT lease, finished_at IS NOT NULL FROM runs WHERE status = 'interrupted'") == [
        (None, True)
    ]


@pytest.mark.of_a_file
def test_statuses_carry_what_was_learnt(study: Any) -> None:
    """A running run shows who holds it."""
    run = study.run("r1", status="created")
    with study.database.transaction() as connection:
        set_status(connection, run.run_id, "running", n_layers=4, versions={"torch": "2"})
        found = runs.get_run(connection, "r1")
    assert (found.status, found.n_layers, found.versions) == ("running", 4, {"torch": "2"})
    assert study.rows("SELECT lease->>'pid' IS NOT NULL FROM runs") == [(True,)]


def test_a_run_that_was_removed_meanwhile_is_one_line(study: Any) -> None:
    """By another process, say; while a status is written as well as when it is read."""
    run = study.run("r1", status="created")
    with study.database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
    line = f"run r1 was removed from {study.database.name} meanwhile; run the same command again"
    with study.database.transaction() as connection:
        set_status(connection, run.run_id, "failed")
        with pytest.raises(VlmprobeError) as caught:
            runs.get_run(connection, "r1")
    assert str(caught.value) == line


def test_runs_are_listed_with_their_counts(study: Any) -> None:
    """A pair that failed first and was answered later has not failed."""
    study.pairs({"1": "left", "2": "left"})
    study.run("r1", scale="80k")
    study.answers("r1", {"1": (True, True)})
    with study.database.transaction() as connection:
        for pair_id in ("1", "2"):
            connection.exec_driver_sql(
                f"INSERT INTO failures VALUES ('r1', '{pair_id}', 1, 'E', 'm', '2026-01-01')"
            )
        (run,) = list_runs(connection)
    assert (run.run_id, run.dataset, run.pairs, run.failed) == ("r1", "bench", 1, 1)


def test_complete_runs_come_in_the_order_of_training(study: Any) -> None:
    """Filtered by what is given; unfinished runs are never among them."""
    study.run("r1", scale="800k", samples_seen=800_000, status="complete")
    study.run("r2", scale="80k", samples_seen=80_000, status="complete")
    study.run("r3", scale="roborefer", samples_seen=None, status="complete")
    study.run("r4", scale="2m", samples_seen=2_000_000, status="interrupted")
    study.run("r5", family="molmo", scale="80k", status="complete")

    def scales(**filters: Any) -> list[str]:
        with study.database.transaction() as connection:
            return [run.name for run in complete_runs(connection, **filters)]

    everything = ["molmo @ 80k", "tiny @ 80k", "tiny @ 800k", "tiny @ roborefer"]
    assert scales() == everything
    assert scales(families=["tiny"], scales=["800k", "80k"]) == ["tiny @ 80k", "tiny @ 800k"]
    assert scales(dataset_id="data") == everything
    assert scales(dataset_id="another") == []


def test_a_run_under_another_template_says_so_in_its_name(study: Any) -> None:
    """Published, spelled-out and imported questions are a benchmark's own, and need no word."""
    names = {
        template: study.run(template, template=template).name
        for template in ("published", "as-written", "imported", "yes-no", "options-swapped")
    }
    assert names == {
        "published": "tiny @ 80k",
        "as-written": "tiny @ 80k",
        "imported": "tiny @ 80k",
        "yes-no": "tiny @ 80k (yes-no)",
        "options-swapped": "tiny @ 80k (options-swapped)",
    }


def test_complete_runs_of_a_template(study: Any) -> None:
    """``published`` finds runs on a benchmark's own questions, whatever these are called."""
    for template in ("published", "imported", "yes-no", "yes-no-opposite"):
        study.run(template, template=template, status="complete")

    def found(*templates: str) -> list[str]:
        with study.database.transaction() as connection:
            return sorted(run.template for run in complete_runs(connection, templates=templates))

    assert found() == ["imported", "published", "yes-no", "yes-no-opposite"]
    assert found("published") == ["imported", "published"]
    assert found("yes-no") == ["yes-no"]
    assert found("yes-no", "published") == ["imported", "published", "yes-no"]


@pytest.mark.of_a_file
def test_runs_begun_on_another_content_of_the_same_file_are_found(study: Any) -> None:
    """The file changed between two starts: the earlier run is told, unless it is complete or of another scale."""
    study.run("old")
    study.run("done", status="complete")
    study.run("other", scale="2m")
    with study.database.transaction() as connection:
        connection.execute(
            text("INSERT INTO datasets BY NAME SELECT * REPLACE ('changed' AS dataset_id) FROM datasets")
        )
    now = study.run("now", dataset_id="changed")
    with study.database.transaction() as connection:
        bench = str(study.database.path.parent / "bench.tsv")
        assert begun_on_another_content(connection, now) == [EarlierRun("old", bench, 0)]
        connection.execute(text("UPDATE datasets SET path = 'elsewhere.tsv' WHERE dataset_id = 'data'"))
    with study.database.transaction() as connection:
        assert begun_on_another_content(connection, now) == []


def test_the_newest_run_of_a_key_is_that_of_the_highest_number(
    study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was set back between two runs must not bring the older one back, nor a number twice."""
    times = iter([datetime(2026, 1, day) for day in (9, 8, 7)])  # noqa: DTZ001
    monkeypatch.setattr(runs, "utc_now", lambda: next(times))
    with study.database.transaction() as connection:
        for _ in range(3):
            last, _ = open_run(connection, PLAN, new=True)
        assert last.run_key == "key#3"
        found, _ = open_run(connection, PLAN, new=False)
    assert found.run_id == last.run_id


def test_a_scale_that_was_another_checkpoint_until_now_is_found(study: Any) -> None:
    """Until one of its runs has the new one; what was imported has no checkpoint to compare."""

    def other(fingerprint: str) -> str | None:
        with study.database.transaction() as connection:
            found = other_checkpoint(connection, replace(PLAN, fingerprint=fingerprint))
        return found and found.fingerprint

    assert other("new") is None
    study.run("imported", fingerprint="folder", provenance="imported")
    assert other("new") is None
    study.run("first", fingerprint="old", checkpoint="models/old")
    assert other("new") == "old"
    assert other("old") is None
    study.run("second", fingerprint="new", checkpoint="models/new")
    assert other("new") is None
    assert other("old") is None
