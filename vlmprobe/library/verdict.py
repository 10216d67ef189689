"""What an axis has been shown to be of, as the library shows it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmprobe.analysis.controls import Beside, Row
    from vlmprobe.reports.verdicts import AxisVerdict

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """The verdict about one axis of one scale, with the conditions that were looked at."""

    run_id: str
    family: str
    scale: str
    template: str
    axis: str
    layer: int
    layer_is: str
    """``recommended``, or the ``most coherent`` one where none is recommended."""
    verdict: str
    """``no axis``, ``axis, but also in the controls``, ``axis, of the answer's words``, ``axis, origin open``,
    ``axis of the scene`` or ``no verdict``."""
    controls: tuple[str, ...]
    """In which controls the axis is as well."""
    decided_by: str
    """The condition that decided, with its numbers, or why there is none."""
    missing: str
    """What to run, or why else there is no verdict; empty where there is one."""
    command: str
    """Runs what is missing; empty where more runs would not help."""
    note: str
    """What a reader must know of it."""
    p_value: float | None
    """Of the axis over layers, after Holm; None = not tested."""
    n_tests: int
    """Tests that Holm's rule was over."""
    conditions: tuple[Row, ...]
    """Each with ``rule``, ``statistic``, ``value``, ``low``, ``limit``, ``holds``, ``n_images`` and ``reason``."""
    beside: tuple[Beside, ...]
    """Numbers that decide nothing, each with ``statistic``, ``value``, ``n_images``, ``reason`` and ``note``."""
    version: int
    """Of the rules."""

    @classmethod
    def of(cls, found: AxisVerdict) -> Verdict:
        """Build it from what was judged."""
        judged = found.verdict
        command = f"{found.command} --scale {shlex.quote(found.scale)}" if found.command else ""
        return cls(
            run_id=found.run_id,
            family=found.family,
            scale=found.scale,
            template=found.template,
            axis=found.axis,
            layer=found.layer,
            layer_is=found.layer_is,
            verdict=str(judged.origin),
            controls=judged.controls,
            decided_by=found.decided_by,
            missing=judged.missing,
            command=command,
            note=judged.note,
            p_value=found.p_value,
            n_tests=found.n_tests,
            conditions=judged.rows,
            beside=found.beside,
            version=judged.version,
        )

    def __repr__(self) -> str:
        which = f" ({', '.join(self.controls)})" if self.controls else ""
        what = f"{self.verdict}{which}; {self.decided_by}"
        return f"<Verdict on {self.axis} of {self.family} @ {self.scale}, layer {self.layer}: {what}>"
