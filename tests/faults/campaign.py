"""The fault campaign: ``make faults``.

    python -m tests.faults.campaign                             every fault, the long form
    python -m tests.faults.campaign --short                     each once, with short pauses
    python -m tests.faults.campaign --database postgres         homes on a Postgres that this starts
    python -m tests.faults.campaign --fault "disk full" --seed 3    one trial again

Prints a line a trial with its seed, and a table at the end; exit code 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.demo import build_benchmark

from ..command_line import Shell
from ..postgres_server import add_database_option, on_database
from .injections import FAULTS, missing
from .trial import Outcome, Trial, make_undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .trial import Undisturbed

#: 60 pairs: seconds, and 15 shards.
PAIRS_PER_CATEGORY = 10


def run_trial(
    undisturbed: Undisturbed,
    fault: str,
    seed: int,
    folder: Path,
    *,
    long: bool = False,
    shell_type: type[Shell] = Shell,
) -> Outcome:
    """Disturb one run in a folder of its own, which is removed when all is well.

    Args:
        undisturbed: the run to compare with.
        fault: what disturbs it.
        seed: chooses the moments.
        folder: where the trial's own folder is made.
        long: disturb it more often, with longer pauses.
        shell_type: runs the commands that are not disturbed.
    """
    place = folder / f"{fault.replace(' ', '-')}-{seed}"
    trial = Trial(undisturbed, fault, seed, place, long=long, shell_type=shell_type)
    disturb, _ = FAULTS[fault]
    try:
        disturb(trial)
        outcome = trial.outcome()
    except Exception:  # noqa: BLE001 - one trial that breaks must not hide the others
        text = f"{' | '.join(trial.complaints)} {traceback.format_exc()}"
        outcome = Outcome(fault, seed, trial.injected, 0, 0, 0, 0, "NOTHING", text)
    if outcome.is_well:
        shutil.rmtree(place)
    return outcome


def table(outcomes: Sequence[Outcome], faults: Iterable[str] = FAULTS) -> str:
    """Sum the outcomes up, a line a fault, in the order of ``faults``."""
    header = ("fault", "times injected", "rows lost", "rows doubled", "arrays differing", "metrics differing")
    lines = [(*header, "resumed by itself")]
    for fault in faults:
        of_fault = [outcome for outcome in outcomes if outcome.fault == fault]
        if of_fault:
            lines.append((fault, *_sums(of_fault), _healed(of_fault)))
    lines.append(("all", *_sums(outcomes), _healed(outcomes, names=False)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "   ".join(
            cell.ljust(width) if column in {0, 6} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _sums(outcomes: Iterable[Outcome]) -> list[str]:
    names = ("injected", "rows_lost", "rows_doubled", "arrays_differing", "metrics_differing")
    return [str(sum(getattr(outcome, name) for outcome in outcomes)) for name in names]


def _healed(outcomes: Sequence[Outcome], *, names: bool = True) -> str:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.healed_by] = counts.get(outcome.healed_by, 0) + 1
    others = [f"{n} by {name}" for name, n in counts.items() if name != "itself"] if names else []
    return ", ".join([f"{counts.get('itself', 0)} of {len(outcomes)} runs", *others])


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Disturb runs of the demo model, and compare what they leave."
    )
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this fault")
    parser.add_argument("--seed", type=int, action="append", help="only the trial with this seed")
    parser.add_argument("--short", action="store_true", help="one trial of each, with short pauses")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once (default 2)")
    add_database_option(parser)
    parser.add_argument("--keep", type=Path, help="work here; what went wrong is kept in any case")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials that the arguments name; return the exit code."""
    asked = _arguments(arguments)
    with on_database(asked.database):
        return _run_all(asked)


def _run_all(asked: argparse.Namespace) -> int:
    # A shell that starts us in the background lets us, and so every command that we start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="vlmprobe-faults-"))
    faults = []
    for fault in asked.fault or FAULTS:
        if (why := missing(fault, folder / "mount")) is None:
            faults.append(fault)
        else:
            print(f"left out: {fault!r}: {why}", flush=True)
    # Every fault's first trial before any fault's second: Ctrl-C then leaves a table of all.
    todo = [
        (fault, seed)
        for seed in asked.seed or range(1, 2 if asked.short else 1 + max(n for _, n in FAULTS.values()))
        for fault in faults
        if asked.seed or seed <= FAULTS[fault][1]
    ]
    started = time.monotonic()
    data = build_benchmark(folder / "benchmark", pairs_per_category=PAIRS_PER_CATEGORY, seed=3).tsv
    undisturbed = make_undisturbed(folder / "undisturbed", data)
    print(f"{len(todo)} trials in {folder}; the undisturbed run is there", flush=True)

    outcomes: list[Outcome] = []

    def run(fault: str, seed: int) -> None:
        begun = time.monotonic()
        outcome = run_trial(undisturbed, fault, seed, folder, long=not asked.short)
        outcomes.append(outcome)
        state = "well" if outcome.is_well else f"NOT WELL: {outcome}"
        seconds = time.monotonic() - begun
        print(f"{fault!r} seed {seed}: {outcome.injected} injected, {seconds:.0f} s: {state}", flush=True)

    with ThreadPoolExecutor(asked.jobs) as threads:
        try:
            for trial in [threads.submit(run, *named) for named in todo]:
                trial.result()
        except KeyboardInterrupt:
            print("stopped; waiting for the trials under way", flush=True)
            threads.shutdown(cancel_futures=True)
    print(f"\n{table(outcomes)}\n\n{len(outcomes)} of {len(todo)} trials, {time.monotonic() - started:.0f} s")
    if all(outcome.is_well for outcome in outcomes):
        shutil.rmtree(folder)
        return 0
    print(f"what went wrong is in {folder}; one again: --fault NAME --seed N")
    return 1


if __name__ == "__main__":
    sys.exit(main())
