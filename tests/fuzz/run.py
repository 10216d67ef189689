"""Give every reader its share of many inputs, and print what became of them.

    python -m tests.fuzz.run --inputs 110000 --seed 1          what 'make fuzz' does
    python -m tests.fuzz.run --only shards --inputs 5000       one reader

Exit code 1 when an input was neither read nor refused, or took more than 5 seconds of the processor's time; one that
waits for 60 seconds ends the run with a traceback.
"""

from __future__ import annotations

import argparse
import faulthandler
import math
import resource
import signal
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import HealthCheck, Phase

from .readers import READERS, REFUSALS

if TYPE_CHECKING:
    from types import FrameType

    from .readers import Reader

__all__ = ["HANG_S", "MEMORY_MIB", "Tally", "fuzz", "hang_alarm"]

#: Of the processor's time: what others do on the machine must not count. Waiting is told apart by ``_STUCK_S``.
HANG_S = 5.0
_STUCK_S = 60.0
#: What readers may add to the memory that the process has before.
MEMORY_MIB = 3072
_LONGEST_MESSAGE = 2000
_SHOWN = 5


class HangError(BaseException):
    """An input took too long; no reader's own handling may swallow it."""


@dataclass(slots=True)
class Tally:
    """What became of a reader's inputs."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    uncaught: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    findings: dict[str, Any] = field(default_factory=dict)
    """What went wrong, in a line, and the first input that did it."""

    @property
    def is_clean(self) -> bool:
        """Whether every input was read or refused in time."""
        return not self.uncaught and not self.hangs


def fuzz(reader: Reader, inputs: int, seed: int, folder: Path) -> Tally:
    """Give a reader so many inputs; the same seed gives the same ones."""
    if reader.prepare is not None:
        reader.prepare(folder)
    tally = Tally()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(reader.inputs)
    def each(value: Any) -> None:
        _one(reader, value, folder, tally)

    round_ = 0
    while tally.inputs < inputs and round_ < 50:
        # hypothesis stops early where it believes to have seen all: another seed goes on.
        hypothesis.seed(seed + 1000 * round_)(each)()
        round_ += 1
    return tally


def _one(reader: Reader, value: Any, folder: Path, tally: Tally) -> None:
    tally.inputs += 1
    started = time.process_time()
    faulthandler.dump_traceback_later(_STUCK_S, exit=True)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        reader.read(value, folder)
        tally.read += 1
    except REFUSALS as error:
        if 0 < len(str(error)) <= _LONGEST_MESSAGE:
            tally.refused += 1
        else:
            tally.uncaught += 1
            tally.findings.setdefault(
                f"a message of {len(str(error))} characters: {str(error)[:80]!r}", value
            )
    except HangError:
        pass
    except Exception as error:  # noqa: BLE001 - what this looks for
        tally.uncaught += 1
        tally.findings.setdefault(_place(error), value)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    took = time.process_time() - started
    tally.slowest_s = max(tally.slowest_s, took)
    if took >= HANG_S:
        tally.hangs += 1
        tally.findings.setdefault(f"took {took:.1f} s", value)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    where = ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/vlmprobe/" in name and "/tests/" not in name:
            where = f" at {Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{where or f': {str(error)[:60]}'}"


def hang_alarm(signum: int, frame: FrameType | None) -> None:
    """Interrupt what takes too long; to be set for SIGPROF."""
    raise HangError


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=110_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="readers whose name holds this; they take all inputs")
    arguments = parser.parse_args()
    readers = [each for each in READERS if arguments.only is None or arguments.only in each.name]
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, hang_alarm)
    _limit_memory()
    shares = sum(each.share for each in readers)
    tallies = []
    print(f"seed {arguments.seed}")
    print(
        f"{'reader':<28}{'inputs':>8}{'read':>8}{'refused':>9}{'uncaught':>10}{'hangs':>7}{'slowest ms':>12}{'s':>7}"
    )
    with TemporaryDirectory() as folder:
        for number, reader in enumerate(readers):
            place = Path(folder) / str(number)
            place.mkdir()
            started = time.monotonic()
            inputs = math.ceil(arguments.inputs * reader.share / shares)
            tally = fuzz(reader, inputs, arguments.seed, place)
            tallies.append(tally)
            print(_line(reader.name, tally, time.monotonic() - started), flush=True)
            for finding, value in list(tally.findings.items())[:_SHOWN]:
                print(f"    {finding}\n      input: {repr(value)[:300]}", flush=True)
    total = Tally(
        *(
            sum(getattr(each, name) for each in tallies)
            for name in ("inputs", "read", "refused", "uncaught", "hangs")
        ),
        max(each.slowest_s for each in tallies),
    )
    print(_line("all", total, None))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"memory: {peak} MiB at most, of which readers may take {MEMORY_MIB} MiB")
    return 0 if total.is_clean else 1


def _line(name: str, tally: Tally, seconds: float | None) -> str:
    counts = f"{tally.inputs:>8}{tally.read:>8}{tally.refused:>9}{tally.uncaught:>10}{tally.hangs:>7}"
    return f"{name:<28}{counts}{tally.slowest_s * 1000:>12.1f}" + (
        f"{seconds:>7.1f}" if seconds is not None else ""
    )


if __name__ == "__main__":
    sys.exit(main())
