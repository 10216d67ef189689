"""What one check of a benchmark found, as a row."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALARM", "Leak"]

#: An alarm is raised where Holm's p is at most this, over all tests of a benchmark.
ALARM = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One number about a benchmark, with its meaning in a sentence. What could not be had is None, never 0."""

    name: str
    """Of the check; docs/data.md lists them."""
    target: str
    """An axis, or ``overall``."""
    value: float | None
    """A share of 0 to 1."""
    n: int
    """Pairs, rows or questions behind it."""
    n_images: int
    detail: str = ""
    """What the value counts, where the check leaves that open: which option, how many of each category."""
    says: str = ""
    """What it means for a result, in a sentence or two."""
    chance: float | None = None
    """What the value is where nothing leaks."""
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    """Corrected over all tests of the benchmark; None where the check is no test of a leak."""
    draws: int | None = None
    """Of the null, where p comes from one."""
    seed: int | None = None
    method: str = ""
    reason: str = ""
    """Why the value, its interval or its p is missing."""

    @property
    def is_alarm(self) -> bool:
        """Whether something leaks, as far as a test can say."""
        return self.p_holm is not None and self.p_holm <= ALARM
