"""The content of a comparison of runs on the same pairs, and its rows: for programs, for people, for LaTeX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import VD_EI_OF_CONTROL
from vlmprobe.analysis.difference import ALPHA, MCNEMAR
from vlmprobe.analysis.inference import Estimate
from vlmprobe.reports.controls import shown_angle
from vlmprobe.reports.numbers import NOT_AVAILABLE, decimals_of, p_value, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.analysis.difference import Difference

__all__ = [
    "MDE_KNOWN",
    "MDE_SAYS",
    "ChangedPair",
    "Compared",
    "Comparison",
    "pair_rows",
    "shown_holm",
    "shown_p",
    "shown_rows",
    "tidy_rows",
]

#: Changed pairs that are named unless all are asked for.
_NAMED = 5
#: What an MDE is; the shares are those of the simulation table.
MDE_SAYS = (
    "a true difference of this size would have been resolved in about 4 of 5 such studies (.73 to .92 in made-up "
    "worlds), after Holm at its strictest"
)
MDE_KNOWN = (
    "simulated for accuracy, coherence from .1 and from .5, and a size of VD-EI of .3; not for coherence from above "
    ".5, the demo's deltas, signed VD-EI, slopes, several trainings or sizes near 0, where it may be fewer"
)
_ABOVE_SAYS = (
    "above_control: before and after are coherence minus the control's, and value is their difference with its "
    "interval, without a test: where it holds 0, the controls may differ as much"
)
_ANGLE_SAYS = (
    "of_control: VD-EI of the controls, for each kind that both have; no difference above it was simulated, so there "
    "is none; not resolved = a control has not both axes, as is usual, and so no angle"
)
#: Simulations of real deltas check t tests at 5 %, so a smaller p-value than this is not told from another.
_SMALLEST_P_OF_T = 0.001


@dataclass(frozen=True, slots=True)
class ChangedPair:
    """A pair that only one of two compared runs gets right, both answers."""

    pair_id: str
    category: str
    axis: str
    perspective: str | None
    gained: bool
    """Whether the later run is the one that gets it right."""
    training: str
    """Of which training; empty where the scales have one."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The rows of two runs or scales, later minus earlier; or the slopes over several."""

    before: str
    after: str
    layer: str
    """Where the geometry was read: one number, or two where the runs' layers differ."""
    rows: tuple[Difference, ...]
    changed: tuple[ChangedPair, ...] = ()

    @property
    def name(self) -> str:
        """``400k -> 2m``."""
        return f"{self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs compared on the pairs that all of them answered."""

    title: str
    compared: tuple[Compared, ...]
    trend: Compared | None
    """Slopes per tenfold training; None where no trend was asked for."""
    n_pairs: int
    n_images: int
    left_out: int
    """Pairs that one of the runs answered and another did not."""
    layer_choice: str
    """Which layer, and why that one."""
    trainings: tuple[str, ...]
    """Labels of the trainings that all scales have; one label, or an empty one, for a single training."""
    lacking: tuple[str, ...] = ()
    """Which controls were not run, and the commands."""

    @property
    def parts(self) -> tuple[Compared, ...]:
        """All that has rows."""
        return (*self.compared, self.trend) if self.trend else self.compared

    @property
    def n_tests(self) -> int:
        """Tests in the family of Holm's correction: all that are printed."""
        return sum(row.p_value is not None for part in self.parts for row in part.rows)

    @property
    def is_worse(self) -> bool:
        """Whether any accuracy or coherence has fallen, resolved."""
        return any(row.is_worse for part in self.compared for row in part.rows)

    def words(self) -> list[str]:
        """Say what the numbers are about, a line each."""
        count = f"{self.n_pairs} pairs of {self.n_images} images that all runs answered"
        lines = [f"{self.title}: {count}; {self.left_out} left out"]
        hint = "; --layer N reads another" if any(part.layer for part in self.parts) else ""
        lines.append(f"{self.layer_choice}{hint}")
        lines.append(
            f"resolved (Holm over {self.n_tests} tests): p (Holm), corrected for all tests printed here, is at most "
            f"0.05. MDE: {MDE_SAYS} over {self.n_tests} tests; {MDE_KNOWN}"
        )
        if len(self.trainings) > 1:
            lines.append(
                f"{len(self.trainings)} trainings each: means, with t intervals over trainings; about further "
                "trainings, asked about these pictures"
            )
        else:
            lines.append("one training each: about these checkpoints, not about the amount of training")
        if self.trend:
            lines.append(
                "trend: slope per tenfold samples seen (log10(samples + 1)), about these checkpoints"
            )
        beside = {row.entry for part in self.parts for row in part.rows if row.control}
        if beside - {VD_EI_OF_CONTROL}:
            lines.append(_ABOVE_SAYS)
        if VD_EI_OF_CONTROL in beside:
            lines.append(_ANGLE_SAYS)
        return [*lines, *self.lacking]

    def changes(self, *, all_pairs: bool = False) -> list[str]:
        """Say which pairs changed, a line for each comparison and way; the first five unless all are asked for."""
        lines = []
        for part in self.compared:
            for way in ("gained", "lost"):
                names = [
                    f"{pair.pair_id} ({pair.training})" if pair.training else pair.pair_id
                    for pair in part.changed
                    if pair.gained is (way == "gained")
                ]
                named = names if all_pairs else names[:_NAMED]
                more = f", and {len(names) - len(named)} more (--pairs)" if len(names) > len(named) else ""
                listed = f": {', '.join(named)}{more}" if names else ""
                lines.append(f"{part.name}: {len(names)} {way}{listed}")
        return lines


