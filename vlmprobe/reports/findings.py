"""What a report leads with: accuracy by perspective, whether each axis is there, and the angles between axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.axis_significance import METHOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.results import Metric

__all__ = ["AxisFinding", "Family", "Findings", "ScaleFindings"]


@dataclass(frozen=True, slots=True)
class AxisFinding:
    """One axis of one scale."""

    axis: str
    p_value: float | None
    """Over layers, adjusted by Holm's rule in the report's own family; None = not tested."""
    is_there: bool
    """Whether that is at most .05: the run's own test asks for a resolved squared length as well."""
    coherence: Metric | None
    """Balanced, at the scale's layer."""
    plug_in: Metric | None
    """The published coherence at that layer."""


@dataclass(frozen=True, slots=True)
class ScaleFindings:
    """One scale; None where a run has no such number."""

    family: str
    scale: str
    samples_seen: int | None
    consistent: Metric | None
    """Accuracy of both answers, distance pairs whose farther object is higher in the image."""
    counter: Metric | None
    gap: Metric | None
    consistent_share: float | None
    layer: int
    """Where the run's axes are most coherent; coherence and angles are of this layer."""
    axes: tuple[AxisFinding, ...]
    angles: tuple[Metric, ...]
    """Corrected cosines: VD-EI first, then its controls."""
    by_perspective: tuple[Metric, ...]
    """Corrected VD-EI of consistent pairs, of counter pairs, of both with equal weight, and the gap."""
    plug_ins: tuple[Metric, ...]
    """The published VD-EI, without intervals."""
    method: str | None = None
    """How its axes were tested; None where an earlier version did not say."""

    @property
    def has_axis(self) -> bool:
        """Whether any axis is there."""
        return any(axis.is_there for axis in self.axes)

    def resolves(self, target: str) -> bool:
        """Whether both axes of a pair of axes are there."""
        there = {axis.axis for axis in self.axes if axis.is_there}
        return set(target.split("/")) <= there


@dataclass(frozen=True, slots=True)
class Family:
    """The tests that are corrected together."""

    n_tests: int
    n_axes: int
    n_scales: int
    n_untested: int

    def __str__(self) -> str:
        """Name it: ``Holm over 15 tests: 3 axes x 5 scales``."""
        left_out = f", {self.n_untested} of them not tested" if self.n_untested else ""
        scales = "1 scale" if self.n_scales == 1 else f"{self.n_scales} scales"
        return f"Holm over {self.n_tests} tests: {self.n_axes} axes x {scales}{left_out}"


@dataclass(frozen=True, slots=True)
class Findings:
    """All scales of a report, in its order."""

    scales: Sequence[ScaleFindings]
    family: Family

    @property
    def method_note(self) -> str | None:
        """How axes were tested, where labels were not simply exchanged among all images; None where they were."""
        methods = [scale.method or METHOD for scale in self.scales]
        if set(methods) <= {METHOD}:
            return None
        if len(set(methods)) == 1:
            return f"Axes were tested by {methods[0]}."
        listed = "; ".join(
            f"{scale.family} @ {scale.scale} by {method}"
            for scale, method in zip(self.scales, methods, strict=True)
        )
        return f"Axes were not tested alike: {listed}. Analyze all with the same --strata before you compare them."

    @property
    def has_perspectives(self) -> bool:
        """Whether any scale's pairs have a perspective."""
        return any(scale.gap is not None for scale in self.scales)

    @property
    def consistent_share(self) -> float | None:
        """The share of consistent pairs, which the runs of one dataset have in common; None where none is known."""
        return next(
            (each.consistent_share for each in self.scales if each.consistent_share is not None), None
        )

    @property
    def has_angles(self) -> bool:
        """Whether the axes have a VD-EI: those of height and depth do."""
        return bool(self.angle_names)

    @property
    def angle_names(self) -> tuple[str, ...]:
        """The pairs of axes, VD-EI first."""
        return tuple(dict.fromkeys(each.target for scale in self.scales for each in scale.angles))

    @property
    def plug_in_names(self) -> tuple[str, ...]:
        """Metric and pair of axes of each published value."""
        return tuple(
            dict.fromkeys(f"{each.name} {each.target}" for scale in self.scales for each in scale.plug_ins)
        )
