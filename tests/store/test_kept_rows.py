"""Kept rows: whatever is done to a run, views say of it what its predictions say, to the last bit.

The views of revision 0004, which aggregated the predictions of all runs, are made beside ours as the oracle.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import text, update

from vlmprobe.pairs import QuadSet, Side
from vlmprobe.pairs.axes import LEFT, SPACE
from vlmprobe.resources import migrations_folder
from vlmprobe.store.checks import run_checks
from vlmprobe.store.copying import copy_rows
from vlmprobe.store.datasets import register_quads
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.imports import ImportedPair, register_imported_dataset
from vlmprobe.store.kept_rows import KEPT, renew_rows
from vlmprobe.store.predictions import commit_failures, commit_shard, forget_shard, restore_rows
from vlmprobe.store.queries import load_query
from vlmprobe.store.rows import fetch, fetch_column
from vlmprobe.store.run_edits import delete_run
from vlmprobe.store.runs import set_status
from vlmprobe.store.schema import Prediction
from vlmprobe.store.shards import Answer, FailureRecord, ShardFile
from vlmprobe.store.transfer import read_run, write_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

VIEWS = ("every_pair_answer", "every_answer_share")
CHECKS = ("checks/kept_answer_counts", "checks/kept_pair_answers", "checks/kept_run_counts")
#: What a list of runs counted before.
COUNTS = """
SELECT runs.run_id,
    (SELECT count(DISTINCT pair_id) FROM predictions WHERE predictions.run_id = runs.run_id) AS n_pairs,
    (
        SELECT count(DISTINCT failures.pair_id)
        FROM failures
        LEFT JOIN predictions ON failures.run_id = predictions.run_id AND failures.pair_id = predictions.pair_id
        WHERE failures.run_id = runs.run_id AND predictions.pair_id IS NULL
    ) AS n_failed,
    (SELECT count(*) FROM predictions WHERE predictions.run_id = runs.run_id AND parsed IS NULL) AS n_unnamed
FROM runs
"""


def before(view: str) -> str:
    """Return a view of revision 0004 under another name."""
    path = migrations_folder() / "views" / "0004" / f"{view}.sql"
    return path.read_text(encoding="utf-8").replace("every_", "before_every_")


def in_bits(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows in an order of their own, each float by its bits."""
    return sorted(
        repr({name: struct.pack("<d", x) if isinstance(x, float) else x for name, x in row.items()})
        for row in rows
    )


def check_views(connection: Connection) -> None:
    """Compare every row that a view gives with the oracle's, and the kept rows with what the answers say."""
    for view in VIEWS:
        ours, theirs = (fetch(connection, f"SELECT * FROM {name}") for name in (view, f"before_{view}"))
        assert in_bits(ours) == in_bits(theirs), view
    listed = load_query("runs/listed").table(connection, {"controls": "also"})
    counts = fetch(connection, COUNTS)
    assert in_bits([{name: row[name] for name in counts[0]} for row in listed] if counts else []) == in_bits(
        counts
    )
    for check in CHECKS:
        assert load_query(check).table(connection) == [], check


@pytest.fixture
def watched(study: Any) -> Any:
    """Make the oracle's views in a study."""
    with study.database.transaction() as connection:
        for view in VIEWS:
            connection.execute(text(before(view)))
    return study


