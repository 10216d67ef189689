"""VD-EI of runs beside that of their controls: two angles side by side, each with its own interval.

There is no difference: the interval of one has not been simulated. A control usually has no resolved axes, and where
there is no axis there is no angle. An angle that a control shows as well is no finding about the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

from vlmprobe.analysis.above_control import exchanged_labels
from vlmprobe.analysis.catalog import VD_EI_OF_CONTROL
from vlmprobe.analysis.comparison import read_geometry
from vlmprobe.analysis.difference import NO_TEST, Difference
from vlmprobe.analysis.inference import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.analysis.comparison import Geometry, SharedPairs, States

__all__ = ["NO_DIFFERENCE", "AngleBeside", "angles_beside", "angles_of_controls", "shuffled_geometry"]

NO_DIFFERENCE = "side by side: a difference above the controls was not simulated"


@dataclass(frozen=True, slots=True)
class AngleBeside:
    """``vd_ei.corrected`` of a run and of its control."""

    axes: str
    """Both, as in ``vertical/distance``."""
    n: int
    """Pairs of both axes that run and control have."""
    of_run: Estimate
    of_control: Estimate
    """NULL with its reason where an axis is not resolved in the control, as is usual."""
    is_vd_ei: bool
    """Whether it is VD-EI itself, and not a pair of axes that VD-EI is compared with."""


def angles_beside(run: Geometry, control: Geometry, counts: Mapping[str, int]) -> list[AngleBeside]:
    """Put each corrected angle of a run beside that of its control, on the same pairs in the same layer.

    Args:
        run: the run's.
        control: the control's.
        counts: pairs of each pair of axes (``SharedPairs.counts``).
    """
    return [
        AngleBeside(axes, counts[axes], angle.estimate(), control.angles[axes].estimate(), place == 0)
        for place, (axes, angle) in enumerate(run.angles.items())
    ]


def shuffled_geometry(run: States, pairs: SharedPairs, *, seed: int) -> Geometry:
    """Return coherence and angles of a run with the labels of each axis exchanged among its images, once.

    The angle of an axis whose labels cannot be exchanged is not known.

    Args:
        run: (N, D) states of the original and of the swapped questions.
        pairs: the N pairs.
        seed: of the draw, which is that of :func:`above_shuffled_labels`.
    """
    layout, reasons = exchanged_labels(pairs, seed=seed)
    found = read_geometry(run, layout, pairs.axes)
    why = dict(zip(map(str, pairs.axes), reasons, strict=True))
    angles = {}
    for axes, angle in found.angles.items():
        reason = next(filter(None, (why[axis] for axis in axes.split("/"))), "")
        angles[axes] = replace(angle, value=nan, reason=reason) if reason else angle
    return replace(found, angles=angles)


def angles_of_controls(
    controls: tuple[Geometry, Geometry], kind: str, counts: Mapping[str, int]
) -> list[Difference]:
    """Return VD-EI of the controls of two runs, side by side: there is no difference, and so no value.

    Args:
        controls: those of the earlier and of the later run, on the same pairs in the same layers.
        kind: of the controls, as it is stored.
        counts: pairs of each pair of axes (``SharedPairs.counts``).
    """
    found = []
    # VD-EI alone: the other pairs of axes are what it is compared with.
    for axes in list(controls[0].angles)[:1]:
        before, after = (each.angles[axes].estimate() for each in controls)
        n_images = min(before.n_images, after.n_images)
        found.append(
            Difference(
                VD_EI_OF_CONTROL,
                axes,
                Estimate(None, n_images, reason=NO_DIFFERENCE),
                None,
                NO_TEST,
                counts[axes],
                control=kind,
                control_before=before.value,
                control_after=after.value,
                of_controls=(before, after),
            )
        )
    return found
