"""Compares the names of a checkpoint's tensors with those of the model that is built for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vlmprobe.families.worker.faults import ModelFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "check_last_layers",
    "check_left_over",
    "check_missing",
    "check_shapes",
    "harmless",
    "shapes_in",
    "without_wrappers",
    "wrapper_of",
]

#: Tensors that a model computes itself, so that it makes no difference whether the weights hold them.
_COMPUTED = re.compile(r"(^|\.)(inv_freq|position_ids)$")
#: The output layer, where it is the embeddings under another name.
_TIED_HEAD = re.compile(r"(^|\.)lm_head\.weight$")
#: What training wrappers put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "_forward_module.", "base_model.model.")


def harmless(names: Iterable[str], *, tied: bool) -> set[str]:
    """Return the names of tensors that change no number if they are left over.

    These are the angles of rotary positions (``inv_freq``) and counters (``position_ids``), which a model computes
    from its config, and the output layer (``lm_head.weight``) of a model that takes its embeddings for it.

    Args:
        names: tensors that the model has no place for.
        tied: whether the config says ``tie_word_embeddings``.
    """
    return {name for name in names if _COMPUTED.search(name) or (tied and _TIED_HEAD.search(name))}


def wrapper_of(names: Iterable[str]) -> str:
    """Return what training wrappers put before every one of these names; an empty string if nothing."""
    found, left = "", list(names)
    while left:
        more = next((each for each in _WRAPPERS if all(name.startswith(each) for name in left)), None)
        if more is None:
            break
        found, left = found + more, [name.removeprefix(more) for name in left]
    return found


def without_wrappers(name: str) -> str:
    """Return a name without what training wrappers put before it."""
    return name.removeprefix(wrapper_of([name]))


def check_missing(
    source: str, missing: Sequence[str], unexpected: Sequence[str], *, config: str = "config.json"
) -> None:
    """Check that the weights fill the model.

    Raises:
        ModelFault: they do not; the line names one tensor, and where names differ one of each side.
    """
    if not missing:
        return
    lack = f"{source}: the weights lack {len(missing)} tensors of the model, such as {missing[0]}"
    lora = next((name for name in unexpected if ".lora_" in name), None)
    if lora is not None:
        raise ModelFault(f"{lack}, and hold an adapter ({lora}); merge it into its base model first")
    if not unexpected:
        raise ModelFault(
            f"{lack}; use a full checkpoint, not an adapter, and the {config} that belongs to these weights"
        )
    ours, theirs = _alike(missing, unexpected)
    lack = (
        f"{source}: the weights lack {len(missing)} tensors of the model, such as {ours}, and hold {len(unexpected)} "
        f"that it has no place for, such as {theirs}"
    )
    first = f"{theirs.partition('.')[0]}."
    if all(name.startswith(first) for name in unexpected) and not any(
        name.startswith(first) for name in missing
    ):
        raise ModelFault(f"{lack}; remove {first!r} from the beginning of the names, or use save_pretrained")
    raise ModelFault(f"{lack}; use the {config} that belongs to these weights")


def _alike(missing: Sequence[str], unexpected: Sequence[str]) -> tuple[str, str]:
    """Return a name of each side, two that end alike if there are such."""
    endings = {_ending(name): name for name in reversed(unexpected)}
    ours = next((name for name in missing if _ending(name) in endings), missing[0])
    return ours, endings.get(_ending(ours), unexpected[0])


def _ending(name: str) -> str:
    return ".".join(name.split(".")[-4:])


def shapes_in(message: str) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Return the tensors of another shape that a loader's error names: name, shape in the weights, in the model.

    They are those of torch's ``load_state_dict`` and of transformers 4.
    """
    shape = r"torch\.Size\(\[([\d, ]*)\]\)"
    torchs = (
        rf"size mismatch for (\S+): copying a param with shape {shape} from checkpoint, "
        rf"the shape in current model is {shape}"
    )
    others = rf"set a tensor of shape {shape} in \"(\S+)\" \(which has shape {shape}\)"
    found = re.findall(torchs, message)
    found += [(name, theirs, ours) for theirs, name, ours in re.findall(others, message)]
    return [(name, _numbers(theirs), _numbers(ours)) for name, theirs, ours in found]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def check_shapes(
    source: str,
    mismatched: Iterable[tuple[str, Sequence[int], Sequence[int]]],
    *,
    config: str = "config.json",
) -> None:
    """Check that no tensor has another shape in the weights than in the model.

    Args:
        source: the checkpoint, for the message.
        mismatched: for each that has: its name, its shape in the weights, its shape in the model.
        config: the file that the model was built from.

    Raises:
        ModelFault: one has; the line says both shapes.
    """
    wrong = sorted((name, tuple(theirs), tuple(ours)) for name, theirs, ours in mismatched)
    if not wrong:
        return
    # An empty one explains the others.
    name, theirs, ours = next((each for each in wrong if 0 in each[1]), wrong[0])
    more = f" ({len(wrong) - 1} more differ)" if len(wrong) > 1 else ""
    what = (
        "the checkpoint was saved without gathering its parts (DeepSpeed ZeRO-3); save it with "
        "stage3_gather_16bit_weights_on_model_save, or run zero_to_fp32.py on the training's own save"
        if 0 in theirs
        else f"use the {config} that belongs to these weights"
    )
    raise ModelFault(
        f"{source}: {name} has shape {list(theirs)} in the weights but {list(ours)} in the model{more}; {what}"
    )


def check_left_over(
    source: str, left_over: Iterable[str], modules: Iterable[str], *, config: str = "config.json"
) -> dict[str, int]:
    """Check what the weights hold beyond the model: whole modules pass with a note, parts of its own modules do not.

    Args:
        source: the checkpoint, for the message.
        left_over: tensors that the model has no place for, without the harmless ones.
        modules: the names of the model's modules.
        config: the file that the model was built from.

    Returns:
        Each whole module that the model does not have, outside of its layers, and how many tensors it has.

    Raises:
        ModelFault: a tensor is of an adapter, or belongs in a layer, or directly in a module that the model has.
    """
    known = set(modules)
    whole: dict[str, int] = {}
    inside: list[str] = []
    for name in sorted(left_over):
        words = name.split(".")
        tops = (".".join(words[:depth]) for depth in range(1, len(words)))
        top = next((each for each in tops if each not in known), None)
        if top is None or ".lora_" in name or any(word.isdecimal() for word in top.split(".")):
            inside.append(name)
        else:
            whole[top] = whole.get(top, 0) + 1
    if inside:
        lora = next((name for name in inside if ".lora_" in name), None)
        what = (
            "merge that adapter into its base model first"
            if lora
            else f"use the {config} and the family that belong to these weights"
        )
        raise ModelFault(
            f"{source}: the weights hold {len(inside)} tensors that the model has no place for, such as "
            f"{lora or inside[0]}; {what}"
        )
    return whole


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
        unexpected: names of tensors that the model has no place for.
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
