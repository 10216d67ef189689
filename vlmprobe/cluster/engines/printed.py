"""Prints one command a unit, for whatever runs commands: GNU parallel, a Kubernetes indexed Job, people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.cluster.engines.base import Submitted, shell_line

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.cluster.engines.base import Submission
    from vlmprobe.workspace import Console

__all__ = ["Printed"]


class Printed:
    """Prints commands; nothing is run."""

    name = "print"
    needs_shared_database = False

    def submit(self, submission: Submission, console: Console) -> Submitted:  # noqa: ARG002 - the protocol's
        """Return one line a unit, for any machine and in any order."""
        lines = tuple(shell_line(submission.command_of(unit)) for unit in submission.units)
        after = " && ".join(map(shell_line, submission.finishing))
        return Submitted(lines, said=(f"when all have ended: {after}",))

    def log_of(self, submission: str, number: int, folder: Path) -> Path | None:  # noqa: ARG002 - the protocol's
        """Return None: whoever runs the command has its output."""
        return None