def tidy_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row per number, in full precision; None where there is none, with the reason beside it."""
    return [
        {
            "from": part.before,
            "to": part.after,
            "metric": row.entry.name,
            "target": row.target,
            "control": row.control or None,
            "layer": None if row.entry.name.endswith("accuracy") else part.layer or None,
            "before": row.before,
            "after": row.after,
            "control_before": row.control_before,
            "control_after": row.control_after,
            **_bounds_of_controls(row),
            "value": row.estimate.value,
            "ci_low": row.estimate.ci_low,
            "ci_high": row.estimate.ci_high,
            "p_value": row.p_value,
            "p_holm": row.p_holm,
            "n_tests": comparison.n_tests,
            "resolved": row.is_resolved,
            "mde": row.mde,
            "gained": row.gained,
            "lost": row.lost,
            "n": row.n,
            "n_images": row.estimate.n_images,
            "n_trainings": row.trainings.n_trainings if row.trainings else 1,
            "sd_trainings": row.trainings.sd if row.trainings else None,
            "se_images": row.trainings.se_images if row.trainings else row.estimate.se,
            "method": row.method or None,
            "reason": row.remark or None,
        }
        for part, row in _rows(comparison)
    ]


def shown_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return the same rows for people: digits follow each interval, and what cannot be had says why."""
    several, trainings = len(comparison.parts) > 1, len(comparison.trainings) > 1
    rows = [_shown(part, row, several=several, trainings=trainings) for part, row in _rows(comparison)]
    if not any(row["note"] for row in rows):
        for row in rows:
            del row["note"]
    return rows


def _bounds_of_controls(row: Difference) -> dict[str, Any]:
    found = dict(zip(("before", "after"), row.of_controls or (), strict=False))
    return {
        f"control_{when}_{name}": (getattr(found[when], part) or None) if when in found else None
        for when in ("before", "after")
        for name, part in (("low", "ci_low"), ("high", "ci_high"), ("reason", "reason"))
    }


def _shown(part: Compared, row: Difference, *, several: bool, trainings: bool) -> dict[str, str]:
    estimate = row.estimate
    low, high = estimate.ci_low, estimate.ci_high
    decimals = decimals_of(low, high)

    def show(value: float | None, *, sign: bool = False) -> str:
        text = rounded(value, decimals)
        return f"+{text}" if sign and value is not None and value > 0 and text != NOT_AVAILABLE else text

    cells = {"scales": part.name} if several else {}
    cells |= {
        "metric": row.entry.name,
        "target": f"{row.target}, {row.control}" if row.control else row.target,
        "before": show(row.before),
        "after": show(row.after),
        "value": show(estimate.value, sign=True),
        "95 % interval": NOT_AVAILABLE if low is None else f"[{show(low)}, {show(high)}]",
        "p": shown_p(row, row.p_value),
        "p (Holm)": shown_holm(row),
        "resolved": "yes" if row.is_resolved else "no" if row.p_holm is not None else NOT_AVAILABLE,
        "MDE": show(row.mde),
        "changed": NOT_AVAILABLE if row.gained is None else f"+{row.gained}/-{row.lost}",
    }
    if trainings:
        spread = row.trainings
        cells["SD trainings"] = show(spread.sd if spread else None)
        cells["SE images"] = show(spread.se_images if spread else None)
    notes = [row.remark]
    if row.entry is VD_EI_OF_CONTROL:
        notes = [_angles_of_controls(row)]
    elif row.control:
        notes.insert(0, f"control: {show(row.control_before)} before, {show(row.control_after)} after")
    return cells | {"note": "; ".join(filter(None, notes))}


def _angles_of_controls(row: Difference) -> str:
    """Show both angles with their intervals; over several trainings their means."""
    means = row.control_before, row.control_after
    before, after = map(shown_angle, row.of_controls or [Estimate(mean, 0) for mean in means])
    return f"control: {before} before, {after} after"


def shown_p(row: Difference, p: float | None) -> str:
    """Print a p-value of a difference; that of a t test, below .001, only as such."""
    return p_value(p) if row.method == MCNEMAR else p_value(p, _SMALLEST_P_OF_T)


def shown_holm(row: Difference) -> str:
    """Print a corrected p-value; of a t test, which real deltas check at 5 % alone, whether it is at most that."""
    if row.method != MCNEMAR and row.p_holm is not None and row.p_holm <= ALPHA:
        return f"at most {ALPHA}"
    return shown_p(row, row.p_holm)


def pair_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row per pair that changed."""
    return [
        {
            "from": part.before,
            "to": part.after,
            "change": "gained" if pair.gained else "lost",
            "pair_id": pair.pair_id,
            "axis": pair.axis,
            "category": pair.category,
            "perspective": pair.perspective,
            "training": pair.training or None,
        }
        for part in comparison.compared
        for pair in part.changed
    ]


def _rows(comparison: Comparison) -> Iterator[tuple[Compared, Difference]]:
    for part in comparison.parts:
        for row in part.rows:
            yield part, row
