"""Fills a home with made-up runs of any number and size, by columns, without a model: what benchmarks of growth read.

The rows are those that an extraction and ``vlmprobe analyze`` leave, but for MLflow and the files of hidden states.
Both databases get the same: DuckDB from Arrow tables, Postgres by COPY.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import csv

from vlmprobe.analysis import LayerCandidates
from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE_BALANCED,
    AXIS_TEST,
    CATALOG,
    DELTA_NORM,
    DELTA_SIMILARITY,
    Entry,
)
from vlmprobe.pairs import SPACE, Subset
from vlmprobe.store.kept_rows import keep_rows
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.open import open_database
from vlmprobe.study.layer_rows import candidates_result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vlmprobe.settings import Settings
    from vlmprobe.store.engine import Database

    Columns = Mapping[str, Any]

__all__ = ["FAMILY", "Filling", "Sink", "fill", "keep", "run_id", "scale_of", "sink_of"]

FAMILY, DATASET, TEMPLATE = "qwen25", hashlib.sha256(b"made-up").hexdigest(), "published"
#: Pairs of a shard, samples seen from one run to the next, and pairs of an image.
PAIRS_A_SHARD, SAMPLES_A_RUN, PAIRS_AN_IMAGE = 256, 20_000, 3
NOW = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
#: Runs whose kept rows are made in one transaction.
RUNS_AT_ONCE = 10


@dataclass(frozen=True)
class Filling:
    """How much a home holds."""

    runs: int
    pairs: int
    layers: int
    dim: int = 4096

    @property
    def predictions(self) -> int:
        """Answers: two a pair."""
        return 2 * self.runs * self.pairs


class Sink(Protocol):
    """Takes rows by columns into the tables of a database that has the schema."""

    def add(self, table: str, columns: Columns) -> int:
        """Insert as many rows as the arrays among the columns are long; a single value is that of all rows."""

    def close(self) -> None:
        """End; nothing is left in memory."""


class DuckDBSink:
    """A DuckDB file."""

    def __init__(self, path: Path) -> None:
        """Hold the file."""
        import duckdb

        self._connection = duckdb.connect(str(path))

    def add(self, table: str, columns: Columns) -> int:
        """See :class:`Sink`."""
        rows = _arrow(columns)
        self._connection.register("incoming", rows)
        self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")  # noqa: S608 - our own names
        self._connection.unregister("incoming")
        return int(rows.num_rows)

    def close(self) -> None:
        """Write everything into the file itself, as a transaction of vlmprobe does."""
        self._connection.execute("CHECKPOINT")
        self._connection.close()


class PostgresSink:
    """A Postgres database."""

    def __init__(self, url: str) -> None:
        """Open a session."""
        import psycopg

        self._session = psycopg.connect(url, autocommit=True)

    def add(self, table: str, columns: Columns) -> int:
        """See :class:`Sink`."""
        rows = _arrow(columns)
        text = io.BytesIO()
        # Quoted, so that an empty text is not taken for NULL.
        csv.write_csv(rows, text, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
        names = ", ".join(rows.column_names)
        with self._session.cursor().copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)".encode()) as copy:
            copy.write(text.getvalue())
        return int(rows.num_rows)

    def close(self) -> None:
        """Count the rows for the planner, as the server itself does some time after they came."""
        self._session.execute("VACUUM ANALYZE")
        self._session.close()


def sink_of(settings: Settings) -> Sink:
    """Make the schema in the database of these settings, then open it to fill it."""
    database = open_database(settings)
    ensure_schema(database)
    if settings.is_postgres:
        return PostgresSink(settings.database_url)
    return DuckDBSink(settings.database_path)


def keep(database: Database, size: Filling) -> None:
    """Make the kept rows of every run, as the end of its extraction does."""
    for start in range(0, size.runs, RUNS_AT_ONCE):
        with database.transaction() as connection:
            for run in range(start, min(start + RUNS_AT_ONCE, size.runs)):
                keep_rows(connection, run_id(run))


def fill(sink: Sink, size: Filling) -> dict[str, int]:
    """Write everything; return the number of rows by table."""
    counts: dict[str, int] = {}
    for table, columns in _tables(size):
        counts[table] = counts.get(table, 0) + sink.add(table, columns)
    return counts


def _tables(size: Filling) -> Iterator[tuple[str, Columns]]:
    yield "datasets", {
        "dataset_id": DATASET, "name": "made-up", "path": "made-up.tsv", "form": "embspatial", "options": "{}",
        "n_rows": [size.pairs], "created_at": NOW,
    }  # fmt: skip
    yield (
        "axes",
        {
            "dataset_id": DATASET,
            "axis": [str(axis) for axis in SPACE],
            "position": np.arange(len(SPACE)),
            "canonical": [str(axis.categories[0]) for axis in SPACE],
            "opposite": [str(axis.categories[1]) for axis in SPACE],
        },
    )
    yield "swap_pairs", _pairs(size.pairs)
    for run in range(size.runs):
        rng = np.random.default_rng(run)
        yield "runs", _run(run, size)
        yield "predictions", _predictions(run, size.pairs, rng)
        yield "shards", _shards(run, size)
        yield from (("metrics", {"run_id": run_id(run), **each}) for each in _metrics(run, size, rng))
        yield "results_json", _results(run, size.layers)


def run_id(run: int) -> str:
    """Return the id of a run; ids are in the order of the runs."""
    return f"01a224bb-39bb-772d-98e5-{run:012d}"


def scale_of(run: int) -> str:
    """Return the name of a run's scale."""
    return f"step-{run:05d}" if run else "vanilla"


