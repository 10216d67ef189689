"""What a report leads with: accuracy by perspective, whether each axis is there, and the angles between axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.axis_significance import METHOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.results import Metric

__all__ = ["OF_STRATA", "AxisFinding", "Family", "Findings", "ScaleFindings"]

#: What strata change, and what they do not.
OF_STRATA = (
    "Strata change p alone: coherences, angles, intervals and squared lengths still hold what goes with the "
    "column."
)


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
    split: Metric | None = None
    """Read on either half of the images at the layer that the other half chose."""
    order: Metric | None = None
    """What any swap does, whatever the category: ``order_coherence`` at the scale's layer."""
    order_warning: str = ""
    """Says that the published coherence holds it; empty where there is no reason to."""


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
    excess: tuple[Metric, ...] = ()
    """Of each control: the size of VD-EI less its own."""
    splits: tuple[Metric, ...] = ()
    """The angles, read on either half of the images at the layer that the other half chose."""
    last_layer: int | None = None
    """The last one that is stored; None = unknown."""
    method: str | None = None
    """How its axes were tested; None where an earlier version did not say."""

    @property
    def has_axis(self) -> bool:
        """Whether any axis is there."""
        return any(axis.is_there for axis in self.axes)

    @property
    def is_late(self) -> bool:
        """Whether the layer is the last one that is stored, where a delta may be the answer's word."""
        return self.layer == self.last_layer

    def resolves(self, *targets: str) -> bool:
        """Whether all axes of these pairs of axes are there."""
        there = {axis.axis for axis in self.axes if axis.is_there}
        return {axis for target in targets for axis in target.split("/")} <= there

    def split_of(self, target: str) -> Metric | None:
        """Return the split reading of an angle."""
        return next((each for each in self.splits if each.target == target), None)

    @property
    def of_controls(self) -> tuple[tuple[Metric, str], ...]:
        """The excess over each control, and what it says in words; empty words where there is no interval."""
        return tuple((each, _verdict(each)) for each in self.excess)

    @property
    def is_mixture(self) -> str:
        """Say what the gap of VD-EI says of the angle over all pairs."""
        gap = self.by_perspective[-1] if self.by_perspective else None
        if gap is None or gap.ci_low is None or gap.ci_high is None or gap.ci_low <= 0 <= gap.ci_high:
            return "a mixture cannot be ruled out here"
        return "VD-EI over all pairs is a mixture"

    @property
    def constant(self) -> str:
        """Say that both perspectives are never, or always, answered right: their gap is then 0 whatever the states."""
        if self.consistent is None or self.counter is None:
            return ""
        values = {self.consistent.value, self.counter.value}
        if values == {0.0}:
            return "both are 0, as with constant answers"
        return "both are 1: a ceiling" if values == {1.0} else ""


@dataclass(frozen=True, slots=True)
class Family:
    """The tests that are corrected together."""

    n_tests: int
    n_axes: int
    n_scales: int
    n_untested: int
    smallest_p: float = 0.0
    """What the test of fewest layers gives at best: it counts exchanges of labels."""
    usual_p: float = 0.0
    """The same of most layers: what a clear axis is given."""

    @property
    def floor(self) -> float:
        """The smallest adjusted p-value that there can be."""
        return min(1.0, self.n_tests * self.smallest_p)

    @property
    def usual_floor(self) -> float:
        """What the adjusted p-value of a clear axis is about, at most."""
        return min(1.0, self.n_tests * self.usual_p)

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
            return f"Axes were tested by {methods[0]}. {OF_STRATA}"
        listed = "; ".join(
            f"{scale.family} @ {scale.scale} by {method}"
            for scale, method in zip(self.scales, methods, strict=True)
        )
        alike = "Analyze all with the same --strata before you compare them."
        return f"Axes were not tested alike: {listed}. {alike} {OF_STRATA}"

    @property
    def order_warnings(self) -> list[str]:
        """The warnings of order effects, a line each, with scale and axis."""
        return [
            f"{scale.family} @ {scale.scale}, {axis.axis}, published coherence: {axis.order_warning}"
            for scale in self.scales
            for axis in scale.axes
            if axis.order_warning
        ]

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
    def n_of_axes(self) -> str:
        """What is counted of the axes that are there."""
        return _counted(
            [axis.coherence for each in self.scales for axis in each.axes if axis.coherence and axis.is_there]
        )

    @property
    def n_of_angles(self) -> str:
        """What is counted of the angles between axes that are there."""
        return _counted(
            [angle for each in self.scales for angle in each.angles if each.resolves(angle.target)]
        )

    @property
    def n_gaps(self) -> int:
        """Scales that have a gap of accuracy."""
        return sum(scale.gap is not None for scale in self.scales)

    @property
    def n_excesses(self) -> int:
        """Excesses that are shown with an interval: of resolved axes alone."""
        return sum(
            each.ci_low is not None and scale.resolves(each.target, self.angle_names[0])
            for scale in self.scales
            for each in scale.excess
        )

    def of(self, family: str, scale: str) -> ScaleFindings | None:
        """Return those of one scale."""
        return next((each for each in self.scales if (each.family, each.scale) == (family, scale)), None)

    @property
    def has_angles(self) -> bool:
        """Whether the axes have a VD-EI: those of height and depth do."""
        return bool(self.angle_names)

    @property
    def angle_names(self) -> tuple[str, ...]:
        """The pairs of axes, VD-EI first."""
        return tuple(dict.fromkeys(each.target for scale in self.scales for each in scale.angles))

    @property
    def controls(self) -> tuple[str, ...]:
        """The pairs of axes that VD-EI is compared with."""
        return tuple(dict.fromkeys(each.target for scale in self.scales for each in scale.excess))

    @property
    def plug_in_names(self) -> tuple[str, ...]:
        """Metric and pair of axes of each published value."""
        return tuple(
            dict.fromkeys(f"{each.name} {each.target}" for scale in self.scales for each in scale.plug_ins)
        )


def _counted(metrics: Sequence[Metric]) -> str:
    """Say how many pairs, and images where they are known, stand behind some numbers; empty without any."""
    n = [each.n for each in metrics]
    n_images = [each.n_images for each in metrics if each.n_images is not None]
    counted = [f"{_range(each)} {what}" for each, what in ((n, "pairs"), (n_images, "images")) if each]
    return f"n = {', '.join(counted)}" if counted else ""


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _verdict(excess: Metric) -> str:
    if excess.ci_low is None or excess.ci_high is None:
        return ""
    if excess.ci_low <= 0 <= excess.ci_high:
        return f"not resolved as larger than {excess.target}"
    size = "larger" if excess.ci_low > 0 else "smaller"
    return f"resolved as {size} than {excess.target} (unadjusted)"
