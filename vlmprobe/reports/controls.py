"""Real runs beside their controls, as a table: a row for each scale, control and axis."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED
from vlmprobe.reports.numbers import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.above_control import AboveControl
    from vlmprobe.analysis.angles_beside import AngleBeside
    from vlmprobe.analysis.difference import Difference
    from vlmprobe.analysis.inference import Estimate

__all__ = [
    "LAST",
    "READING",
    "RECOMMENDED",
    "ControlRow",
    "controls_in_full",
    "shown_angle",
    "shown_controls",
    "to_be_run",
]

RECOMMENDED, LAST = "recommended", "last"
#: How to read the table, in lines.
READING = (
    "right_above: share with both answers right, run minus control; coherence_above: coherence, run minus control, "
    "paired; above a coherence of .5 no difference from a control was simulated",
    "of_control: a coherence cannot be below 0 in truth, and an interval wholly below 0 misses it; names that images "
    "share were not simulated",
    "size_left: squared length of the axis after the control's vectors are subtracted pair by pair, in the squared "
    "unit of the states, not comparable between scales",
    "adds_an_axis: whether the lower bound of size_left is above 0, unadjusted; no = not shown to be more than the "
    "control",
    "size_left is not defined for random-weights, whose coordinates are others, nor for shuffled-labels, whose vectors "
    "are the run's own",
    "vd_ei, vd_ei_of_control: vd_ei.corrected of the run and of the control, on the same pairs; their difference was "
    "not simulated, so none is given; not resolved = an axis is not, as is usual in a control, and without an axis "
    "there is no angle",
    "not simulated: size_left of axes above .7; anything beside a control whose pairs share pictures with others, as "
    "of other-image",
)


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One axis of a real run, or the angle of two, beside one of its controls."""

    family: str
    scale: str
    template: str
    name: str
    """What the run is called."""
    run_id: str
    control: str
    """Its kind, and its seed if it has one."""
    control_run_id: str | None
    """None of exchanged labels, which no run is."""
    axis: str
    """Of an angle both, as in ``vertical/distance``."""
    layer: int | None
    """None where the states of one of the two are not there."""
    layer_is: str
    """``recommended`` for the real run, or the ``last`` one stored."""
    geometry: AboveControl | None
    accuracy: Difference | None
    """Both answers right: run minus control. None of exchanged labels."""
    angle: AngleBeside | None = None
    """Of two axes; then there is neither geometry of one axis nor accuracy."""

    @property
    def adds_an_axis(self) -> bool | None:
        """Whether an axis is left without the control; None = not known."""
        return None if self.geometry is None else self.geometry.adds_an_axis


def shown_controls(rows: Sequence[ControlRow]) -> list[dict[str, Any]]:
    """Return the rows for people, with the digits that the intervals allow; None = not known or not defined.

    Of angles VD-EI alone: the others are what it is compared with.
    """
    angles = any(row.angle for row in rows)
    several = len({row.family for row in rows}) > 1
    templates = len({row.template for row in rows}) > 1
    return [
        {
            **({"family": row.family} if several else {}),
            "scale": row.scale,
            **({"template": row.template} if templates else {}),
            "control": row.control,
            "axis": row.axis,
            "layer": f"{row.layer} (last)" if row.layer is not None and row.layer_is == LAST else row.layer,
            **{name: _measured(estimate) for name, estimate in _estimates(row).items() if name != "own_size"},
            "adds_an_axis": {True: "yes", False: "no", None: None}[row.adds_an_axis],
            **(
                {
                    name: None if estimate is None else shown_angle(estimate)
                    for name, estimate in _angles(row).items()
                }
                if angles
                else {}
            ),
        }
        for row in rows
        if row.angle is None or row.angle.is_vd_ei
    ]


def controls_in_full(rows: Sequence[ControlRow]) -> list[dict[str, Any]]:
    """Return the rows for machines: every number in full, and why one is missing."""
    return [
        {
            "family": row.family,
            "scale": row.scale,
            "template": row.template,
            "control": row.control,
            "axis": row.axis,
            "n": next((each.n for each in (row.geometry, row.angle) if each), 0),
            "layer": row.layer,
            "layer_is": row.layer_is,
            **{
                f"{name}{part}": value
                for name, estimate in (_estimates(row) | _angles(row)).items()
                for part, value in _parts(estimate).items()
            },
            "adds_an_axis": row.adds_an_axis,
            "run_id": row.run_id,
            "control_run_id": row.control_run_id,
        }
        for row in rows
    ]


def shown_angle(estimate: Estimate) -> str:
    """Show an angle with its interval, or that there is none: a control without axes is not one that was not run."""
    if estimate.value is None:
        return "not resolved" if estimate.reason == NOT_RESOLVED else "not known"
    return measured(estimate.value, estimate.ci_low, estimate.ci_high)


def to_be_run(what: str, family: str, command: str, scales: Sequence[str]) -> str:
    """Say what some scales lack, and the command that extracts it.

    Args:
        what: such as ``no controls of``.
        family: theirs.
        command: without the scales; empty where nothing can extract it.
        scales: theirs, in order; those named twice count once.
    """
    names = list(dict.fromkeys(scales))
    lacking = f"{what} {family} @ {', '.join(names)}"
    if not command:
        return f"{lacking}: imported runs have no model to ask"
    return f"{lacking}: run '{command}{''.join(f' --scale {shlex.quote(scale)}' for scale in names)}'"


def _estimates(row: ControlRow) -> dict[str, Estimate | None]:
    found = row.geometry
    return {
        "right_above": None if row.accuracy is None else row.accuracy.estimate,
        "coherence": None if found is None else found.coherence,
        "of_control": None if found is None else found.of_control,
        "coherence_above": None if found is None else found.difference,
        "size_left": None if found is None else found.size,
        "own_size": None if found is None else found.own_size,
    }


def _angles(row: ControlRow) -> dict[str, Estimate | None]:
    found = row.angle
    return {
        "vd_ei": None if found is None else found.of_run,
        "vd_ei_of_control": None if found is None else found.of_control,
    }


def _measured(estimate: Estimate | None) -> str | None:
    if estimate is None or estimate.value is None:
        return None
    return measured(estimate.value, estimate.ci_low, estimate.ci_high)


def _parts(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"": None, "_low": None, "_high": None, "_reason": ""}
    return {
        "": estimate.value,
        "_low": estimate.ci_low,
        "_high": estimate.ci_high,
        "_reason": estimate.reason,
    }
