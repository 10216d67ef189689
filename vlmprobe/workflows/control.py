"""Control: extracts the usual controls of a family's runs, and holds each run against them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.extraction.control import Control, read_seed
from vlmprobe.families import load_catalog
from vlmprobe.pairs import is_under
from vlmprobe.store.controls import GREY, OTHER_IMAGE, RANDOM_WEIGHTS, SHUFFLED_LABELS, kind_of
from vlmprobe.study.control_curves import keep_control_curves
from vlmprobe.study.controls import beside_controls
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest, extract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.families import Catalog
    from vlmprobe.reports.controls import ControlRow
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["USUAL", "Controlled", "control", "kind_list"]

#: What there is to say of a run before its axis is called one of the picture.
USUAL = (GREY, f"{OTHER_IMAGE}:0", f"{RANDOM_WEIGHTS}:0", f"{SHUFFLED_LABELS}:0")


@dataclass(frozen=True, slots=True)
class Controlled:
    """The controls of a family's runs, and what they say."""

    rows: tuple[ControlRow, ...]
    extracted: tuple[str, ...]
    """Names of the control runs that had pairs to extract."""
    already: tuple[str, ...]
    """Names of those that were complete."""
    failed: tuple[str, ...]
    """Those that have pairs which failed: they are held against the run on the others."""


def kind_list(texts: Sequence[str]) -> tuple[str, ...]:
    """Read kinds of controls, such as ``grey`` and ``other-image:1``; return them as they are stored.

    Raises:
        UsageError: there is no such kind, or its seed is none.
    """
    found = []
    for text in texts:
        if kind_of(text.strip()) == SHUFFLED_LABELS:
            found.append(f"{SHUFFLED_LABELS}:{read_seed(text, '--kinds')}")
        else:
            found.append(str(Control.parse(text, "--kinds")))
    return tuple(dict.fromkeys(found))


def control(
    workspace: Workspace,
    family: str,
    options: ExtractOptions,
    *,
    scales: Sequence[str] = (),
    kinds: Sequence[str] = USUAL,
) -> Controlled:
    """Extract controls of each scale's newest complete run and hold the run against them; what is complete is reused.

    A control has the number format, the layers and, unless ``options`` says otherwise, the batch size of the run that
    it serves.

    Args:
        workspace: the home.
        family: whose runs.
        options: the benchmark and how to run the model, as the runs were extracted.
        scales: only these; empty = all that have a complete run.
        kinds: as :func:`kind_list` returns them.

    Raises:
        UsageError: there is no complete run to serve, or a scale has none.
        InputError: the dataset or a checkpoint is wrong.
        KeyboardInterrupt: it was stopped; what is done is kept.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    runs = _runs(workspace, family, options, scales)
    catalog = load_catalog()
    extracted: list[str] = []
    already: list[str] = []
    failed: list[str] = []
    rows: list[ControlRow] = []
    for run in runs:
        for kind in kinds:
            if kind_of(kind) == SHUFFLED_LABELS:
                continue
            result = extract(workspace, _request(run, options, Control.parse(kind), catalog))[-1]
            if result.interrupted:
                raise KeyboardInterrupt
            (extracted if result.n_inferred else already).append(result.run.name)
            if result.failed:
                failed.append(result.run.name)
            keep_control_curves(workspace, result.run)
        rows += beside_controls(workspace, run, kinds)
    return Controlled(tuple(rows), tuple(extracted), tuple(already), tuple(failed))


def _runs(workspace: Workspace, family: str, options: ExtractOptions, scales: Sequence[str]) -> list[Run]:
    """Return the newest complete run of each scale under each template, in order of training."""
    selection = Selection(
        (family,), tuple(scales), options.data, options.max_per_category, options.allow_contradictions
    )
    complete = selection.complete_runs(workspace, options.templates)
    found: dict[str, Run] = {}
    for run in complete:
        if run.config.get("identity"):
            found[run.name] = run
        else:
            workspace.console.warn(
                f"{run.name}: run {run.run_id} was imported, so no control can be extracted for it"
            )
    missing = [scale for scale in scales if all(run.scale != scale for run in found.values())]
    if missing or not found:
        named = ", ".join(missing) or "any scale"
        raise UsageError(
            f"no complete run of {family} @ {named} on {options.data} for a control to serve; run 'vlmprobe extract "
            f"{family} --scale SCALE --data {options.data}' first"
        )
    return list(found.values())


def _request(run: Run, options: ExtractOptions, kind: Control, catalog: Catalog) -> ExtractRequest:
    """Return the extraction of a control under the settings of the run that it serves."""
    identity = run.config["identity"]
    layers = identity["layers"]
    given = options.model
    model = replace(
        given,
        dtype=identity["dtype"],
        layers=None if layers == "all" else tuple(layers),
        device=identity["device"] if given.device == "auto" else given.device,
    )
    template = next(each for each in options.templates if is_under(run.template, each))
    own = replace(
        options, templates=(template,), batch_size=options.batch_size or run.batch_size, model=model
    )
    if run.scale in catalog.scale_names(run.family):
        return ExtractRequest(run.family, run.scale, own, control=kind)
    return ExtractRequest(
        run.family,
        run.scale,
        own,
        checkpoint=run.checkpoint,
        processor=run.config.get("processor"),
        revision=run.config.get("revision"),
        control=kind,
    )
