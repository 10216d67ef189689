"""The separate Python environment that runs a family's model, as set in a user's ``vlmprobe.toml``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vlmprobe.errors import InputError

__all__ = ["DEFAULT_TIMEOUT_S", "Environment"]

#: Loading a large checkpoint from a slow disk takes minutes; a hanging worker must not cost a whole night.
DEFAULT_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python interpreter with packages that this one cannot have."""

    python: str
    """The interpreter's absolute path; symbolic links are kept, since virtual environments rely on them."""
    pythonpath: tuple[str, ...] = ()
    """Folders to add to that environment's path, such as a clone of a model's own code."""
    timeout: float = DEFAULT_TIMEOUT_S
    """Seconds without a reply after which the process counts as hung."""

    def problem(self) -> str | None:
        """Return why this environment cannot be used, or None if nothing visible from here prevents it."""
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
        """Check that the interpreter can be started; called only when the family is opened.

        Raises:
            InputError: it is not there or not executable, or a folder of ``pythonpath`` is not there.
        """
        problem = self.problem()
        if problem is not None:
            raise InputError(f"family {family!r}: {problem}; correct it in vlmprobe.toml")