class Life:
    """Does at random what commands do to runs, and compares the views after each thing."""

    def __init__(self, study: Any, seed: int, folder: Path) -> None:
        self._study, self._draw, self._folder = study, np.random.default_rng(seed), folder
        self._pairs: list[str] = []
        self._shards: list[ShardFile] = []
        self._runs: list[str] = []

    def begin(self) -> None:
        """Make pairs whose images are shared by several, unknown or empty, and some that quads alone need."""
        draw = self._draw
        for place in range(24):
            name = str(draw.choice([str(category) for category in SPACE.categories]))
            image = draw.choice(["a", "b", "c", "d", "", None])
            pair_id = f"p{place}"
            origin = "quad" if draw.random() < 0.2 else "row"
            self._study.pairs({pair_id: name}, images={pair_id: image}, origin=origin)
            self._pairs.append(pair_id)

    def live(self, n: int) -> None:
        """Do n things."""
        things: list[Callable[[Connection], None]] = [self.answer] * 4
        things += [self.fail, self.forget, self.restore, self.redo, self.boxes, self.remove]
        for _ in range(n):
            if len(self._runs) < 4:
                control = str(self._draw.choice(["", "", "grey"]))
                run_id = f"r{self._draw.integers(10**9)}"
                self._study.run(run_id, control=control or None, serves="r" if control else None)
                self._runs.append(run_id)
            thing = things[self._draw.integers(len(things))]
            with self._study.database.transaction() as connection:
                thing(connection)
                check_views(connection)
                status = str(self._draw.choice(["complete", "complete", "running", "interrupted", "failed"]))
                if self._runs:
                    set_status(connection, self._any(self._runs), status)

    def extract(self) -> None:
        """Make a complete run of two shards."""
        self._study.run("r1")
        self._runs.append("r1")
        with self._study.database.transaction() as connection:
            self.answer(connection)
            self.answer(connection)
            set_status(connection, "r1", "complete")

    def _any(self, items: list[Any]) -> Any:
        return items[self._draw.integers(len(items))]

    def answer(self, connection: Connection, *, replaces: bool = False) -> None:
        """Commit a shard of some pairs; of a few only one side is answered, and texts may be anything."""
        draw, run_id = self._draw, self._any(self._runs)
        chosen = tuple(str(pair) for pair in draw.choice(self._pairs, size=6, replace=False))
        answers = tuple(
            Answer(
                pair_id, str(side), self._any(["left", "", "ü", None]), self._any(["left", None]),
                bool(draw.random() < 0.6), "published", None, None, self._any([None, 0.1, float(draw.normal())]),
            )
            for pair_id in chosen
            for side in Side
            if side is Side.ORIG or draw.random() < 0.9
        )  # fmt: skip
        number = 1 + max((shard.number for shard in self._shards if shard.run_id == run_id), default=0)
        shard = ShardFile(
            self._folder / f"{number}.safetensors", "hash", 1, run_id, number, chosen, (0,), 4, "float32", answers,
            replaces=replaces,
        )  # fmt: skip
        commit_shard(connection, shard)
        self._shards.append(shard)

    def redo(self, connection: Connection) -> None:
        """Replace answers, as after a failed certificate."""
        self.answer(connection, replaces=True)

    def fail(self, connection: Connection) -> None:
        failed = [FailureRecord(self._any(self._pairs), "Error", "why") for _ in range(2)]
        commit_failures(connection, self._any(self._runs), failed[:1])

    def forget(self, connection: Connection) -> None:
        if self._shards:
            shard = self._any(self._shards)
            forget_shard(connection, shard.run_id, shard.number)

    def restore(self, connection: Connection) -> None:
        """Write answers that were changed by hand again from their shard."""
        if self._shards:
            shard = self._any(self._shards)
            changed = update(Prediction).where(Prediction.run_id == shard.run_id)
            connection.execute(changed.values(correct=~Prediction.correct))
            renew_rows(connection, shard.run_id)
            restore_rows(connection, shard, is_complete=True)

    def boxes(self, connection: Connection) -> None:
        """Give distance pairs their perspectives: counts by perspective are there from then on."""
        kinds = {pair: str(self._any(["consistent", "counter", "ambiguous"])) for pair in self._pairs[::2]}
        counts = {"matched": len(kinds), "ambiguous": 0, "no_box": 0, "no_objects": 0}
        dataset = SimpleNamespace(dataset_id="data", template="published", name="bench", pairs=())
        quads = QuadSet(links=(), pairs=(), perspectives=kinds, counts=counts)
        if fetch_column(connection, "SELECT count(*) FROM swap_pairs WHERE perspective IS NOT NULL") == [0]:
            register_quads(connection, dataset, quads)  # type: ignore[arg-type]

    def remove(self, connection: Connection) -> None:
        run_id = self._any(self._runs)
        delete_run(connection, run_id)
        self._runs.remove(run_id)
        self._shards = [shard for shard in self._shards if shard.run_id != run_id]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 4))])
def test_views_say_what_the_predictions_say_whatever_is_done(watched: Any, tmp_path: Path, seed: int) -> None:
    """Shards that come, are redone, lost and restored; failures; boxes; runs that end in any way or are removed."""
    life = Life(watched, seed, tmp_path)
    life.begin()
    life.live(10 if seed == 0 else 40)


@pytest.mark.parametrize("thing", ["answer", "redo", "fail", "forget", "restore", "boxes", "remove"])
def test_whatever_changes_a_complete_run_changes_its_kept_rows(
    watched: Any, tmp_path: Path, thing: str
) -> None:
    """Such as ``verify --repair``, which adopts, rewrites or gives up shards, or boxes that come later."""
    life = Life(watched, 2, tmp_path)
    life.begin()
    life.extract()
    with watched.database.transaction() as connection:
        getattr(life, thing)(connection)
        check_views(connection)


@pytest.fixture
def answered(watched: Any) -> Any:
    """Make a complete run of three pairs, one of which failed."""
    watched.pairs({"1": "left", "2": "above", "3": "far"})
    # Answers of an import need no shard.
    watched.run("r1", provenance="imported")
    watched.answers("r1", {"1": (True, False), "2": (True, True)})
    with watched.database.transaction() as connection:
        commit_failures(connection, "r1", [FailureRecord("3", "Error", "why")])
        set_status(connection, "r1", "complete")
    return watched


def kept(study: Any) -> list[int]:
    """Count the kept rows."""
    return [study.rows(f"SELECT count(*) FROM {table.__tablename__}")[0][0] for table in KEPT]


