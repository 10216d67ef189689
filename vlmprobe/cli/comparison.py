"""Prints a comparison of scales: the table first, then where to look next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.settings import Settings

if TYPE_CHECKING:
    from vlmprobe.cli.options import Output
    from vlmprobe.workflows.merge import MergeResult
    from vlmprobe.workspace import Workspace

__all__ = ["print_merged"]


def print_merged(workspace: Workspace, result: MergeResult, output: Output) -> None:
    """Print both-correct accuracy with bounds and peak coherence, one row per scale and axis."""
    peaks = {(peak.run_id, peak.target): peak for peak in result.peaks if peak.subset == "all"}
    run_ids = {(run.family, run.scale): run.run_id for run in result.runs}
    rows = []
    for point in result.accuracy:
        peak = peaks.get((run_ids[point.family, point.scale], point.target))
        rows.append(
            {
                "family": point.family,
                "scale": point.scale,
                "axis": point.target,
                "n": point.n,
                "acc_both": point.acc_both,
                "low": point.acc_both_low,
                "high": point.acc_both_high,
                "coherence": peak.value if peak else None,
                "at_layer": peak.layer if peak else None,
            }
        )
    output.rows(rows)
    settings, console = workspace.settings, workspace.console
    # Leave out --home if the next command would find the same home by itself.
    home = "" if settings.home == Settings.load().home else f" --home {shlex.quote(str(settings.home))}"
    console.say("")
    console.say(
        "acc_both: share of pairs with both questions right (95 % Wilson bounds); coherence: peak over layers"
    )
    console.say(f"report      {result.report}")
    console.say(f"MLflow UI   {_program()} ui{home}")
    # Otherwise a scale that has runs under several templates has several rows.
    which = f"where template = '{result.runs[0].template}' order by 1,2,3"
    example = f'"select family, scale, axis, acc_both from accuracy {which}"'  # noqa: S608 - printed
    console.say(f"SQL         {_program()} sql {example}{home}")


def _program() -> str:
    """Return what to type for ``vlmprobe`` here: an environment that is not activated needs its path."""
    found = shutil.which("vlmprobe")
    running = Path(sys.argv[0])
    if found is None and running.name == "vlmprobe":
        return os.path.relpath(running)
    return "vlmprobe"
