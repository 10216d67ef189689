"""Hidden states and quads' deltas of a run, layer by layer, in the dataset's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.store.arrays import RunArrays
from vlmprobe.store.imports import commit_import
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import QuadRow
from vlmprobe.store.shards import write_shard
from vlmprobe.store.storage import Storage
from vlmprobe.store.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def commit(study: Any, shard_content: Any, tmp_path: Path) -> Callable[..., Any]:
    """Write a shard of run r1 and its rows; return what it holds: layer -> (pairs, 2, 4)."""
    study.pairs({"1": "far", "2": "close", "3": "left"})
    study.pairs({"1/v": "above", "2/v": "below"}, origin="quad")
    study.run("r1")

    def run(*arguments: Any, **changed: Any) -> Any:
        content = shard_content(*arguments, **changed)
        shard = write_shard(tmp_path / "spool", content)
        with study.database.transaction() as connection:
            if content.kind == "deltas":
                commit_import(connection, "data", "published", [shard])
            else:
                commit_shard(connection, shard)
        return dict(zip(content.layers, content.states, strict=True))

    return run


@pytest.fixture
def link(study: Any) -> Callable[..., None]:
    """Add quads: distance pair -> vertical pair."""

    def run(**links: str) -> None:
        rows = [
            {"dataset_id": "data", "template": "published", "distance_pair_id": d[1:], "vertical_pair_id": v}
            for d, v in links.items()
        ]
        with study.database.transaction() as connection:
            insert_rows(connection, QuadRow, rows)

    return run


@pytest.fixture
def arrays(study: Any, settings: Any, tmp_path: Path) -> Callable[[], RunArrays]:
    """Open the run's arrays."""
    return lambda: RunArrays(Storage(study.database, Tracker(settings), tmp_path / "cache"), "r1")


def test_states_come_in_the_datasets_order(commit: Any, arrays: Any) -> None:
    """Whatever shard a pair is in, and wherever in it; pairs asked for quads are not among them."""
    first, second = commit(1, ("3", "1/v")), commit(2, ("2", "1"))
    run = arrays()
    assert (run.layers, run.pair_ids, run.categories) == ([0, 5], ["1", "2", "3"], ["far", "close", "left"])
    np.testing.assert_array_equal(run.layer(5), np.stack([second[5][1], second[5][0], first[5][0]]))


def test_a_quad_takes_its_halves_from_the_pairs(commit: Any, link: Any, arrays: Any) -> None:
    """Its deltas are swap - orig of the vertical pair and of the distance pair."""
    link(_1="1/v", _2="2/v")
    states = commit(1, ("1", "1/v", "2", "2/v"))[0]
    run = arrays()
    assert run.quads.ids == ("1", "2")
    assert run.quads.vertical_categories == ("above", "below")
    assert run.quads.distance_categories == ("far", "close")
    vertical, distance = run.quad_deltas(0)
    np.testing.assert_array_equal(vertical, states[[1, 3], 1] - states[[1, 3], 0])
    np.testing.assert_array_equal(distance, states[[0, 2], 1] - states[[0, 2], 0])


def test_a_quad_with_a_half_unanswered_is_left_out(commit: Any, link: Any, arrays: Any) -> None:
    """Its pair failed, or the run was made before the boxes came."""
    link(_1="1/v", _2="2/v")
    commit(1, ("1", "2", "2/v"))
    run = arrays()
    assert run.quads.ids == ("2",)
    assert len(run.quad_deltas(0)[0]) == 1


@pytest.mark.parametrize("wrong", ["2", "2/v"])
def test_a_quad_is_right_when_all_four_answers_are(commit: Any, link: Any, arrays: Any, wrong: str) -> None:
    """One wrong half, either of the two, is enough to leave it out of ``both_correct``."""
    link(_1="1/v", _2="2/v")
    right = tuple(pair for pair in ("1", "1/v", "2", "2/v") if pair != wrong)
    commit(1, right, text="left")
    commit(2, (wrong,), text="no")
    assert arrays().quads.both_correct.tolist() == [True, False]


def test_imported_quads_are_deltas_and_nothing_else(commit: Any, arrays: Any, study: Any) -> None:
    """Vertical first, then distance, named by their row; a run without them is as before."""
    commit(1, ("1", "2"))
    deltas = commit(2, ("quad/0", "quad/1", "quad/2"), kind="deltas", answers=())[5]
    run = arrays()
    assert run.pair_ids == ["1", "2"]
    assert run.quads.ids == ("quad/0", "quad/1", "quad/2")
    assert (run.quads.images, run.quads.vertical_categories, run.quads.both_correct) == (None, None, None)
    assert run.quads.vertical_ids is None
    vertical, distance = run.quad_deltas(5)
    np.testing.assert_array_equal(vertical, deltas[:, 0])
    np.testing.assert_array_equal(distance, deltas[:, 1])
    assert study.rows("SELECT distance_pair_id, vertical_pair_id FROM quads ORDER BY 1") == [
        (f"quad/{row}", None) for row in range(3)
    ]


def test_imported_quads_whose_pairs_are_known_are_like_any_others(
    commit: Any, link: Any, arrays: Any, shard_content: Any, study: Any
) -> None:
    """Their shard brings the answers of the pairs that have no states; the rows follow the shard, not the dataset."""
    link(_1="1/v", _2="2/v")
    commit(1, ("1", "2", "3"), text="left")
    answers = shard_content(2, ("1/v", "2/v"), text="left").answers
    deltas = commit(2, ("2", "1"), kind="deltas", answers=answers)[5]
    run = arrays()
    assert run.pair_ids == ["1", "2", "3"]
    assert (run.quads.ids, run.quads.vertical_ids) == (("2", "1"), ("2/v", "1/v"))
    assert run.quads.vertical_categories == ("below", "above")
    assert run.quads.distance_categories == ("close", "far")
    assert run.quads.both_correct.tolist() == [True, True]
    np.testing.assert_array_equal(run.quad_deltas(5)[0], deltas[:, 0])
    placed = "SELECT DISTINCT pair_id, shard, shard_row FROM predictions WHERE pair_id LIKE '%/v' ORDER BY 1"
    assert study.rows(placed) == [("1/v", None, None), ("2/v", None, None)]
