"""What a run left behind, compared bit by bit."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Rows = Callable[[Path, str], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Left:
    """Everything that a run of one scale left which numbers are made of."""

    answers: list[tuple[Any, ...]]
    """Every column of ``predictions`` but the run and the place in a shard, in order."""
    states: dict[str, dict[str, bytes]]
    """Per layer and pair the bytes of its two hidden states."""
    certificates: list[tuple[Any, ...]]
    in_shards: list[str]
    """The pair ids that the shards' headers name, in order, as often as they name them."""


@pytest.fixture(scope="session", autouse=True)
def _study_is_made_meanwhile(early_study: None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every row of some tables of a home, in order."""

    predictions: list[tuple[Any, ...]]
    metrics: list[tuple[Any, ...]]
    accuracy: list[tuple[Any, ...]]
    consistency: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class QuadStudy:
    """Two scales of which one got its boxes later: what it held before and after."""

    home: Path
    data: Path
    boxes: Path
    before: Snapshot
    later: Any
    """What the extraction with boxes said."""
    after: Snapshot


@pytest.fixture(scope="session")
def quad_study(
    inside: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    rows: Rows,
    tmp_path_factory: pytest.TempPathFactory,
) -> QuadStudy:
    """Extract 2m on 30 of 48 pairs, then again with the boxes of all; vanilla with boxes at once."""
    data, home = benchmark(8), tmp_path_factory.mktemp("quads")
    boxes = data.parent / "boxes.json"

    def run(*command: object) -> Any:
        return inside(*command, "--home", home, **mlflow_store).ok()

    def extract(scale: str, *more: object) -> Any:
        options = ("--data", data, "--max-per-category", 5, "--batch-size", 8)
        return run("extract", "tiny", "--scale", scale, *options, *more)

    def look() -> Snapshot:
        tables = (
            "* FROM predictions",
            "* EXCLUDE (synced_at) FROM metrics",
            "* FROM accuracy",
            "* FROM consistency",
        )
        return Snapshot(*(rows(home, f"SELECT {table} ORDER BY ALL") for table in tables))

    extract("2m")
    run("analyze", "tiny")
    before = look()
    later = extract("2m", "--boxes", boxes)
    run("analyze", "tiny")
    after = look()
    extract("vanilla", "--boxes", boxes)
    run("analyze", "tiny", "--scale", "vanilla")
    return QuadStudy(home, data, boxes, before, later, after)


@pytest.fixture(scope="session")
def left(rows: Rows) -> Callable[..., Left]:
    """Read what the one run of a scale left in a home."""

    def read(home: Path, scale: str = "2m") -> Left:
        run = f"run_id = (SELECT run_id FROM runs WHERE scale = '{scale}')"
        answers = rows(
            home,
            f"SELECT * EXCLUDE (run_id, shard, shard_row) FROM predictions WHERE {run} ORDER BY pair_id, side",
        )
        places = rows(home, f"SELECT DISTINCT pair_id, shard, shard_row FROM predictions WHERE {run}")
        paths = dict(rows(home, f"SELECT shard, path FROM shards WHERE {run} AND n_pairs > 0"))
        shards = {number: load_file(path) for number, path in paths.items()}
        layers = next(iter(shards.values())).keys()
        states: dict[str, dict[str, bytes]] = {
            layer: {pair: _bits(shards[number][layer][row]) for pair, number, row in places}
            for layer in layers
        }
        certificates = rows(
            home, f"SELECT * EXCLUDE (run_id, created_at) FROM certificates WHERE {run} ORDER BY batch"
        )
        in_shards = sorted(pair for path in paths.values() for pair in _pairs_in(Path(path)))
        return Left(answers, states, certificates, in_shards)

    return read


def _bits(states: np.ndarray[Any, Any]) -> bytes:
    assert states.ndim == 2  # orig and swap, dim
    return states.tobytes()


def _pairs_in(path: Path) -> list[str]:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    pairs: list[str] = json.loads(header["__metadata__"]["vlmprobe"])["pair_ids"]
    return pairs
