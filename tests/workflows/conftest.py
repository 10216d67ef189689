"""What a run left behind, compared bit by bit."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ..left_behind import Left, read_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from vlmprobe.figures import Job

    Rows = Callable[[Path, str], list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def undrawn() -> Callable[[], AbstractContextManager[None]]:
    """Leave figures undrawn, which is most of making a report or plots: for tests of words, numbers and places."""

    @contextmanager
    def without_pixels() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vlmprobe.study.drawing.draw_all", _write_nothing)
            patch.setattr("vlmprobe.workflows.plot.draw_all", _write_nothing)
            yield

    return without_pixels


def _write_nothing(jobs: Sequence[Job], **_: Any) -> list[Path]:
    for job in jobs:
        job.path.parent.mkdir(parents=True, exist_ok=True)
        job.path.write_bytes(b"")
    return [job.path for job in jobs]


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
def left() -> Callable[..., Left]:
    """Read what the one run of a scale left in a home."""
    return read_left
