"""What an engine is to whoever submits."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vlmprobe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.store.units import Unit
    from vlmprobe.workspace import Console

__all__ = [
    "Engine",
    "EngineOptions",
    "Submission",
    "Submitted",
    "experiment_arguments",
    "home_arguments",
    "how_to_see",
    "shell_line",
    "vlmprobe",
]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a user says of the engine."""

    gpus_per_unit: int | None = None
    """None = the engine's own default: no GPU is asked for."""
    sbatch: tuple[str, ...] = ()
    """Further options of sbatch."""
    address: str | None = None
    """Of a Ray cluster; None = the one that Ray finds."""
    only_print: bool = False
    """Show what would be submitted, and submit nothing."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Units to run, and what to run when all of them have ended."""

    name: str
    units: tuple[Unit, ...]
    home: tuple[str, ...]
    """Arguments that name the home, if the environment does not: ``--home DIR``."""
    finish: tuple[tuple[str, ...], ...]
    """Arguments of ``vlmprobe``, one command after the other."""
    folder: Path
    """Where the engine may write scripts and logs; on a cluster a folder that its hosts share."""
    directory: Path
    """Where the commands run."""

    def command_of(self, unit: Unit) -> list[str]:
        """Return the program and arguments that run one unit."""
        return vlmprobe("unit", unit.submission, str(unit.number), *self.home)

    @property
    def finishing(self) -> list[list[str]]:
        """The programs and arguments that compare what was run."""
        return [vlmprobe(*command, *self.home) for command in self.finish]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What an engine says of a submission."""

    lines: tuple[str, ...]
    """For the user's terminal: results, such as a script that was only to be shown."""
    said: tuple[str, ...] = ()
    """Remarks."""
    job: str | None = None
    is_over: bool = False
    """Whether all units have ended, and the comparison is left to whoever submitted."""
    failed: str | None = None
    """Which of them failed, as an error says it; the others can be compared."""


class Engine(Protocol):
    """Hands units to what runs commands."""

    name: str
    needs_shared_database: bool
    """Whether its units run on several hosts."""

    def submit(self, submission: Submission, console: Console) -> Submitted:
        """Submit the units; for an engine that waits, until all of them have ended.

        Raises:
            VlmprobeError: the engine refused them, or was lost.
            KeyboardInterrupt: it was stopped while it waited; units that run were told to stop.
        """

    def log_of(self, submission: str, number: int, folder: Path) -> Path | None:
        """Return where the output of a unit goes, if the engine writes it to a file."""


def vlmprobe(*arguments: str) -> list[str]:
    """Return a command of this installation, which has to be at the same place on each host."""
    return [sys.executable, "-m", "vlmprobe", *arguments]


def home_arguments(settings: Settings) -> tuple[str, ...]:
    """Return ``--home DIR`` if the environment and the working directory name another."""
    return () if Settings.load().home == settings.home else ("--home", str(settings.home))


def experiment_arguments(settings: Settings) -> tuple[str, ...]:
    """Return ``--experiment NAME`` if they name another."""
    return () if Settings.load().experiment == settings.experiment else ("--experiment", settings.experiment)


def how_to_see(name: str, n_units: int) -> str:
    """Return the line that says what a submission is called, for people who look after it."""
    units = "1 unit" if n_units == 1 else f"{n_units} units"
    return f"{units}; see 'vlmprobe status {name}', stop with 'vlmprobe cancel {name}'"


def shell_line(command: Sequence[str]) -> str:
    """Return a command as a shell reads it."""
    return shlex.join(command)
