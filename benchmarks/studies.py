"""What the benchmarks share: made-up hidden states, a home that holds a run of them, and one line about the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from vlmprobe.pairs import Side
from vlmprobe.pairs.axes import SPACE
from vlmprobe.settings import Settings
from vlmprobe.store.arrays import Quads
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.identity import utc_now
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import DatasetRow, RunRow, SwapPairRow
from vlmprobe.store.shards import Answer, ShardContent, write_shard
from vlmprobe.store.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUN = "a-run"
#: bf16 states of 36 layers x 2,048: as many pairs as a shard of 64 MiB takes.
PAIRS_A_SHARD = 220
_RANK = 64


@dataclass(frozen=True)
class MadeUp:
    """Pairs in six equal categories, two an image, six in ten with both answers right; their states by layer."""

    pairs: int
    dim: int
    seed: int = 0

    @property
    def categories(self) -> list[str]:
        """N category names."""
        return [str(SPACE.categories[place % len(SPACE.categories)]) for place in range(self.pairs)]

    @property
    def images(self) -> list[str]:
        """N image names."""
        return [f"image {place // 2}" for place in range(self.pairs)]

    @property
    def both_correct(self) -> np.ndarray:
        """(N,) mask."""
        return np.random.default_rng(self.seed).random(self.pairs) < 0.6

    def layer(self, layer: int) -> np.ndarray:
        """Return (N, 2, dim) float32 states that bfloat16 holds without loss.

        As of a trained model: a few directions hold most of the variance, the two sides of a pair are close, and
        what differs leans to one side for a category and to the other for its opposite.
        """
        rng = np.random.default_rng([self.seed, layer])
        basis = rng.normal(size=(_RANK, self.dim)) * np.geomspace(8.0, 0.5, _RANK)[:, None]
        basis = basis.astype(np.float32)
        common = rng.normal(size=(self.pairs, _RANK)).astype(np.float32) @ basis
        states = np.stack([common, common], axis=1)
        axes = np.repeat(rng.normal(size=(3, self.dim)), 2, axis=0) * np.array([[1.0], [-1.0]] * 3)
        lean = 0.3 * axes.astype(np.float32)
        for place, name in enumerate(SPACE.categories):
            states[place :: len(SPACE.categories), 1] += lean[SPACE.categories.index(name)]
        own = rng.normal(size=(self.pairs, 16)).astype(np.float32) @ (0.2 * basis[:16])
        states[:, 1] += own + rng.standard_normal(own.shape, dtype=np.float32)
        states[:, 0] += rng.standard_normal(own.shape, dtype=np.float32)
        return (states.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


class InMemory:
    """A made-up run as the analysis reads it, with perspectives and quads, its layers in memory."""

    def __init__(self, study: MadeUp, planes: Mapping[int, np.ndarray]) -> None:
        """Every sixth pair of a category is a counter one; each image of a far pair has a quad."""
        self._planes, self.layers = planes, sorted(planes)
        self.axis_set, self.categories, self.images = SPACE, study.categories, study.images
        self.pair_ids = [str(place) for place in range(study.pairs)]
        self.axes = [str(SPACE.category(name).axis) for name in self.categories]
        self.both_correct = study.both_correct
        self.perspectives = [
            ("counter" if place % 36 < 6 else "consistent") if axis == "distance" else None
            for place, axis in enumerate(self.axes)
        ]
        self.dim = study.dim
        self.layer_bytes = planes[self.layers[0]].nbytes
        self._distance = np.flatnonzero(np.array(self.categories) == "far")
        self._vertical = self._distance - 2
        right = self.both_correct[self._distance] & self.both_correct[self._vertical]
        distance = self._distance.tolist()
        self.quads = Quads(
            ids=tuple(self.pair_ids[place] for place in distance),
            vertical_ids=None,
            vertical_categories=tuple(self.categories[place - 2] for place in distance),
            distance_categories=tuple(self.categories[place] for place in distance),
            images=tuple(self.images[place] for place in distance),
            both_correct=right,
        )

    def layer(self, layer: int) -> np.ndarray:
        """Return (N, 2, D) states."""
        return self._planes[layer]

    def rows(self, layer: int, places: np.ndarray) -> np.ndarray:
        """Return the states of the pairs at some places."""
        return self._planes[layer][places]

    def quad_deltas(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the vertical and the distance deltas of the quads."""
        states = self._planes[layer]
        vertical, distance = states[self._vertical], states[self._distance]
        return vertical[:, 1] - vertical[:, 0], distance[:, 1] - distance[:, 0]


