"""When the phases of a study began and ended."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Phase", "Timeline"]


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of time; phases may overlap."""

    scale: str
    """The family and scale that it was about; empty if about all."""
    phase: str
    start_s: float
    """Seconds since the study began."""
    end_s: float


class Timeline:
    """The phases of a study, in the order in which they ended; it begins when it is made."""

    def __init__(self) -> None:
        """Begin now."""
        self.began = time.monotonic()
        """What ``time.monotonic`` said then."""
        self.phases: list[Phase] = []

    @property
    def now(self) -> float:
        """Seconds since the study began."""
        return time.monotonic() - self.began

    def since(self, other: float) -> float:
        """Return when something was, in seconds since the study began; ``other``: what ``time.monotonic`` said then.

        All processes of a machine have the same such clock.
        """
        return other - self.began

    def add(self, phase: str, start_s: float, scale: str = "", end_s: float | None = None) -> Phase:
        """Add a phase that ends now, unless it ended before; any thread may."""
        ended = Phase(scale, phase, round(start_s, 3), round(self.now if end_s is None else end_s, 3))
        self.phases.append(ended)
        return ended

    @contextmanager
    def during(self, phase: str, scale: str = "") -> Iterator[None]:
        """Add what is done meanwhile, however it ends."""
        start_s = self.now
        try:
            yield
        finally:
            self.add(phase, start_s, scale)

    def take(self, began: float, phases: Sequence[Phase]) -> None:
        """Add phases of another process's timeline, which began at ``began`` of ``time.monotonic``."""
        later = self.since(began)
        self.phases += [
            replace(each, start_s=round(each.start_s + later, 3), end_s=round(each.end_s + later, 3))
            for each in phases
        ]

    def line(self) -> str:
        """Return how long each phase took, over all scales, and the whole."""
        seconds: dict[str, float] = {}
        for each in self.phases:
            seconds[each.phase] = seconds.get(each.phase, 0.0) + each.end_s - each.start_s
        parts = [f"{phase} {taken:.1f} s" for phase, taken in seconds.items()]
        return f"{', '.join(parts)}; {self.now:.1f} s in all"

    def write(self, path: Path) -> None:
        """Write the phases as JSON."""
        rows = {"timeline": [asdict(each) for each in self.phases]}
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
