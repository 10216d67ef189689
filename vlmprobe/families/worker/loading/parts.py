"""Loads a checkpoint's tokenizer and image processor; checks its settings of images against the model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.environment.versions import tokenizer_in_older_form, with_own_size
from vlmprobe.families.worker.faults import ModelFault, first_line
from vlmprobe.families.worker.loading.diagnosis import config_reason, damaged_json, damaged_text
from vlmprobe.families.worker.loading.places import is_local
from vlmprobe.families.worker.loading.reading import (
    path_of,
    place_of,
    quiet,
    read_config,
    read_settings,
    read_text,
)

if TYPE_CHECKING:
    from vlmprobe.families.worker.contract import LoadOptions

__all__ = [
    "OR_PROCESSOR",
    "SETTINGS",
    "check_colors",
    "check_image_settings",
    "image_configs",
    "load_image_processor",
    "load_tokenizer",
    "read_image_settings",
    "size_argument",
]

SETTINGS = "preprocessor_config.json"
OR_PROCESSOR = ", or pass --processor with the base model's folder or id"
_CONFIG = "config.json"
_CHANNELS = 3
#: Key of the processor -> key of the model's vision_config that says the same.
_SAME = {
    "patch_size": "patch_size",
    "merge_size": "spatial_merge_size",
    "temporal_patch_size": "temporal_patch_size",
}


def load_tokenizer(options: LoadOptions, *, own_code: bool = False) -> Any:
    """Load a checkpoint's tokenizer; see :func:`load_model` for ``own_code``.

    Raises:
        ModelFault: there is none.
    """
    from transformers import AutoTokenizer

    source, revision = options.processor_place
    older = tokenizer_in_older_form(
        read_text(source, "tokenizer_config.json", revision), path_of(source, "tokenizer.json", revision)
    )
    if older is not None:
        return older
    # Without this argument, transformers prompts on the terminal whether to run a checkpoint's code.
    trusted = own_code and options.trust_remote_code
    return _load_part(AutoTokenizer, "tokenizer", options, trust_remote_code=trusted)


def load_image_processor(processor_class: Any, options: LoadOptions) -> Any:
    """Load a checkpoint's image processor.

    Raises:
        ModelFault: there is none.
    """
    source, _ = options.processor_place
    said = read_image_settings(options)
    size = size_argument(source, processor_class.__name__, said)
    return with_own_size(_load_part(processor_class, "image processor", options, **size), said)


def size_argument(source: str, processor: str | None, said: dict[str, Any]) -> dict[str, Any]:
    """Return the argument that says the size of images as a Qwen-VL's processor reads it; none where it does already.

    Some tools write ``min_pixels`` and ``max_pixels`` into ``size``, where the processor wants ``shortest_edge`` and
    ``longest_edge`` for the same two numbers of pixels.

    Args:
        source: where the processor is, for the message.
        processor: the name of its class.
        said: the content of its preprocessor_config.json.

    Raises:
        ModelFault: the size has another form, or says two different things.
    """
    size = said.get("size")
    if size is None or "Qwen2VL" not in (processor or ""):
        return {}
    if None not in (said.get("min_pixels"), said.get("max_pixels")):
        # The processor prefers these two.
        return {}
    form = '"size": {"shortest_edge": LEAST, "longest_edge": MOST}, both in pixels of the whole image'
    if not isinstance(size, dict):
        raise ModelFault(f"{source}: {SETTINGS} has size {json.dumps(size)[:80]}; write {form}")
    found: dict[str, Any] = {}
    for ours, theirs in (("shortest_edge", "min_pixels"), ("longest_edge", "max_pixels")):
        numbers = {size[name] for name in (ours, theirs) if size.get(name) is not None}
        if len(numbers) != 1 or not all(isinstance(number, int) and number > 0 for number in numbers):
            raise ModelFault(f"{source}: {SETTINGS} has size {json.dumps(size)[:200]}; write {form}")
        found[ours] = numbers.pop()
    return {} if found == size else {"size": found}


def read_image_settings(options: LoadOptions) -> dict[str, Any]:
    """Return the content of a checkpoint's preprocessor_config.json, empty if there is none.

    Raises:
        ModelFault: it is damaged.
    """
    source, revision = options.processor_place
    return read_settings(source, SETTINGS, revision) or {}


def image_configs(options: LoadOptions) -> dict[str, dict[str, Any]]:
    """Return what a checkpoint's images are prepared with, by the name of its file."""
    return {SETTINGS: read_image_settings(options)}