def test_a_run_has_kept_rows_exactly_while_it_is_complete(answered: Any) -> None:
    """Retrying its failed pair begins with none, and ends with those of all its pairs."""
    assert kept(answered) == [2, 15, 1]
    assert answered.rows("SELECT n_pairs, n_answers, n_unnamed, n_failed FROM kept_run_counts") == [
        (2, 4, 4, 1)
    ]
    with answered.database.transaction() as connection:
        set_status(connection, "r1", "running")
    assert kept(answered) == [0, 0, 0]
    answered.answers("r1", {"3": (True, True)})
    with answered.database.transaction() as connection:
        set_status(connection, "r1", "complete")
        check_views(connection)
    assert answered.rows("SELECT n_pairs, n_failed FROM kept_run_counts") == [(3, 0)]


def test_what_is_undone_leaves_the_kept_rows_as_they_were(answered: Any) -> None:
    """They are made in the transaction that changes the answers, so a crash cannot part the two."""
    with pytest.raises(KeyError), answered.database.transaction() as connection:  # noqa: PT012 - both are needed
        set_status(connection, "r1", "interrupted")
        raise KeyError
    assert kept(answered) == [2, 15, 1]
    with answered.database.transaction() as connection:
        check_views(connection)


def test_facts_that_a_later_import_brings_are_counted(watched: Any, tmp_path: Path) -> None:
    """Images that were unknown: the bounds know now which pairs share one."""
    pairs = [ImportedPair(str(place), LEFT, place) for place in range(8)]
    with watched.database.transaction() as connection:
        register_imported_dataset(connection, "imported", "old", tmp_path, pairs)
    watched.run("r1", dataset_id="imported", template="old")
    watched.answers("r1", {str(place): (place % 3 == 0, True) for place in range(8)})
    with watched.database.transaction() as connection:
        set_status(connection, "r1", "complete")
        check_views(connection)
    images = "SELECT n_images FROM accuracy WHERE axis = 'overall'"
    assert watched.rows(images) == [(8,)]
    known = [ImportedPair(str(k), LEFT, k, facts={"image_sha256": f"image {k // 2}"}) for k in range(8)]
    with watched.database.transaction() as connection:
        register_imported_dataset(connection, "imported", "old", tmp_path, known)
        check_views(connection)
    assert watched.rows(images) == [(4,)]


def test_a_run_of_another_home_gets_kept_rows_here(
    answered: Any, empty_database: Path, tmp_path: Path
) -> None:
    """And perspectives that come with it are counted for the run that was here before."""
    there = DuckDBStore(empty_database)
    path = tmp_path / "other.duckdb"
    path.write_bytes(there.path.read_bytes())
    other = type(answered)(DuckDBStore(path))
    copy_rows(answered.database, other.database)
    with other.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE swap_pairs SET perspective = 'counter' WHERE pair_id = '3'")
        connection.exec_driver_sql("UPDATE runs SET run_id = 'r2', run_key = 'another'")
        for table in ("predictions", "failures"):
            connection.exec_driver_sql(f"UPDATE {table} SET run_id = 'r2'")
        rows = read_run(connection, "r2")
    answered.answers("r1", {"3": (True, True)})
    with answered.database.transaction() as connection:
        write_run(connection, rows, {})
        check_views(connection)
    assert answered.rows("SELECT run_id FROM kept_run_counts ORDER BY run_id") == [("r1",), ("r2",)]
    counted = answered.rows(
        "SELECT run_id, name FROM every_answer_share WHERE kind = 'perspective' AND side = 'both'"
    )
    assert counted == [("r1", "counter")]


def test_checks_of_one_run_look_at_its_rows_alone(answered: Any) -> None:
    """What another run's rows break is no matter of this one; what its own break is named."""
    answered.run("r2", provenance="imported")
    answered.answers("r2", {"1": (True,)})
    with answered.database.transaction() as connection:
        assert [result.check for result in run_checks(connection, "r1") if result.rows] == []
        (both,) = (result for result in run_checks(connection, "r2") if result.rows)
        assert (both.check, both.rows, both.example) == (
            "checks/both_sides",
            1,
            "run_id=r2, pair_id=1, sides=1",
        )
        connection.exec_driver_sql("UPDATE kept_answer_counts SET k = k + 1 WHERE side = 'both'")
        wrong = [(result.check, result.rows) for result in run_checks(connection, "r1") if result.rows]
        assert wrong == [("checks/kept_answer_counts", 5)]


def test_runs_are_checked_some_at_a_time(answered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same is found, however many answers are looked at together."""
    for run_id in ("r0", "r2"):
        answered.run(run_id)
        answered.answers(run_id, {"1": (True,), "2": (False,)})
    found = []
    for at_once in (1, 3, 10**9):
        monkeypatch.setattr("vlmprobe.store.answers_of_runs._ANSWERS", at_once)
        with answered.database.transaction() as connection:
            found.append({result.check: result.rows for result in run_checks(connection)})
    assert found[0]["checks/both_sides"] == 4
    assert found[1:] == found[:1] * 2
