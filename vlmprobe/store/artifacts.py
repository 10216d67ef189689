"""Hidden states of a run, one layer at a time, from the spool or else from MLflow."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.errors import VlmprobeError
from vlmprobe.store.predictions import shard_places
from vlmprobe.store.rows import fetch
from vlmprobe.store.shards import read_layer

if TYPE_CHECKING:
    from vlmprobe.store.engine import Database
    from vlmprobe.store.predictions import ShardPlace
    from vlmprobe.store.tracking import Tracker

__all__ = ["RunArrays", "local_shard"]

_ROWS_SQL = """
SELECT pairs.pair_id, pairs.category, pairs.image_sha256, pairs.perspective,
    answers.shard, answers.shard_row, answers.both_correct
FROM (
    SELECT pair_id, any_value(shard) AS shard, any_value(shard_row) AS shard_row, bool_and(correct) AS both_correct
    FROM predictions WHERE run_id = $run_id
    GROUP BY pair_id HAVING count(*) = 2
) AS answers
INNER JOIN runs ON runs.run_id = $run_id
INNER JOIN swap_pairs AS pairs
    ON pairs.dataset_id = runs.dataset_id AND pairs.template = runs.template AND pairs.pair_id = answers.pair_id
WHERE pairs.origin = 'row'
ORDER BY pairs.position
"""


class RunArrays:
    """The pairs of a run, in the dataset's order, and their hidden states layer by layer."""

    def __init__(self, database: Database, tracker: Tracker, run_id: str, cache: Path) -> None:
        """Read the rows; files are opened layer by layer.

        Raises:
            VlmprobeError: a shard is neither in the spool nor in MLflow.
        """
        with database.transaction() as connection:
            rows = fetch(connection, _ROWS_SQL, {"run_id": run_id})
            places = shard_places(connection, run_id)
        self.pair_ids = [row["pair_id"] for row in rows]
        self.categories: list[str] = [row["category"] for row in rows]
        self.images: list[str] = [row["image_sha256"] or row["pair_id"] for row in rows]
        self.both_correct = np.array([row["both_correct"] for row in rows], dtype=bool)
        self.layers: list[int] = _layers(places[0]) if places else []
        self._dim = int(places[0]["dim"]) if places else 0
        self._paths = {place["shard"]: local_shard(place, tracker, cache) for place in places}
        self._shard = np.array([row["shard"] for row in rows], dtype=np.int64)
        self._row = np.array([row["shard_row"] for row in rows], dtype=np.int64)

    def layer(self, layer: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return one layer's states as float32, shape (pairs, 2, dim): orig then swap."""
        states = np.empty((len(self.pair_ids), 2, self._dim), dtype=np.float32)
        for number, path in self._paths.items():
            mine = np.flatnonzero(self._shard == number)
            if mine.size:
                states[mine] = read_layer(path, layer, self._row[mine].tolist())
        return states


def local_shard(place: ShardPlace, tracker: Tracker, cache: Path) -> Path:
    """Return a path to a shard: the spool's, or one fetched from MLflow and checked against its hash.

    Raises:
        VlmprobeError: it is in neither place, or is not what was written.
    """
    path = Path(str(place["path"]))
    if path.exists():
        return path
    cached = cache / str(place["run_id"]) / path.name
    if cached.exists() and _sha256(cached) != place["sha256"]:
        cached.unlink()
    if not cached.exists():
        if place["artifact_uri"] is None:
            raise VlmprobeError(
                f"shard {place['shard']} of run {place['run_id']} is gone: {path} does not exist "
                "and MLflow never had it; extract the run again with --new"
            )
        cached.parent.mkdir(parents=True, exist_ok=True)
        # Elsewhere first: a crash, or a second process that wants it too, must not find half of it.
        with TemporaryDirectory(dir=cached.parent) as folder:
            fetched = tracker.download(place["artifact_uri"], Path(folder))
            if _sha256(fetched) != place["sha256"]:
                raise VlmprobeError(
                    f"shard {place['shard']} of run {place['run_id']} came back damaged from MLflow; try again"
                )
            fetched.replace(cached)
    return cached


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _layers(place: ShardPlace) -> list[int]:
    import json

    layers = place["layers"]
    return list(json.loads(layers) if isinstance(layers, str) else layers)
