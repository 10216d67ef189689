"""A study of units that hosts run, disturbed and brought to its end as a scheduler does, and held against one in peace.

A host has a name, processes and a home of its own; hosts share a Postgres and a folder. No scheduler is needed: what it
would start, and start again, the trial starts.
"""

from __future__ import annotations

import random
import shlex
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.settings import Settings
from vlmprobe.store.row_lease import LIFE_S
from vlmprobe.store.tracking import Tracker

from ..command_line import Ran, Shell
from ..hosts import Host
from ..left_behind import Left, read_left, read_metrics
from ..postgres_server import keeps_a_file, on_server
from .trial import BATCH, SHARD_PAIRS, Outcome, Trial, compare

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from ..postgres_server import Server

SCALES = ("vanilla", "2m")
#: Where much else is running, to load PyTorch takes minutes.
PATIENCE_S = 900.0
#: What the passing of time does to what a host that is gone had: its leases end, and its units were seen long ago.
_AGE = (
    "UPDATE units SET seen = seen - {s} WHERE host = '{host}' AND state = 'running'",
    "UPDATE runs SET lease = CAST(jsonb_set(CAST(lease AS jsonb), '{{expires}}', "
    "to_jsonb(CAST(CAST(lease AS jsonb) ->> 'expires' AS double precision) - {s})) AS text) "
    "WHERE CAST(lease AS jsonb) ->> 'host' = '{host}'",
)
_LEFT_S = """
SELECT greatest(
    (SELECT max(CAST(CAST(lease AS jsonb) ->> 'expires' AS double precision)) FROM runs
     WHERE CAST(lease AS jsonb) ->> 'host' = '{host}'),
    (SELECT max(seen) + {life} FROM units WHERE host = '{host}' AND state = 'running')
) - extract(epoch FROM clock_timestamp())
"""


@dataclass(frozen=True, slots=True)
class UndisturbedStudy:
    """A benchmark, and what a study of it on one machine left."""

    data: Path
    left: dict[str, Left]
    metrics: list[tuple[Any, ...]]
    empty_mlflow: Path
    """An MLflow store to be copied: making a new one takes seconds."""

    @property
    def n_shards(self) -> int:
        """Shards of each scale."""
        return len(self.left[SCALES[0]].in_shards) // SHARD_PAIRS


def make_undisturbed_study(folder: Path, data: Path) -> UndisturbedStudy:
    """Run the scales on one machine, in peace."""
    home, store = keeps_a_file(folder / "home"), folder / "empty"
    for each in (home, store):
        each.mkdir(parents=True)
    Tracker(Settings.load(store, experiment="another study", environ={}, folder=store)).experiment_id()
    shutil.copy(store / "mlflow.db", home / "mlflow.db")
    shell = Shell(folder, VLMPROBE_SHARD_PAIRS=str(SHARD_PAIRS))
    process = shell.start("run", *study(data), "--home", home)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    left = {scale: read_left(home, scale) for scale in SCALES}
    return UndisturbedStudy(data, left, read_metrics(home), store / "mlflow.db")


def study(data: Path) -> tuple[object, ...]:
    """Return the arguments of ``vlmprobe run`` that every trial submits."""
    scales = [word for scale in SCALES for word in ("--scale", scale)]
    return ("tiny", "--data", data, *scales, "--batch-size", BATCH)


