"""Which units need not be submitted: their runs are complete and analyzed, and what is asked for is what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.families import ModelOptions, fingerprint, is_local, load_catalog
from vlmprobe.store.unit_progress import progress_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.extraction.request import ExtractRequest
    from vlmprobe.store.unit_progress import RunProgress
    from vlmprobe.store.units import Unit
    from vlmprobe.workspace import Workspace

__all__ = ["complete_units"]


def complete_units(
    workspace: Workspace, requests: Sequence[ExtractRequest | None], units: Sequence[Unit]
) -> set[int]:
    """Return the numbers of the units whose runs are complete and analyzed, and of the checkpoint as it is now.

    Where more is asked for than by default, such as other layers or quads, nothing is taken to be complete, and no
    controls are: a unit finds out, and does what is missing.

    Args:
        workspace: the home.
        requests: of each unit what it extracts; None = its controls.
        units: the units.
    """
    with workspace.database.transaction(write=False) as connection:
        found = progress_of(connection, units)
    complete = set()
    for request, unit, runs in zip(requests, units, found, strict=True):
        whole = len(runs) == len(unit.templates) and all(
            run.status == "complete" and run.is_analyzed for run in runs
        )
        if request is None or not whole:
            continue
        if _is_usual(request, runs) and _is_same(workspace, request, runs):
            complete.add(unit.number)
    return complete


def _is_usual(request: ExtractRequest, runs: Sequence[RunProgress]) -> bool:
    options, usual = request.options, ModelOptions()
    of_model = (options.model.layers, options.model.dtype, options.model.trust_remote_code)
    return (
        not options.new
        and options.boxes is None
        and request.processor is None
        and of_model == (usual.layers, usual.dtype, usual.trust_remote_code)
        and all(_is_on(options.model, run) for run in runs)
    )


def _is_on(wanted: ModelOptions, run: RunProgress) -> bool:
    """Return whether a run is of the kind of device that is asked for: on another kind it is another run."""
    device = wanted.device
    if wanted.devices:
        first = wanted.devices[0]
        device = "cuda" if first.isdecimal() else first
    # Which one 'auto' is says the machine that the unit runs on.
    return device == "auto" or run.device is None or _kind(device) == _kind(run.device)


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _is_same(workspace: Workspace, request: ExtractRequest, runs: Sequence[RunProgress]) -> bool:
    spec = load_catalog().scale(request.family, request.scale, request.checkpoint, request.processor)
    if any(run.checkpoint != spec.checkpoint for run in runs):
        return False
    if not is_local(spec.checkpoint):
        return True
    now = fingerprint(spec.checkpoint, request.revision or spec.revision, hashes=workspace.hashes)
    return all(run.fingerprint == now for run in runs)
