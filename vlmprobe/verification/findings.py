"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["REPAIR", "Finding", "Verified"]

REPAIR = "'vlmprobe verify --repair'"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, and what to do about it."""

    where: str
    problem: str
    todo: str
    """What to do, or what was done if it is repaired."""
    repaired: bool = False


@dataclass(slots=True)
class Verified:
    """Counts of what was checked, and the findings."""

    runs: int = 0
    shards: int = 0
    checks: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong, or everything has been repaired."""
        return all(finding.repaired for finding in self.findings)
