"""A shard's rows: all of them in one transaction, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.artifacts import forget_artifacts, mark_synced, shard_places
from vlmprobe.store.predictions import commit_failures, commit_shard, finished_pairs, next_shard_number
from vlmprobe.store.shards import FailureRecord, write_shard

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "SELECT pair_id, shard, shard_row, text FROM predictions WHERE side = 'orig' ORDER BY pair_id"
SHARDS = "SELECT shard, n_pairs FROM shards ORDER BY shard"


@pytest.fixture
def commit(study: Any, shard_content: Any, tmp_path: Path) -> Any:
    """Write a shard and its rows."""
    study.pairs({"1": "left", "2": "right", "3": "above"})
    study.run("r1")

    def run(*arguments: Any, **changed: Any) -> int:
        shard = write_shard(tmp_path / "spool", shard_content(*arguments, **changed))
        with study.database.transaction() as connection:
            return commit_shard(connection, shard)

    return run


@pytest.mark.of_a_file  # for Postgres the lease is renewed by who holds it
def test_a_shard_becomes_rows(study: Any, commit: Any) -> None:
    """Every answer knows its shard and its place in it; the run's lease is renewed."""
    assert commit(1, ("1", "2")) == 2
    assert study.rows(ROWS) == [("1", 1, 0, "left"), ("2", 1, 1, "left")]
    assert study.rows(SHARDS) == [(1, 2)]
    assert study.rows("SELECT lease IS NOT NULL FROM runs") == [(True,)]
    assert study.broken_checks() == []


@pytest.mark.parametrize("replaces", [False, True])
def test_the_same_shard_again_adds_nothing(study: Any, commit: Any, replaces: bool) -> None:
    """A crash after the commit and before anybody knew of it does no harm."""
    assert commit(1, ("1", "2"), replaces=replaces) == 2
    assert commit(1, ("1", "2"), replaces=replaces) == 0
    assert study.rows(ROWS) == [("1", 1, 0, "left"), ("2", 1, 1, "left")]
    assert study.rows(SHARDS) == [(1, 2)]
    assert study.broken_checks() == []


def test_a_pair_that_was_answered_keeps_its_answer(study: Any, commit: Any) -> None:
    """A second shard with the same pair owns what is new in it, and says so."""
    commit(1, ("1", "2"))
    assert commit(2, ("2", "3"), text="right") == 1
    assert study.rows(ROWS) == [("1", 1, 0, "left"), ("2", 1, 1, "left"), ("3", 2, 1, "right")]
    assert study.rows(SHARDS) == [(1, 2), (2, 1)]
    assert study.broken_checks() == []


def test_a_shard_that_replaces_takes_its_pairs_over(study: Any, commit: Any) -> None:
    """The earlier shard counts them no more; a shard may lose all of its pairs."""
    commit(1, ("1", "2"))
    commit(2, ("3",))
    assert commit(3, ("2", "3"), replaces=True, text="right") == 2
    assert study.rows(ROWS) == [("1", 1, 0, "left"), ("2", 3, 0, "right"), ("3", 3, 1, "right")]
    assert study.rows(SHARDS) == [(1, 1), (2, 0), (3, 2)]
    assert study.broken_checks() == []


def test_replacing_touches_no_other_run(study: Any, commit: Any) -> None:
    """Runs of one dataset share their pair ids."""
    study.run("r2")
    commit(1, ("1", "2"))
    commit(1, ("1",), run_id="r2", replaces=True, text="right")
    assert study.rows(
        f"SELECT run_id, count(*) FROM ({ROWS.replace('pair_id,', 'run_id, pair_id,')}) AS found GROUP BY 1 ORDER BY 1"
    ) == [
        ("r1", 2),
        ("r2", 1),
    ]


def test_certificates_travel_with_their_shard(study: Any, commit: Any) -> None:
    """A comparison without a number (a model that gives NaN) is kept as well."""
    certificate = {
        "batch": 0,
        "reason": "first",
        "n_questions": 4,
        "dtype": "float32",
        "max_rel_dh": None,
        "median_delta_cosine": None,
        "layers_counted": 0,
        "answers_compared": 0,
        "answers_equal": 0,
        "passed": False,
        "action": "redone plainly",
    }
    commit(1, ("1", "2"), certificates=(certificate,))
    assert study.rows("SELECT run_id, batch, max_rel_dh, passed FROM certificates") == [
        ("r1", 0, None, False)
    ]


def test_a_shard_that_fails_leaves_no_row(study: Any, commit: Any) -> None:
    """Predictions, certificates and shard come together or not at all."""
    with pytest.raises(Exception, match=r"(?i)not.null constraint"):
        commit(1, ("1", "2"), certificates=({"batch": 0},))
    assert study.rows(ROWS) == []
    assert study.rows(SHARDS) == []


def test_every_failure_is_one_more_attempt(study: Any, commit: Any) -> None:
    """A pair that failed twice and then went well is finished, its history kept."""
    for message in ("too big", "too big still"):
        with study.database.transaction() as connection:
            commit_failures(connection, "r1", [FailureRecord("1", "OutOfMemoryError", message)])
    with study.database.transaction() as connection:
        commit_failures(connection, "r1", [])
        assert finished_pairs(connection, "r1") == set()
    commit(1, ("1",))
    with study.database.transaction() as connection:
        assert finished_pairs(connection, "r1") == {"1"}
    assert study.rows("SELECT pair_id, attempt, message FROM failures ORDER BY attempt") == [
        ("1", 1, "too big"),
        ("1", 2, "too big still"),
    ]


def test_a_pair_with_one_side_is_not_finished(study: Any, commit: Any) -> None:
    """It would be asked again."""
    study.answers("r1", {"1": (True,), "2": (True, False)})
    with study.database.transaction() as connection:
        assert finished_pairs(connection, "r1") == {"2"}
    assert "checks/both_sides" in study.broken_checks()


def test_shards_are_numbered_on(study: Any, commit: Any) -> None:
    """From one, and after a gap from the highest."""
    with study.database.transaction() as connection:
        assert next_shard_number(connection, "r1") == 1
    commit(1, ("1",))
    commit(4, ("2",))
    with study.database.transaction() as connection:
        assert next_shard_number(connection, "r1") == 5
        assert next_shard_number(connection, "r2") == 1


def test_what_mlflow_has_is_known_shard_by_shard(study: Any, commit: Any) -> None:
    """And forgotten when its run is replaced."""
    commit(1, ("1",))
    commit(2, ("2",))
    with study.database.transaction() as connection:
        mark_synced(connection, "r1", 1, "mlflow-artifacts:/1")
        assert [place.number for place in shard_places(connection, "r1")] == [1, 2]
        assert [place.number for place in shard_places(connection, "r1", unsynced_only=True)] == [2]
        forget_artifacts(connection, "r1")
        assert [place.number for place in shard_places(connection, "r1", unsynced_only=True)] == [1, 2]
        assert {place.artifact_uri for place in shard_places(connection, "r1")} == {None}
