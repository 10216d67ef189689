"""One disturbed run: started, disturbed at seeded moments, resumed, and held against an undisturbed one."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..command_line import Ran, Shell
from ..left_behind import Left, read_left, read_metrics, read_rows

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

#: A batch is 4 pairs and a shard one batch, so that a run of seconds has many moments to be disturbed at.
BATCH, SHARD_PAIRS = 4, 4


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A benchmark, and what the run that nobody disturbed left of it."""

    data: Path
    dataset: str
    left: Left
    metrics: list[tuple[Any, ...]]
    device: str
    store: dict[str, str]
    """The setting that names an MLflow store which is there: making a new one takes seconds."""

    @property
    def n_shards(self) -> int:
        return len(self.left.in_shards) // SHARD_PAIRS


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one trial ended."""

    fault: str
    seed: int
    injected: int
    rows_lost: int
    rows_doubled: int
    arrays_differing: int
    metrics_differing: int
    healed_by: str
    """``itself``, or the documented command that was needed; ``NOTHING`` when the run did not end well."""
    told: str = ""
    """What went wrong, where something did."""

    @property
    def is_well(self) -> bool:
        wrong = self.rows_lost + self.rows_doubled + self.arrays_differing + self.metrics_differing
        return wrong == 0 and self.healed_by != "NOTHING"


def make_undisturbed(folder: Path, data: Path, *, shell_type: type[Shell] = Shell) -> Undisturbed:
    """Extract and analyze a benchmark in peace."""
    home = folder / "home"
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"}
    folder.mkdir(parents=True, exist_ok=True)
    shell = shell_type(folder, VLMPROBE_SHARD_PAIRS=str(SHARD_PAIRS), **store)
    shell(*extract(home, data)).ok()
    shell("analyze", "tiny", "--home", home).ok()
    ((dataset, device),) = read_rows(home, "SELECT dataset_id, device FROM runs")
    return Undisturbed(data, dataset, read_left(home), read_metrics(home), device, store)


def extract(home: Path, data: Path, *more: object) -> tuple[object, ...]:
    """Return the command that every trial starts and starts again."""
    return ("extract", "tiny", "--scale", "2m", "--data", data, "--batch-size", BATCH, "--home", home, *more)


class Trial:
    """A home of its own, a command, and the chance that says when and how it is disturbed."""

    def __init__(
        self,
        undisturbed: Undisturbed,
        fault: str,
        seed: int,
        folder: Path,
        *,
        long: bool,
        shell_type: type[Shell] = Shell,
    ) -> None:
        self.undisturbed, self.fault, self.seed, self.long = undisturbed, fault, seed, long
        self._shell_type = shell_type
        self.folder, self.home = folder, folder / "home"
        folder.mkdir(parents=True)
        self.chance = random.Random(f"{fault}/{seed}")
        self.data = undisturbed.data
        self.options: tuple[object, ...] = ()
        self.environ = {"VLMPROBE_SHARD_PAIRS": str(SHARD_PAIRS), **undisturbed.store}
        self.injected = 0
        self.healed_by = "itself"
        self.complaints: list[str] = []

    def start(self) -> subprocess.Popen[str]:
        """Start the extraction, or start it again, as a process that can be disturbed."""
        return Shell(self.folder).start(*self._extract(), **self.environ)

    def run(self, *command: object) -> Ran:
        """Run another command on the home to its end."""
        return self._run_to_end(*command, "--home", self.home)

    def _extract(self) -> tuple[object, ...]:
        return extract(self.home, self.data, *self.options)

    def _run_to_end(self, *command: object) -> Ran:
        return self._shell_type(self.folder)(*command, **self.environ)

    def spooled(self) -> list[Path]:
        return sorted(self.home.glob("spool/*/*.safetensors"))

    def moment(self, process: subprocess.Popen[str], *, begun: bool = False) -> bool:
        """Wait for a random moment of a running command; return whether it is running still.

        That is while it starts and loads its model, or (always, if ``begun``) some shards later and a little more.
        """
        if not begun and self.chance.random() < 0.25:
            return not self.ends_within(process, self.chance.uniform(0.2, 7))
        there = len(self.spooled())
        wanted = min(there + self.chance.randint(1, 2), self.undisturbed.n_shards)
        while len(self.spooled()) < wanted:
            if self.ends_within(process, 0.01):
                return False
        return not self.ends_within(process, self.chance.uniform(0, 0.25))

    @staticmethod
    def ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
        """Wait; return whether the process ended meanwhile."""
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def expect(self, ran: Ran, *codes: int) -> None:
        """Note it when a command ended otherwise than users are told: another code, a traceback, two errors."""
        n_errors = 0 if ran.code <= 0 else 1
        if ran.code not in codes or "Traceback" in ran.err or len(ran.errors) != n_errors:
            self.complaints.append(f"exit code {ran.code}, expected {codes}: {ran.err[-600:]}")

    def need(self, *command: object) -> None:
        """Run a documented command that the run cannot do without."""
        ran = self.run(*command)
        self.healed_by = " ".join(map(str, command))
        self.expect(ran, 0)

    def resume(self) -> None:
        """Start the same command again, to the end; if that is not enough, after ``verify --repair``."""
        ran = self._run_to_end(*self._extract())
        if ran.code != 0:
            self.need("verify", "--repair")
            ran = self._run_to_end(*self._extract())
        self.expect(ran, 0)

    def outcome(self) -> Outcome:
        """Analyze, verify, and compare with the undisturbed run."""
        for command in (("analyze", "tiny"), ("verify",)):
            ran = self.run(*command)
            if ran.code:
                self.complaints.append(f"{' '.join(command)}: {ran.out[-600:]}{ran.err[-600:]}")
        dataset, before = self.undisturbed.dataset, self.undisturbed.left
        left = read_left(self.home, dataset=dataset)
        lost, doubled = compare(before.answers + before.certificates, left.answers + left.certificates)
        differing = sum(
            left.states.get(layer, {}).get(pair) != states
            for layer, pairs in before.states.items()
            for pair, states in pairs.items()
        )
        metrics = compare(self.undisturbed.metrics, read_metrics(self.home, dataset=dataset))
        return Outcome(
            self.fault,
            self.seed,
            self.injected,
            rows_lost=lost,
            rows_doubled=doubled,
            arrays_differing=differing,
            metrics_differing=max(metrics),
            healed_by="NOTHING" if self.complaints else self.healed_by,
            told=" | ".join(self.complaints),
        )


def compare(before: Sequence[object], after: Sequence[object]) -> tuple[int, int]:
    """Count the rows that are not there as they were, and those that are there beyond them."""
    there, here = Counter(map(repr, before)), Counter(map(repr, after))
    return (there - here).total(), (here - there).total()
