"""People and nodes that share a database and a folder; each has a home of its own in that folder."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..command_line import Ran, Shell
from ..left_behind import read_left, read_metrics, read_rows
from ..postgres_server import on_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..postgres_server import Server

__all__ = ["BATCH", "AtWork", "Team", "name_of"]

#: Fixed, so that every run is bit-equal to any other.
BATCH = ("--batch-size", 8)
SHARD_PAIRS = "8"
#: Where much else is running, to load PyTorch takes minutes.
PATIENCE_S = 900.0
#: Units whose host stored an answer, and whose runs lack some: where, which one, and how many shards it stored.
_AT_WORK = """
SELECT units.host, units.number, units.scale, count(*)
FROM units JOIN runs ON runs.scale = units.scale AND runs.dataset_id = units.dataset_id
JOIN shards ON shards.run_id = runs.run_id AND shards.host = units.host
WHERE units.submission = '{submission}' AND units.state = 'running' AND runs.status = 'running'
GROUP BY units.host, units.number, units.scale ORDER BY count(*), units.number
"""


@dataclass(frozen=True, slots=True)
class AtWork:
    """A unit that is in the middle of its pairs."""

    host: str
    number: int
    scale: str
    n_shards: int


class Team:
    """A database, a folder, and commands from anybody's home."""

    def __init__(self, server: Server, root: Path, empty_mlflow: Path, *names: str) -> None:
        """Make the homes of people and nodes; ``root`` may have a space in its name."""
        self.root, self._server = root, server
        self.url = server.migrated()
        for name in names:
            home = on_server(root / name, self.url)
            home.mkdir(parents=True)
            shutil.copy(empty_mlflow, home / "mlflow.db")

    def environ(self, name: str) -> dict[str, str]:
        """Return the settings of someone."""
        return {
            "VLMPROBE_DATABASE_URL": self.url,
            "VLMPROBE_STORE_ROOT": str(self.root),
            "VLMPROBE_HOME": str(self.root / name),
            "VLMPROBE_SHARD_PAIRS": SHARD_PAIRS,
        }

    def shell(self, name: str, folder: Path, **environ: str) -> Shell:
        """Return what runs commands of someone in a folder, which the nodes see as well."""
        return Shell(folder, **self.environ(name) | environ)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database without vlmprobe's code."""
        return self._server.run(sql, database=self.url.rpartition("/")[2])

    def units(self, submission: str) -> dict[int, tuple[str, int, str | None, str | None]]:
        """Return state, tries, host and error of each unit."""
        found = self.rows(
            f"SELECT number, state, attempts, host, error FROM units WHERE submission = '{submission}'"
        )
        return {number: (state, tries, host, error) for number, state, tries, host, error in found}

    def at_work(self, submission: str, *, besides: tuple[str, ...] = ()) -> AtWork:
        """Wait for a unit in the middle of its pairs, on another host than some."""
        found: list[AtWork] = []

        def look() -> bool:
            rows = self.rows(_AT_WORK.format(submission=submission))
            found[:] = [each for row in rows if (each := AtWork(*row)).host not in besides]
            return bool(found)

        self.wait(look)
        return found[0]

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> float:
        """Wait until something is so; return how many seconds that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, self.rows("SELECT * FROM units")
            time.sleep(0.05)
        return time.monotonic() - began

    def is_as(self, home: Path, scales: tuple[str, ...], *, in_parts: bool = False) -> None:
        """Compare all that was left with what a study without a cluster left: answers, states, metrics, to the bit.

        Each part certifies a batch of its own, so that of a run that was shared out certificates only have to pass.
        """
        somebody = self.root / "desk"
        ((dataset,),) = set(read_rows(home, "SELECT dataset_id FROM runs"))
        for scale in scales:
            left = read_left(somebody, scale, dataset=dataset, root=self.root)
            undisturbed = read_left(home, scale)
            assert left.answers == undisturbed.answers
            assert left.states == undisturbed.states
            assert left.in_shards == undisturbed.in_shards
            if not in_parts:
                assert left.certificates == undisturbed.certificates
        assert read_metrics(somebody, dataset=dataset) == read_metrics(home)
        assert self.rows("SELECT count(*) FROM certificates WHERE NOT passed") == [(0,)]

    def are_parts_of_one_run(self, home: Path, submission: str, n_parts: int) -> None:
        """Check that each part was done, and that together they are what one process left."""
        units = self.units(submission)
        assert {state for state, *_ in units.values()} == {"done"}
        assert len(units) == n_parts
        parts = self.rows("SELECT part, n_parts, status, lease FROM run_parts ORDER BY part")
        assert parts == [(number, n_parts, "complete", None) for number in range(1, n_parts + 1)]
        self.is_as(home, ("2m",), in_parts=True)


def name_of(ran: Ran) -> str:
    """Return the name that a submission was given."""
    said = re.search(r"see 'vlmprobe status (\w+)'", ran.err)
    assert said is not None, ran.err
    return said.group(1)
