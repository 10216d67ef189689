"""The fault campaign of units: a part of ``make faults``.

    python -m tests.faults.units                                every fault, the long form
    python -m tests.faults.units --short                        each once; no lease is waited for
    python -m tests.faults.units --fault "a node lost" --seed 2     one trial again

Hosts with names, processes and homes of their own run the units of a study on one Postgres, which this starts; no
cluster is needed. Prints a line a trial, and a table at the end; exit code 1 if anything was lost, or doubled.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.demo import build_benchmark

from ..postgres_server import postgres_server
from .campaign import PAIRS_PER_CATEGORY, table
from .trial import Outcome
from .unit_injections import UNIT_FAULTS, missing_for_units
from .unit_trial import UnitTrial, make_undisturbed_study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..postgres_server import Server
    from .unit_trial import UndisturbedStudy


def run_unit_trial(
    undisturbed: UndisturbedStudy, fault: str, seed: int, folder: Path, server: Server, *, long: bool = False
) -> Outcome:
    """Disturb one study in a folder of its own, which is removed when all is well.

    Args:
        undisturbed: the study to compare with.
        fault: what disturbs it.
        seed: chooses the moments.
        folder: where the trial's own folder is made.
        server: where its database is made.
        long: wait for leases to end as they do, and leave the database away for two minutes.
    """
    place = folder / f"{fault.replace(' ', '-')}-{seed}"
    trial = UnitTrial(undisturbed, fault, seed, place, server, long=long)
    disturb, _ = UNIT_FAULTS[fault]
    try:
        disturb(trial)
        outcome = trial.outcome()
    except Exception:  # noqa: BLE001 - one trial that breaks must not hide the others
        text = f"{' | '.join(trial.complaints)} {traceback.format_exc()}"
        outcome = Outcome(fault, seed, trial.injected, 0, 0, 0, 0, "NOTHING", text)
    finally:
        trial.close()
    if outcome.is_well:
        shutil.rmtree(place)
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(description="Disturb hosts that run units, and compare what they leave.")
    parser.add_argument("--fault", action="append", choices=list(UNIT_FAULTS), help="only this fault")
    parser.add_argument("--seed", type=int, action="append", help="only the trial with this seed")
    parser.add_argument("--short", action="store_true", help="one trial of each, without waiting for leases")
    asked = parser.parse_args(arguments)
    # A shell that starts us in the background lets us, and so every command that we start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder, began = Path(tempfile.mkdtemp(prefix="vlmprobe-units-")), time.monotonic()
    todo = _todo(asked, folder)
    outcomes: list[Outcome] = []
    if todo:
        with postgres_server() as server:
            data = build_benchmark(folder / "benchmark", pairs_per_category=PAIRS_PER_CATEGORY, seed=3).tsv
            undisturbed = make_undisturbed_study(folder / "undisturbed", data)
            print(f"{len(todo)} trials in {folder}; the undisturbed study is there", flush=True)
            for fault, seed in todo:
                begun = time.monotonic()
                outcome = run_unit_trial(undisturbed, fault, seed, folder, server, long=not asked.short)
                outcomes.append(outcome)
                state = "well" if outcome.is_well else f"NOT WELL: {outcome}"
                took = f"{outcome.injected} injected, {time.monotonic() - begun:.0f} s"
                print(f"{fault!r} seed {seed}: {took}: {state}", flush=True)
    print(f"\n{table(outcomes, UNIT_FAULTS)}\n\n{len(outcomes)} trials, {time.monotonic() - began:.0f} s")
    if all(outcome.is_well for outcome in outcomes):
        shutil.rmtree(folder)
        return 0
    print(f"what went wrong is in {folder}; one again: --fault NAME --seed N")
    return 1


def _todo(asked: argparse.Namespace, folder: Path) -> list[tuple[str, int]]:
    faults = []
    for fault in asked.fault or UNIT_FAULTS:
        if (why := missing_for_units(fault, folder / "mount")) is None:
            faults.append(fault)
        else:
            print(f"left out: {fault!r}: {why}", flush=True)
    most = 1 if asked.short else max(n for _, n in UNIT_FAULTS.values())
    return [
        (fault, seed)
        for seed in asked.seed or range(1, most + 1)
        for fault in faults
        if asked.seed or seed <= UNIT_FAULTS[fault][1]
    ]


if __name__ == "__main__":
    sys.exit(main())
