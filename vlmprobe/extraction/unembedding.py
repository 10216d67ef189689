"""Keeps a checkpoint's output layer beside its runs, once: what readouts and causal inner products need."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from vlmprobe.analysis.controls import OutputLayer
from vlmprobe.errors import InputError
from vlmprobe.pairs.axes import YesNo
from vlmprobe.store.output_layers import output_layer_path, read_output_layer, write_output_layer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from vlmprobe.families import Model
    from vlmprobe.pairs import AxisSet

__all__ = ["keep_output_layer", "label_words"]


def label_words(axes: AxisSet) -> list[str]:
    """Return every word that an answer may be: the categories of the axes, and yes and no."""
    return [*map(str, axes.categories), *map(str, YesNo)]


def keep_output_layer(
    model: Model, home: Path, identity: Mapping[str, Any], axes: AxisSet
) -> OutputLayer | None:
    """Write the output layer of a loaded checkpoint, unless a file has all of these words already.

    Returns:
        What was written; None if nothing was, or if the family does not know its output layer.
    """
    path, words = output_layer_path(home, identity), set(label_words(axes))
    try:
        kept = read_output_layer(path)
    except InputError:
        kept = None
    if kept is not None:
        if words <= set(kept.spellings):
            return None
        words |= set(kept.spellings)
    found = model.unembedding(sorted(words))
    if found is None:
        return None
    layer = OutputLayer(**{each.name: getattr(found, each.name) for each in fields(found)})
    write_output_layer(path, layer)
    return layer