def make_home(home: Path, study: MadeUp, layers: int) -> Settings:
    """Make a database with a complete run, less its answers and states, and a new MLflow store."""
    settings = Settings.load(home, environ={}, folder=home.parent)
    home.mkdir(parents=True)
    database = DuckDBStore(settings.database_path)
    ensure_schema(database)
    now = utc_now()
    dataset = {
        "dataset_id": "made-up",
        "name": "made-up",
        "path": "made-up.tsv",
        "form": "embspatial",
        "options": {},
        "n_rows": study.pairs,
        "created_at": now,
    }
    with database.transaction() as connection:
        insert_rows(connection, DatasetRow, [dataset])
        insert_rows(connection, SwapPairRow, list(_pair_rows(study)))
        insert_rows(connection, RunRow, [run_row(study, layers)])
    Tracker(settings).experiment_id()
    return settings


def run_row(study: MadeUp, layers: int) -> dict[str, object]:
    """Return the row of a complete run."""
    now = utc_now()
    return {
        "run_id": RUN,
        "run_key": RUN,
        "dataset_id": "made-up",
        "template": "published",
        "family": "qwen25",
        "scale": "2m",
        "checkpoint": "made-up",
        "samples_seen": 2_000_000,
        "dtype": "bfloat16",
        "n_layers": layers,
        "dim": study.dim,
        "config": {},
        "status": "complete",
        "provenance": "extracted",
        "created_at": now,
        "updated_at": now,
    }


def store_states(settings: Settings, study: MadeUp, planes: Mapping[int, np.ndarray]) -> None:
    """Write the states of layers as shards and commit their rows, as an extraction does."""
    database = DuckDBStore(settings.database_path)
    right = study.both_correct
    for number, start in enumerate(range(0, study.pairs, PAIRS_A_SHARD), start=1):
        places = range(start, min(start + PAIRS_A_SHARD, study.pairs))
        content = shard_of(number, places, planes, right)
        shard = write_shard(settings.spool / RUN, content)
        with database.transaction() as connection:
            commit_shard(connection, shard)


def shard_of(number: int, places: range, planes: Mapping[int, np.ndarray], right: np.ndarray) -> ShardContent:
    """Return what one shard holds: float32 states cut to bfloat16, and an answer to each question."""
    part = slice(places.start, places.stop)
    bits = np.stack([(plane[part].view(np.uint32) >> 16).astype(np.uint16) for plane in planes.values()])
    answers = tuple(
        Answer(str(place), str(side), "left", "left", bool(ok), "published", "left", bool(ok), 0.5)
        for place, ok in zip(places, right[part], strict=True)
        for side in Side
    )
    return ShardContent(RUN, number, tuple(map(str, places)), bits, "bfloat16", tuple(planes), answers)


def _pair_rows(study: MadeUp) -> Iterator[dict[str, object]]:
    for place, (name, image) in enumerate(zip(study.categories, study.images, strict=True)):
        category = SPACE.category(name)
        yield {
            "dataset_id": "made-up",
            "template": "published",
            "pair_id": str(place),
            "origin": "row",
            "position": place,
            "category": name,
            "axis": str(category.axis),
            "orig_expected": name,
            "orig_opposite": str(category.opposite),
            "swap_expected": str(category.opposite),
            "swap_opposite": name,
            "image_sha256": image,
        }


@dataclass
class Clock:
    """Seconds on the clock, and of the processors, that a piece of work took; children count."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add what happens inside."""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += _cpu_seconds() - cpu

    def scaled(self, factor: float) -> Clock:
        """Return what so many times the work would take."""
        return Clock(self.wall * factor, self.cpu * factor)

    def __add__(self, other: Clock) -> Clock:
        return Clock(self.wall + other.wall, self.cpu + other.cpu)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


#: Starts a command and says at the end how much memory it held. A process of its own: the peak that Linux tells of a
#: process begins with what its parent held when it was started, and a benchmark holds states.
_LAUNCHER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def run_vlmprobe(*arguments: object) -> int:
    """Run a command as a process of its own; return the most memory that one of its processes held, in MiB.

    Raises:
        SystemExit: it failed.
    """
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("VLMPROBE_", "MLFLOW_"))
    }
    environ["PYTHONPATH"] = str(REPOSITORY)
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, sys.executable, "-m", "vlmprobe", *map(str, arguments)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"vlmprobe {' '.join(map(str, arguments))}: {done.stderr}")
    return round(int(done.stdout) / 1024)


def machine(*packages: str) -> str:
    """Describe where this ran, in one line."""
    names = ("numpy", *packages)
    return (
        f"{len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}; {_processor()}, "
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
