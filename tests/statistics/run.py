"""Study every world, and write what the estimators said of it.

    python -m tests.statistics.run                     what 'make statistics' does
    python -m tests.statistics.run --share 0.1         a tenth of the studies, for a look: nothing is studied again
    python -m tests.statistics.run --only quads        worlds with this in their name

Studies are seeded by the world's name and their number, so a table can be made again to the digit. Parts that are done
are kept in --work and not done again; remove the folder after a change of an estimator. Exit code 1 when a cell fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .experiment import Experiment
    from .outcomes import Outcome
    from .verdicts import Cell

__all__ = ["main", "study"]

ROOT = Path(__file__).resolve().parents[2]
#: Studies of one part, which one process does at a time, and how many parts of a world it does one after the other.
_PART, _TOGETHER = 100, 10
#: How often a borderline cell's world is studied again.
_AGAIN = 10


def study(experiment: Experiment, part: int, count: int) -> list[Outcome]:
    """Do one part of an experiment's studies: those numbered from ``part`` times 100 on."""
    import numpy as np

    entropy = int.from_bytes(blake2b(experiment.world.encode(), digest_size=8).digest(), "big")
    return [
        outcome
        for number in range(part * _PART, part * _PART + count)
        for outcome in experiment.study(np.random.default_rng([entropy, number]))
    ]


def _do(world: str, parts: Sequence[tuple[int, int]], folder: Path) -> int:
    """Do some parts of a world, which share what is computed of it once, and write each when it is done."""
    from .experiments import EXPERIMENTS

    experiment = next(each for each in EXPERIMENTS if each.world == world)
    for part in parts:
        file = _file(folder, world, *part)
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".part")
        whole.write_text(
            "".join(f"{json.dumps(asdict(each))}\n" for each in study(experiment, *part)), "utf-8"
        )
        whole.replace(file)
    return len(parts)


def _file(folder: Path, world: str, part: int, count: int) -> Path:
    name = blake2b(world.encode(), digest_size=8).hexdigest()
    return folder / name / f"{part}-{count}.jsonl"


def _parts(n: int, first: int = 0) -> list[tuple[int, int]]:
    whole = [(first + part, _PART) for part in range(n // _PART)]
    return whole + ([(first + len(whole), n % _PART)] if n % _PART else [])


def main(arguments: list[str] | None = None) -> int:
    """Do what is still to do, write the tables, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "statistics")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".cache" / "statistics", help="parts that are done"
    )
    parser.add_argument("--share", type=float, default=1.0, help="share of the studies to do")
    parser.add_argument("--only", default="", help="worlds with this in their name")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    # A study's matrices are small: processes that share a product wait for each other. Set before NumPy is loaded by
    # the processes, which are started afresh.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    from .demo_world import prepare
    from .experiments import EXPERIMENTS
    from .tables import write_tables
    from .verdicts import cells_of

    begun = time.perf_counter()
    wanted = [each for each in EXPERIMENTS if options.only in each.world]
    if any(each.world.startswith("the demo") for each in wanted):
        prepare()  # before there are several processes that would
    sizes = {each.world: ceil(each.replicates * options.share) for each in wanted}
    _complete({world: _parts(n) for world, n in sizes.items()}, options.work, options.processes)
    again = {
        each.world: _parts(_AGAIN * sizes[each.world], ceil(sizes[each.world] / _PART))
        for each in wanted
        if options.share >= 1
        and any(
            cell.verdict == "borderline"
            for cell in cells_of(each, _read(each, sizes[each.world], options.work))
        )
    }
    _complete(again, options.work, options.processes)
    cells: list[Cell] = []
    for each in wanted:
        first = cells_of(each, _read(each, sizes[each.world], options.work))
        later = again.get(each.world, [])
        outcomes = [one for part in later for one in _outcomes(_file(options.work, each.world, *part))]
        second = {(cell.estimator, cell.measure): cell for cell in cells_of(each, outcomes, like=first)}
        for cell in first:
            replaced = second.get((cell.estimator, cell.measure), cell)
            cells.append(replaced if cell.verdict == "borderline" else cell)
    write_tables(cells, options.out, share=options.share)
    failed = [cell for cell in cells if cell.verdict == "fails"]
    for cell in failed:
        print(f"fails: {cell.estimator}, {cell.measure}, {cell.world}: {cell.rate:.4f} {cell.reason}")
    print(
        f"{len(cells)} cells of {len(wanted)} worlds, {len(failed)} fail, {time.perf_counter() - begun:.0f} s"
    )
    return 1 if failed else 0


def _read(experiment: Experiment, n: int, folder: Path) -> list[Outcome]:
    files = (_file(folder, experiment.world, *part) for part in _parts(n))
    return [outcome for file in files for outcome in _outcomes(file)]


def _outcomes(file: Path) -> list[Outcome]:
    from .outcomes import Outcome

    return [Outcome(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def _complete(parts: dict[str, list[tuple[int, int]]], folder: Path, processes: int) -> None:
    """Do the parts that are not there yet, some of one world at a time."""
    to_do = {
        world: [part for part in of_world if not _file(folder, world, *part).exists()]
        for world, of_world in parts.items()
    }
    total, done = sum(map(len, to_do.values())), 0
    if not total:
        return
    from multiprocessing import get_context

    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = [
            pool.submit(_do, world, of_world[start : start + _TOGETHER], folder)
            for world, of_world in to_do.items()
            for start in range(0, len(of_world), _TOGETHER)
        ]
        for future in as_completed(running):
            done += future.result()
            print(f"{done} of {total} parts", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