def check_image_settings(options: LoadOptions, model_type: str | None = None) -> None:
    """Check colors and, for the processor of the Qwen-VLs, the sizes that its model has to share.

    Args:
        options: the checkpoint and its processor.
        model_type: what the checkpoint's config.json must call its architecture; None: anything.

    Raises:
        ModelFault: a key holds what no image can be prepared with, or is not the model's; the message names both.
    """
    config = read_config(options.checkpoint, options.revision, model_type)
    source, _ = options.processor_place
    if is_local(source) and not Path(source).expanduser().is_dir():
        return  # said where the processor is loaded
    said = read_image_settings(options)
    of_qwen = "Qwen2VL" in str(said.get("image_processor_type"))
    check_colors(source, said, strict=of_qwen)
    vision = config.get("vision_config")
    if not of_qwen or not isinstance(vision, dict):
        return
    for ours, theirs in _SAME.items():
        found, wanted = said.get(ours), vision.get(theirs)
        if isinstance(found, int) and isinstance(wanted, int) and found != wanted:
            where = f"{_CONFIG} of {options.checkpoint}" if source != options.checkpoint else _CONFIG
            raise ModelFault(
                f"{source}: {SETTINGS} has {ours}: {found}, but {where} has {theirs}: {wanted} in its vision_config; "
                "both must be the base model's, so copy these two files from it"
            )


def check_colors(source: str, said: dict[str, Any], *, strict: bool, file: str = SETTINGS) -> None:
    """Check the mean and the deviation that pixels are normalized with.

    Args:
        source: the checkpoint, or where its processor is.
        said: the processor's settings.
        strict: whether each must be three numbers, as most processors want them.
        file: what the settings are called in the checkpoint.

    Raises:
        ModelFault: a deviation is zero, or one of them is no number for each color.
    """
    if not said.get("do_normalize", True):
        return
    for key in ("image_mean", "image_std"):
        if key not in said:
            continue
        numbers = said[key] if isinstance(said[key], list) else [said[key]]
        plain = all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
        zero = key == "image_std" and any(number == 0 for number in numbers)
        if not zero and not (strict and (not plain or len(numbers) != _CHANNELS)):
            continue
        above = ", each above 0" if key == "image_std" else ""
        raise ModelFault(
            f"{source}: {file} has {key}: {json.dumps(said[key])[:100]}; write one number for each of the three colors"
            f"{above}, as in the base model's {SETTINGS}"
        )


def _config_of(source: str, revision: str | None) -> dict[str, Any]:
    """Return the config.json beside a processor, which transformers reads to load a tokenizer; empty if unreadable."""
    try:
        return read_config(source, revision)
    except ModelFault:
        return {}


def _load_part(part_class: Any, what: str, options: LoadOptions, **more: Any) -> Any:
    source, revision = options.processor_place
    if is_local(source) and not Path(source).expanduser().is_dir():
        raise ModelFault(f"{source}: no such folder; pass a checkpoint folder or a hub id with --processor")
    try:
        with quiet():
            return part_class.from_pretrained(place_of(source), revision=revision, **more)
    except ImportError:
        raise
    # The tokenizers library raises plain exceptions.
    except Exception as error:
        damaged = damaged_json(source) or damaged_text(source)
        damaged = damaged or config_reason({"config.json": _config_of(source, revision)}, error)
        if damaged is not None:
            raise ModelFault(
                f"{source}: {damaged}, or pass --processor with the base model's folder or id"
            ) from error
        raise ModelFault(
            f"{source}: cannot load its {what} ({first_line(error)}); pass --processor with the base model's"
            " folder or id"
        ) from error
