"""Draws and writes many figures in parallel processes.

Drawing takes its time in Python, so threads would not help; :mod:`vlmprobe.processes` says how the processes start.
"""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import UsageError, VlmprobeError, unknown_name
from vlmprobe.figures.encode import FORMATS, encode
from vlmprobe.processes import end_with_parent, processors, starting
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = ["Job", "draw_all"]

#: With fewer figures than this for each, starting another process costs more time than it saves.
_FIGURES_A_PROCESS = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One figure to draw and where to write it."""

    function: Callable[..., Figure]
    """A figure function of a module, so that another process finds it."""
    arguments: Mapping[str, Any]
    """Its arguments by name; they must be picklable."""
    path: Path
    """The file; its folder is created, and an older file is replaced."""
    file_format: str = "png"
    """png, pdf or svg."""
    dpi: float = 110
    """Dots per inch, for PNG."""


def draw_all(
    jobs: Sequence[Job],
    *,
    processes: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Draw and write every figure, in parallel processes; the bytes do not depend on how many.

    A file appears whole or not at all. On the first error, and on Ctrl-C, nothing more is begun; the figures
    already written stay.

    Args:
        jobs: any order; it is the order of the paths returned.
        processes: at most so many; None = the processors that this process may use. Few figures are drawn
            here, without another process.
        progress: called with 1 after each figure, in this thread.

    Returns:
        The files' paths.

    Raises:
        UsageError: an unknown format, two figures for one file, or fewer than one process.
        VlmprobeError: a figure cannot be drawn or written; names its file and function, and keeps the class
            of an error that is one already.
    """
    _check(jobs, processes)
    alike = _alike(jobs)
    workers = min(processors() if processes is None else processes, len(alike) // _FIGURES_A_PROCESS)
    done = progress or (lambda _: None)
    if workers <= 1:
        for job, *others in alike:
            _draw(job)
            _copy(job, others)
            done(1 + len(others))
    else:
        _draw_in_processes(alike, workers, done)
    return [job.path for job in jobs]


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group figures that are the same but for their files: each is drawn once.

    With every answer right, say, a figure of all pairs is also that of the pairs with both answers right.
    """
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        try:
            drawn = pickle.dumps((job.function, job.arguments, job.file_format, job.dpi))
        except Exception:  # noqa: BLE001 - whatever an argument's own code raises; drawing says what is wrong with it
            groups[job.path] = [job]
            continue
        groups.setdefault(sha256(drawn).digest(), []).append(job)
    return list(groups.values())


def _copy(drawn: Job, others: Sequence[Job]) -> None:
    content = drawn.path.read_bytes() if others else b""
    for job in others:
        _write(job, content)


def _check(jobs: Sequence[Job], processes: int | None) -> None:
    if processes is not None and processes < 1:
        raise UsageError(f"drawing needs at least one process, not {processes}")
    paths: set[Path] = set()
    for job in jobs:
        if job.file_format not in FORMATS:
            raise unknown_name("figure format", job.file_format, list(FORMATS))
        if job.path in paths:
            raise UsageError(f"two figures for one file: {job.path}")
        paths.add(job.path)


def _draw_in_processes(alike: Sequence[Sequence[Job]], workers: int, done: Callable[[int], None]) -> None:
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)
    try:
        # Processes start while jobs are submitted and inherit the mask, so only this process gets Ctrl-C.
        with starting():
            futures = {executor.submit(_draw, job): (job, others) for job, *others in alike}
        for future in as_completed(futures):
            job, others = futures[future]
            _result(future, job)
            _copy(job, others)
            done(1 + len(others))
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[None], job: Job) -> None:
    try:
        future.result()
    except BrokenProcessPool as error:
        raise VlmprobeError(
            f"{job.path}: a drawing process died without an error (out of memory?); "
            "draw again with fewer processes"
        ) from error


def _begin() -> None:
    """Preload what every figure needs, and make sure that no process outlives its parent."""
    end_with_parent()
    import_module("matplotlib.figure")
    import_module("matplotlib.backends.backend_agg")


def _draw(job: Job) -> None:
    with _named(job):
        content = encode(job.function(**job.arguments), job.file_format, dpi=job.dpi)
    _write(job, content)


def _write(job: Job, content: bytes) -> None:
    with _named(job):
        job.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(job.path) as partial:
            partial.write_bytes(content)


@contextmanager
def _named(job: Job) -> Iterator[None]:
    """Say in an error which figure it is about."""
    name = f"{job.path} ({job.function.__name__})"
    try:
        yield
    except VlmprobeError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:
        raise VlmprobeError(f"{name}: the figure cannot be drawn: {type(error).__name__}: {error}") from error
