"""``vlmprobe merge``."""

from __future__ import annotations

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Comparing, Out, Output, TemplateName
from vlmprobe.workspace import Workspace

__all__ = ["merge"]


@command(example="vlmprobe merge qwen25 --out report", experiment=True)
def merge(
    workspace: Workspace,
    *,
    runs: Comparing,
    template: TemplateName = "published",
    out: Out = None,
    output: Output,
) -> None:
    """Compare the analyzed runs of a study: report.html, summary.csv and figures."""
    from vlmprobe.cli.comparison import print_merged
    from vlmprobe.workflows.merge import merge as run_merge

    result = run_merge(workspace, runs.selection, template=template, out=out)
    print_merged(workspace, result, output)