def _run(run: int, size: Filling) -> Columns:
    return {
        "run_id": [run_id(run)], "run_key": hashlib.sha256(run_id(run).encode()).hexdigest(), "dataset_id": DATASET,
        "template": TEMPLATE, "family": FAMILY, "scale": scale_of(run), "checkpoint": f"/checkpoints/{run}",
        "fingerprint": hashlib.sha256(scale_of(run).encode()).hexdigest(),
        "samples_seen": run * SAMPLES_A_RUN, "global_steps": run * 100, "dtype": "bfloat16", "device": "cuda",
        "n_layers": size.layers, "dim": size.dim, "versions": "{}", "config": "{}", "status": "complete",
        "provenance": "extracted", "created_at": NOW, "updated_at": NOW, "finished_at": NOW,
    }  # fmt: skip


def _pairs(n: int) -> Columns:
    place = np.arange(n)
    names = np.array([str(name) for name in SPACE.categories])
    opposite = np.array([str(name.opposite) for name in SPACE.categories])
    axes = np.array([str(name.axis) for name in SPACE.categories])
    category = place % len(names)
    question = "Is the {} {} of the {}? Answer with one word."
    images = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(n // PAIRS_AN_IMAGE + 1)]
    return {
        "dataset_id": DATASET, "template": TEMPLATE, "pair_id": place.astype(str), "origin": "row", "position": place,
        "category": names[category], "axis": axes[category], "subject": "cup", "reference": "book",
        "orig_question": question.format("cup", "left or right", "book"), "orig_expected": names[category],
        "orig_opposite": opposite[category], "swap_question": question.format("book", "left or right", "cup"),
        "swap_expected": opposite[category], "swap_opposite": names[category],
        "image_sha256": np.array(images)[place // PAIRS_AN_IMAGE], "image_width": 640, "image_height": 480,
        "question_id": place.astype(str), "line": place,
    }  # fmt: skip


def _predictions(run: int, pairs: int, rng: np.random.Generator) -> Columns:
    place = np.repeat(np.arange(pairs), 2)
    right = rng.random(2 * pairs) < 0.55 + 0.4 * min(1.0, run / 60)
    word = np.where(right, "left", "right")
    return {
        "run_id": run_id(run), "pair_id": place.astype(str), "side": np.tile(["orig", "swap"], pairs), "text": word,
        "parsed": word, "correct": right, "checker": "published", "parsed_words": word, "correct_words": right,
        "margin": rng.normal(size=2 * pairs), "shard": place // PAIRS_A_SHARD + 1,
        "shard_row": place % PAIRS_A_SHARD,
    }  # fmt: skip


def _shards(run: int, size: Filling) -> Columns:
    starts = np.arange(0, size.pairs, PAIRS_A_SHARD)
    numbers = np.arange(1, len(starts) + 1)
    n_pairs = np.minimum(PAIRS_A_SHARD, size.pairs - starts)
    return {
        "run_id": run_id(run), "shard": numbers, "kind": "states",
        "path": [f"spool/{run_id(run)}/{number:05d}.safetensors" for number in numbers],
        "sha256": [hashlib.sha256(f"{run}/{number}".encode()).hexdigest() for number in numbers],
        "n_bytes": n_pairs * 4 * size.dim * size.layers, "n_pairs": n_pairs,
        "layers": json.dumps(list(range(size.layers))), "dim": size.dim, "dtype": "bfloat16", "created_at": NOW,
    }  # fmt: skip


def _metrics(run: int, size: Filling, rng: np.random.Generator) -> Iterator[Columns]:
    """Yield curves that rise and fall over the layers and grow with training, then the numbers of the whole run."""
    rows: list[tuple[Entry, Subset, str, int, float]] = []
    trained = run / max(1, size.runs - 1)
    layers = range(size.layers)
    bump = np.exp(-(((np.linspace(0, 1, size.layers) - 0.7) / 0.3) ** 2))
    for entry in CATALOG.values():
        if not entry.is_number:
            continue
        targets = (*entry.targets(SPACE), *(entry.control.targets(SPACE) if entry.control else ()))
        for subset in Subset if entry.per_layer else [Subset.ALL]:
            for place, target in enumerate(dict.fromkeys(targets)):
                if entry.per_layer:
                    height = (0.1 + 0.8 * trained) * (1.0 - 0.1 * (place % 6))
                    height *= {DELTA_NORM.name: 200.0}.get(entry.name, 1.0)
                    height *= -1.0 if entry is DELTA_SIMILARITY and place % 3 == 0 else 1.0
                    values = height * (bump + rng.normal(0.0, 0.01, size.layers))
                    rows += [(entry, subset, target, *at) for at in zip(layers, values.tolist(), strict=True)]
                else:
                    rows.append((entry, subset, target, -1, 0.1 + 0.8 * trained))
    yield from _columns(rows, size)


def _columns(rows: list[tuple[Entry, Subset, str, int, float]], size: Filling) -> Iterator[Columns]:
    entries, subsets, targets, layers, values = (list(column) for column in zip(*rows, strict=True))
    value = np.array(values)
    is_test = np.array([entry in (AXIS_TEST, AXIS_COHERENCE_BALANCED) for entry in entries])
    # Above 0.05: a verdict then needs no states, of which there are none.
    p_value = pa.array(np.full(len(rows), 0.2), mask=~is_test)
    yield {
        "name": [entry.name for entry in entries], "version": [entry.version for entry in entries],
        "subset": [str(subset) for subset in subsets], "target": targets, "layer": layers, "value": value,
        "std": 0.1, "n": size.pairs, "ci_low": value - 0.04, "ci_high": value + 0.04, "p_value": p_value, "seed": 42,
        "n_images": size.pairs // PAIRS_AN_IMAGE, "method": "jackknife", "computed_at": NOW, "synced_at": NOW,
    }  # fmt: skip


def _results(run: int, layers: int) -> Columns:
    chosen = int(0.7 * layers)
    axes = [str(axis) for axis in SPACE]
    recommended = {
        "layer": chosen,
        "axes": axes,
        "candidate_range": [chosen - 1, chosen],
        "p_values": {},
        "reason": "",
    }
    candidates = LayerCandidates(
        candidate_range=(chosen - 1, chosen), top_k=(chosen,), recommended=chosen, criteria_applied=(), warnings=(),
        per_group_plateau={}, vd_more_stable_than_median=(), cutoff_layer=layers,
    )  # fmt: skip
    found = [candidates_result(candidates, subset) for subset in Subset]
    found += [{**row, "name": "recommended_layer", "value": recommended} for row in found]
    return {
        "run_id": run_id(run), "computed_at": NOW,
        **{name: [row[name] for row in found] for name in ("name", "version", "subset", "layer")},
        "value": [json.dumps(row["value"]) for row in found],
    }  # fmt: skip


def _arrow(columns: Columns) -> pa.Table:
    lengths = {len(value) for value in columns.values() if isinstance(value, list | np.ndarray | pa.Array)}
    (n,) = lengths
    return pa.table(
        {
            name: pa.array(value) if isinstance(value, list | np.ndarray | pa.Array) else pa.repeat(value, n)
            for name, value in columns.items()
        }
    )
