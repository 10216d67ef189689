"""The Python environment that runs a family's model, here or elsewhere, as set in a user's ``vlmprobe.toml``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vlmprobe.errors import InputError

if TYPE_CHECKING:
    from vlmprobe.families.launch import Launch

__all__ = ["DEFAULT_TIMEOUT_S", "Environment"]

#: Loading a large checkpoint from a slow disk takes minutes; a hanging worker must not cost a whole night.
DEFAULT_TIMEOUT_S = 900.0
_DAY_S = 86400.0
#: At the end of a scale a process forgets its model; one that is unreachable by then is not waited for any longer.
_UNLOAD_S = 60.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python interpreter with packages that this one cannot have."""

    python: str
    """The interpreter's absolute path; symbolic links are kept, since virtual environments rely on them.

    With ``launch``, a path at the places, or a name that is looked for there."""
    pythonpath: tuple[str, ...] = ()
    """Folders to add to that environment's path, such as a clone of a model's own code."""
    timeout: float = DEFAULT_TIMEOUT_S
    """Seconds without a reply after which the process counts as hung."""
    load_timeout: float | None = None
    """The same while it loads a checkpoint; ``timeout`` when None."""
    launch: tuple[Launch, ...] = ()
    """The places that its processes run at, one process each; beside this process when empty."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the interpreter that runs this, for models in processes of their own; a load may be a download."""
        # A worker ignores the variable, which may be meant for another Python; this one is the same.
        places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        return cls(sys.executable, tuple(place for place in places if place), load_timeout=_DAY_S)

    @property
    def place(self) -> Launch | None:
        """Where its process runs, of an environment with one place; None is beside this process."""
        return self.launch[0] if self.launch else None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.python if self.place is None else f"{self.python} ({self.place.name})"

    def timeout_of(self, call: str) -> float:
        """Return how many seconds the answer to a call may take."""
        if call == "load" and self.load_timeout is not None:
            return self.load_timeout
        return min(_UNLOAD_S, self.timeout) if call == "unload" else self.timeout

    def at_places(self) -> tuple[Self, ...]:
        """Return an environment for each of its places; itself if it has none."""
        return tuple(replace(self, launch=(each,)) for each in self.launch) or (self,)

    def problem(self) -> str | None:
        """Return why this environment cannot be used, or None if nothing visible from here prevents it."""
        if self.launch:
            # Its Python and its folders may exist at the places alone.
            return next(filter(None, (each.problem() for each in self.launch)), None)
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
            InputError: it is not there or not executable, or a folder of ``pythonpath`` is not there. With ``launch``:
                a program that starts it elsewhere is not here.
        """
        problem = self.problem()
        if problem is not None:
            raise InputError(f"family {family!r}: {problem}; correct it in vlmprobe.toml")
