"""The other Python environment that a family's model runs in, as a user's ``vlmprobe.toml`` names it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vlmprobe.errors import InputError

__all__ = ["DEFAULT_TIMEOUT_S", "Environment"]

#: Loading a large checkpoint from a slow disk takes minutes; a worker that hangs must not take the night.
DEFAULT_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python interpreter with packages that this one cannot have."""

    python: str
    """The interpreter's path: absolute, symbolic links kept, since a virtual environment is found by them."""
    pythonpath: tuple[str, ...] = ()
    """Folders put on that environment's path, a clone of a model's own code for one."""
    timeout: float = DEFAULT_TIMEOUT_S
    """Seconds without an answer after which the process counts as hung."""

    def problem(self) -> str | None:
        """Say what keeps this environment from being used; None when nothing that can be seen from here does."""
        python = Path(self.python)
        if not python.is_file():
            return f"there is no Python at {python}"
        if not os.access(python, os.X_OK):
            return f"{python} is not executable"
        for folder in self.pythonpath:
            if not Path(folder).is_dir():
                return f"pythonpath: there is no folder {folder}"
        return None

    def check(self, family: str) -> None:
        """Make sure that the interpreter can be started; called when the family is opened, not before.

        Raises:
            InputError: it is not there or not executable, or a folder of ``pythonpath`` is not there.
        """
        problem = self.problem()
        if problem is not None:
            raise InputError(f"family {family!r}: {problem}; correct it in vlmprobe.toml")