class UnitTrial:
    """A database, a folder that hosts share, and the chance that says when and how they are disturbed."""

    def __init__(
        self,
        undisturbed: UndisturbedStudy,
        fault: str,
        seed: int,
        folder: Path,
        server: Server,
        *,
        long: bool,
    ) -> None:
        self.undisturbed, self.fault, self.seed, self.long = undisturbed, fault, seed, long
        self.folder = folder
        folder.mkdir(parents=True)
        self.chance = random.Random(f"{fault}/{seed}")
        self.url, self._server = server.migrated(), server
        self.stack = ExitStack()
        """What has to be undone when the trial is over."""
        self.injected = 0
        self.healed_by = "itself"
        self.complaints: list[str] = []
        self._submitted: list[str] = []
        self._said: dict[subprocess.Popen[str], str] = {}
        self.desk = self.person("desk")
        self._home = on_server(folder / "desk" / "home", self.url)

    def _settings(self, home: Path) -> dict[str, str]:
        """Make a home in the shared folder, unless it is there; return what leads to it and to the database."""
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "mlflow.db").exists():
            shutil.copy(self.undisturbed.empty_mlflow, home / "mlflow.db")
        return {
            "VLMPROBE_DATABASE_URL": self.url,
            "VLMPROBE_STORE_ROOT": str(self.folder),
            "VLMPROBE_SHARD_PAIRS": str(SHARD_PAIRS),
        }

    def person(self, name: str) -> Shell:
        """Return what runs commands of someone who submits."""
        home = self.folder / name / "home"
        return Shell(self.folder, VLMPROBE_HOME=str(home), **self._settings(home))

    def host(self, name: str, **environ: str) -> Host:
        """Start a host, or one that was killed once more."""
        settings = self._settings(self.folder / name / "home") | environ
        return self.stack.enter_context(Host(self.folder, name, **settings))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database without vlmprobe's code."""
        return self._server.run(sql, database=self.url.rpartition("/")[2])

    @property
    def study(self) -> tuple[object, ...]:
        """The arguments of ``vlmprobe run`` that are submitted."""
        return study(self.undisturbed.data)

    def submit(self) -> str:
        """Submit the study; return the submission's name."""
        return self.submitted(self.desk.start("run", *self.study, "--engine", "print"))

    def submitted(self, process: subprocess.Popen[str]) -> str:
        """Return the name that a command gave to what it submitted."""
        ran = self.ended(process).ok()
        names = {words[words.index("unit") + 1] for words in map(shlex.split, ran.out.splitlines())}
        (name,) = names
        self._submitted.append(name)
        return name

    def units(self, submission: str) -> dict[int, tuple[str, int, str | None]]:
        """Return state, tries and error of each unit."""
        sql = f"SELECT number, state, attempts, error FROM units WHERE submission = '{submission}'"
        return {number: (state, tries, error) for number, state, tries, error in self.rows(sql)}

    def n_shards(self, host: str, scale: str) -> int:
        """Return how many shards of a scale a host has stored."""
        sql = f"SELECT count(*) FROM shards JOIN runs USING (run_id) WHERE host = '{host}' AND scale = '{scale}'"
        ((n,),) = self.rows(sql)
        return int(n)

    def moment(self, process: subprocess.Popen[str], host: str, scale: str) -> bool:
        """Wait until a host is in the middle of a scale; return whether its unit runs still."""
        wanted = self.n_shards(host, scale) + self.chance.randint(1, 4)
        self.wait(lambda: process.poll() is not None or self.n_shards(host, scale) >= wanted)
        return process.poll() is None and self.n_shards(host, scale) < self.undisturbed.n_shards

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until something is so.

        Raises:
            TimeoutError: it never was.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited in vain: {self.rows('SELECT * FROM units')}")
            time.sleep(0.02)

    def out_live(self, host: str) -> None:
        """Let what a dead or frozen host had end by itself: the long form waits, the short one sets its times back."""
        ((left,),) = self.rows(_LEFT_S.format(host=host, life=LIFE_S))
        if left is None or left <= 0:
            return
        if self.long:
            time.sleep(float(left) + 1)
            return
        for statement in _AGE:
            self.rows(statement.format(host=host, s=float(left) + 1))

    @staticmethod
    def ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
        """Wait; return whether a command ended meanwhile."""
        return Trial.ends_within(process, seconds)

    def says(self, process: subprocess.Popen[str], words: str) -> None:
        """Wait until a command says something, or ends."""
        assert process.stderr is not None
        for line in process.stderr:
            self._said[process] = self._said.get(process, "") + line
            if words in line:
                return

    def ended(self, process: subprocess.Popen[str]) -> Ran:
        """Wait for a command's end."""
        out, err = process.communicate(timeout=PATIENCE_S)
        return Ran(process.returncode, out, self._said.get(process, "") + err)

    def expect(self, ran: Ran, *codes: int) -> None:
        """Note it when a command ended otherwise than users are told, or with a traceback."""
        if ran.code not in codes or "Traceback" in ran.err:
            self.complaints.append(f"exit code {ran.code}, expected {codes}: {ran.err[-600:]}")

    def again(self, host: Host) -> None:
        """Give the same ``run`` command again, and run on a host what it submits: what users do after a failure."""
        self.healed_by = "the same command"
        name = self.submit()
        for number in self.units(name):
            self.expect(self.ended(host.run("unit", name, number)), 0)

    def outcome(self) -> Outcome:
        """Check rows and files, and compare them with what the undisturbed study left."""
        for command in (("verify",), ("db", "check")):
            ran = self.ended(self.desk.start(*command))
            if ran.code:
                self.complaints.append(f"{' '.join(command)}: {ran.out[-600:]}{ran.err[-600:]}")
        for name in self._submitted:
            states = self.units(name)
            if name == self._submitted[-1] and {state for state, *_ in states.values()} != {"done"}:
                self.complaints.append(f"units of {name}: {states}")
        runs = self.rows("SELECT scale, status, lease FROM runs ORDER BY scale")
        if runs != [(scale, "complete", None) for scale in sorted(SCALES)]:
            self.complaints.append(f"runs: {runs}")
        lost = doubled = differing = 0
        for scale in SCALES:
            before = self.undisturbed.left[scale]
            after = read_left(self._home, scale, root=self.folder)
            own = compare(before.answers + before.certificates, after.answers + after.certificates)
            of_shards = compare(before.in_shards, after.in_shards)
            lost += own[0] + of_shards[0]
            doubled += own[1] + of_shards[1]
            differing += sum(
                after.states.get(layer, {}).get(pair) != states
                for layer, pairs in before.states.items()
                for pair, states in pairs.items()
            )
        metrics = compare(self.undisturbed.metrics, read_metrics(self._home))
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

    def close(self) -> None:
        """End all hosts, and undo what was done to the machine."""
        self.stack.close()
