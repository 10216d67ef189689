"""What a comparison of many runs asks: the same rows from both databases, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.store import answers_of_runs as answers
from vlmprobe.store import metrics_of_runs as metrics
from vlmprobe.store.artifacts import shard_places
from vlmprobe.store.queries import load_query
from vlmprobe.store.rows import fetch_column

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database


@dataclass(frozen=True)
class Share:
    """One row of the query."""

    axis: str
    n: int
    acc_both: float
    acc_both_low: float


def _layer_series(connection: Connection, runs: list[str]) -> Any:
    """Return every field, arrays as their bytes: NaN differs from NaN otherwise."""
    return [
        [
            (kept.dtype.str, kept.tobytes())
            if isinstance(kept := getattr(one, name.name), np.ndarray)
            else kept
            for name in fields(one)
        ]
        for one in metrics.read_layer_series(connection, runs)
    ]


def _shards(connection: Connection, runs: list[str]) -> Any:
    return [
        shard_places(connection, run, unsynced_only=unsynced) for run in runs for unsynced in (False, True)
    ]


#: Name -> what is asked of a connection about runs.
ASKED: dict[str, Callable[[Connection, list[str]], Any]] = {
    "pairs": answers.count_pairs,
    "unnamed": answers.unnamed_answers,
    "disagreements": answers.count_disagreements,
    "changes": answers.changes_in_sequence,
    "accuracy": lambda connection, runs: answers.answers_of_runs(
        load_query("accuracy/by_axis"), Share, connection, runs
    ),
    "layers": _layer_series,
    "at layers": lambda connection, runs: [
        repr(each)
        for each in metrics.read_metrics_at(
            connection,
            {run: 1 + n for n, run in enumerate(runs)},
            ["axis_coherence", "axis_coherence.peak"],
            "all",
        ).items()
    ],
    "last layers": lambda connection, runs: metrics.last_layers(connection, runs, "all"),
    "tested layers": lambda connection, runs: metrics.n_tested_layers(
        connection, runs, "axis_coherence", "all"
    ),
    "results": lambda connection, runs: metrics.results_of_runs(
        connection, runs, ["digest", "layer_candidates"], "all"
    ),
    "shards": _shards,
}


def _comparable(found: Any) -> str:
    """Return it as text, in which NaN equals NaN; the order of a dictionary is nobody's."""
    return repr(sorted(found.items()) if isinstance(found, dict) else found)


@pytest.mark.parametrize("state", [pytest.param("both", marks=pytest.mark.full), "changed"])
def test_both_databases_give_the_same(
    state: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one question, and in as many as there are runs."""
    databases: tuple[Database, Database] = request.getfixturevalue(state)
    found: dict[str, list[str]] = {name: [] for name in ASKED}
    for database in databases:
        with database.transaction(write=False) as connection:
            runs = fetch_column(connection, "SELECT run_id FROM runs ORDER BY run_id")
            assert len(runs) == 2
            for at_a_time in (200_000, 1):
                monkeypatch.setattr(answers, "_ANSWERS", at_a_time)
                for name, ask in ASKED.items():
                    found[name].append(_comparable(ask(connection, runs)))
    assert {name for name, texts in found.items() if len(set(texts)) != 1} == set()
    # Nothing would be equal to nothing; the demo tests no layers.
    empty = {name for name, texts in found.items() if texts[0] == "[]"}
    assert empty == (set() if state == "changed" else {"tested layers"})
