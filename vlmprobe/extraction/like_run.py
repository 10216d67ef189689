"""A request under the settings of a run that is there: what its controls are extracted by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.extraction.request import ExtractOptions, ExtractRequest
from vlmprobe.pairs import PUBLISHED, is_under

if TYPE_CHECKING:
    from vlmprobe.families import Catalog
    from vlmprobe.store.runs import Run

__all__ = ["request_like", "template_to_ask"]


def request_like(run: Run, options: ExtractOptions, catalog: Catalog) -> ExtractRequest:
    """Return an extraction under the settings of a run.

    Raises:
        UsageError: an option says otherwise.
    """
    identity = run.config["identity"]
    layers = identity["layers"]
    given = options.model
    for option, value, own_value in (
        ("--dtype", None if given.dtype == "auto" else given.dtype, identity["dtype"]),
        ("--layers", given.layers and sorted(set(given.layers)), layers),
    ):
        if value is not None and value != own_value:
            raise UsageError(
                f"{option}: a control has that of the run that it serves, which is {own_value}; leave it out"
            )
    model = replace(
        given,
        dtype=identity["dtype"],
        layers=None if layers == "all" else tuple(layers),
        device=identity["device"] if given.device == "auto" else given.device,
    )
    own = replace(
        options,
        # Quads are of these alone; no verdict needs them.
        templates=(template_to_ask(run.template),),
        batch_size=options.batch_size or run.batch_size,
        model=model,
    )
    if run.scale in catalog.scale_names(run.family):
        return ExtractRequest(run.family, run.scale, own)
    return ExtractRequest(
        run.family,
        run.scale,
        own,
        checkpoint=run.checkpoint,
        processor=run.config.get("processor"),
        revision=run.config.get("revision"),
    )


def template_to_ask(template: str) -> str:
    """Return the name to ask for: of a file that spells its questions out, the published template is its own."""
    return PUBLISHED.name if is_under(template, PUBLISHED.name) else template
