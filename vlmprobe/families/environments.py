"""The separate Python environment that runs a family's model, as set in a user's ``vlmprobe.toml``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vlmprobe.errors import InputError

__all__ = ["DEFAULT_TIMEOUT_S", "Environment"]

#: Loading a large checkpoint from a slow disk takes minutes; a hanging worker must not cost a whole night.
DEFAULT_TIMEOUT_S = 900.0
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python interpreter with packages that this one cannot have."""

    python: str
    """The interpreter's absolute path; symbolic links are kept, since virtual environments rely on them."""
    pythonpath: tuple[str, ...] = ()
    """Folders to add to that environment's path, such as a clone of a model's own code."""
    timeout: float = DEFAULT_TIMEOUT_S
    """Seconds without a reply after which the process counts as hung."""
    load_timeout: float | None = None
    """The same while it loads a checkpoint; ``timeout`` when None."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the interpreter that runs this, for models in processes of their own; a load may be a download."""
        # A worker ignores the variable, which may be meant for another Python; this one is the same.
        places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        return cls(sys.executable, tuple(place for place in places if place), load_timeout=_DAY_S)

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
