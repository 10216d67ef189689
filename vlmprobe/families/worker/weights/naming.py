"""Which parameter each stored tensor fills, told from the files' headers before any of their numbers is read.

transformers reads the names of several of its versions: both ``model.layers.0.mlp.up_proj.weight`` and
``model.language_model.layers.0.mlp.up_proj.weight`` fill the same parameter of a Qwen2.5-VL. Where a file holds both,
the order of reading would decide, and not even that for all tensors alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.weights.files import stored_shapes
from vlmprobe.families.worker.weights.tensors import (
    check_last_layers,
    check_shapes,
    without_wrappers,
    wrapper_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["check_headers", "check_renamed", "check_unique"]

#: Parts of a config without which a model has those of its class's default size, often several billion parameters.
_PARTS = ("text_config", "vision_config")


def check_headers(
    source: str, model: Any, folder: Path, files: Sequence[str], config: dict[str, Any]
) -> None:
    """Check a checkpoint's files against a model that takes no memory yet.

    Args:
        source: the checkpoint, for messages.
        model: the model that its config describes, on the meta device.
        folder: where the files are.
        files: their names.
        config: the content of config.json.

    Raises:
        ModelFault: two tensors fill one parameter, one has another shape than the model's, or the model has more
            layers; the line names a part that config.json lacks, if that is why.
    """
    shapes = stored_shapes(folder, files)
    fills = check_unique(source, model, shapes)
    tensors = model.state_dict(keep_vars=True)
    wrong = [
        (target, shapes[name], tuple(tensors[target].shape))
        for name, (target, plain) in fills.items()
        if plain and target in tensors and tuple(tensors[target].shape) != shapes[name]
    ]
    filled = {target for target, _ in fills.values()}
    passed = [re.compile(each) for each in getattr(model, "_keys_to_ignore_on_load_missing", None) or ()]
    missing = [
        name for name in tensors if name not in filled and not any(each.search(name) for each in passed)
    ]
    # One stored tensor may be split into several parameters, of which only the first is known here.
    if not all(plain for _, plain in fills.values()):
        missing = []
    try:
        check_shapes(source, wrong)
        check_last_layers(source, tensors, missing, ())
    except ModelFault as fault:
        lacks = _lacking(model, config)
        if lacks is None:
            raise
        raise ModelFault(
            f"{source}: config.json has no {lacks}, and the default size of that part is not that of these weights; "
            f"copy the {lacks} from the base model's config.json"
        ) from fault


def check_unique(source: str, model: Any, names: Iterable[str]) -> dict[str, tuple[str, bool]]:
    """Check that no two stored tensors fill the same parameter of a transformers model.

    Args:
        source: the checkpoint, for the message.
        model: the model; it may be on the meta device.
        names: the names of the stored tensors.

    Returns:
        For each stored name, the parameter that it fills, and whether it does so alone and as it is (not stacked or
        split, as the experts of a layer are).

    Raises:
        ModelFault: two do; the line has both names.
    """
    held = list(names)
    prefix = wrapper_of(held)
    own = model.state_dict(keep_vars=True)
    found = _targets(model, [name.removeprefix(prefix) for name in held], own)
    # One copy of the weights as a training wrapper names them, beside another.
    bare = _targets(model, [without_wrappers(name) for name in held], own)
    fills: dict[str, tuple[str, bool]] = {}
    alone: dict[str, str] = {}
    stacked: dict[str, str] = {}
    for name, as_stored, as_bare in zip(held, found, bare, strict=True):
        renamed, target, plain = as_stored if as_stored[1] in own else as_bare
        _refuse_two(source, name, alone.setdefault(renamed, name), target)
        # A parameter of several tensors beside those tensors.
        if plain:
            _refuse_two(source, name, stacked.get(target, name), target)
        else:
            _refuse_two(source, name, alone.get(target, name), target)
            stacked.setdefault(target, name)
        fills[name] = as_stored[1:]
    return fills


def check_renamed(source: str, renamed: Iterable[tuple[str, str]]) -> None:
    """Check that no two tensors have one name after they were renamed.

    Args:
        source: the checkpoint, for the message.
        renamed: for each tensor the stored name, and the new one.

    Raises:
        ModelFault: two have; the line has both stored names.
    """
    first: dict[str, str] = {}
    for name, target in renamed:
        _refuse_two(source, name, first.setdefault(target, name), target)


def _refuse_two(source: str, name: str, other: str, target: str) -> None:
    if name != other:
        raise ModelFault(
            f"{source}: the weights hold {other} and {name}, which are both the model's {target}: two sets of weights "
            "under two spellings; remove the set that you do not mean and save the rest again"
        )


def _targets(model: Any, names: Sequence[str], own: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return for each name: after plain renaming, the parameter that it fills, whether it fills it as it is."""
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

        every = get_model_conversion_mapping(model)
        renamings = [each for each in every if isinstance(each, WeightRenaming)]
        converters = [each for each in every if isinstance(each, WeightConverter)]
        base = model.base_model_prefix

        def rename(name: str, *rules: Any) -> tuple[str, str | None]:
            found: tuple[str, str | None] = rename_source_key(name, *rules, base, own)
            return found

        rename("", renamings, converters)
    # It has no such modules before 5, and their functions are not among those that stay as they are.
    except (ImportError, AttributeError, TypeError):
        return [(each, each, True) for each in _by_older(model, names, own)]
    found = []
    for name in names:
        target, pattern = rename(name, renamings, converters)
        plain, _ = rename(name, renamings, [])
        if target not in own and name in own:
            target, pattern = rename(name, [], [])
            plain = target
        found.append((plain, target, pattern is None))
    return found


def _by_older(model: Any, names: Sequence[str], own: Mapping[str, Any]) -> list[str]:
    """Return names as transformers 4 reads them: by the first pattern of the class that matches."""
    patterns = getattr(model, "_checkpoint_conversion_mapping", None) or {}
    base = f"{getattr(model, 'base_model_prefix', '')}."
    found = []
    for name in names:
        target = name
        for pattern, new in patterns.items():
            # Their replacements may end in a group of a pattern, which this version strips as well.
            target, count = re.subn(pattern, re.sub(r"\(.*\)", "", new.lstrip("^")), name)
            if count:
                break
        found.append(f"{base}{target}" if target not in own and f"{base}{target}" in own else target)
    return found


def _lacking(model: Any, config: dict[str, Any]) -> str | None:
    """Return the part that a config lacks although its class has it; None if it has all."""
    parts = getattr(type(model.config), "sub_configs", {})
    for part in _PARTS:
        # The first Qwen-VL models have the settings of their text model at the top.
        flat = part == "text_config" and "hidden_size" in config
        if part in parts and config.get(part) is None and not flat:
            return part
    return None
