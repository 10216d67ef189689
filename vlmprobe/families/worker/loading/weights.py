"""Checks a folder's weight files by the names of their tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.families.worker.faults import ModelFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["check_last_layers", "check_weights", "weight_names"]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def check_weights(folder: Path) -> None:
    """Check that a folder holds weights, including all files that its index names.

    Raises:
        ModelFault: it does not.
    """
    if any((folder / name).is_file() for name in _WEIGHTS):
        return
    index = _index(folder)
    if index is None:
        raise ModelFault(
            f"{folder}: no weights in this folder ({' or '.join(_WEIGHTS)}); use a checkpoint folder"
        )
    try:
        parts = sorted(set(_weight_map(index).values()))
        outside = [part for part in parts if Path(part).name != part]
        lost = [part for part in parts if not (folder / part).is_file()]
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise ModelFault(f"{index}: damaged; copy the checkpoint again") from error
    if outside:
        raise ModelFault(
            f"{index}: {outside[0][:100]!r} is not a file in this folder; copy the checkpoint again"
        )
    if lost:
        raise ModelFault(
            f"{folder}: {len(lost)} of {len(parts)} weight files are missing, such as {lost[0][:100]}; "
            "copy the checkpoint again"
        )


def weight_names(folder: Path) -> set[str]:
    """Return the names of the tensors in a folder that :func:`check_weights` let pass."""
    index = _index(folder)
    if index is not None:
        return set(_weight_map(index))
    safe, old = (folder / name for name in _WEIGHTS)
    if safe.is_file():
        from safetensors import safe_open

        with safe_open(safe, framework="pt") as file:
            return set(file.keys())
    import torch

    return set(torch.load(old, map_location="meta", weights_only=True, mmap=True))


def _index(folder: Path) -> Path | None:
    indexes = (folder / f"{name}.index.json" for name in _WEIGHTS)
    return next((index for index in indexes if index.is_file()), None)


def _weight_map(index: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    return found


def check_last_layers(
    source: str,
    known: Iterable[str],
    missing: Iterable[str],
    unexpected: Iterable[str],
    *,
    config: str = "config.json",
) -> None:
    """Check that no stack of layers is shorter in the model than in the weights, or the other way around.

    A model is built from its config, so it always has as many layers as that says. With too few, transformers
    silently drops the rest of the weights.

    Args:
        source: the checkpoint, for the message.
        known: names of the model's tensors.
        missing: those of them that the weights lack.
        unexpected: names of tensors that the model has no place for; other leftovers are let pass.
        config: the file that the model was built from.

    Raises:
        ModelFault: one has more layers than the other.
    """
    model = set(known)
    for ours, theirs, more in (
        (model, unexpected, "the weights have {more}, but the model in its config ends at {last}"),
        (
            model.difference(missing),
            missing,
            "the weights end at {last}, but its config describes a model with {more}",
        ),
    ):
        beyond = _layer_beyond(ours, theirs)
        if beyond is not None:
            last, first = beyond
            said = more.format(last=last, more=first)
            raise ModelFault(f"{source}: {said}; use the {config} that belongs to these weights")


def _layer_beyond(ours: Iterable[str], theirs: Iterable[str]) -> tuple[str, str] | None:
    """Return the last layer of a stack in ``ours``, and a later one in ``theirs``, if there is one."""
    last: dict[tuple[str, str], int] = {}
    for name in ours:
        for stack, number, rest in _numbered(name):
            last[stack, rest] = max(number, last.get((stack, rest), number))
    for name in sorted(theirs):
        for stack, number, rest in _numbered(name):
            if number > last.get((stack, rest), number):
                return f"{stack}.{last[stack, rest]}", f"{stack}.{number}"
    return None


def _numbered(name: str) -> Iterator[tuple[str, int, str]]:
    """Yield a tensor's name split at each number: the word before, the number, the rest."""
    words = name.split(".")
    for place in range(1, len(words)):
        if words[place].isdecimal():
            yield words[place - 1], int(words[place]), ".".join(words[place + 1 :])
