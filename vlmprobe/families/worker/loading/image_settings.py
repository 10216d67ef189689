"""Checks how a checkpoint prepares images against what its model takes, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import ModelFault, first_line
from vlmprobe.families.worker.loading.places import is_local
from vlmprobe.families.worker.loading.reading import read_config, read_text

if TYPE_CHECKING:
    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["SETTINGS", "check_image_settings", "read_settings"]

SETTINGS = "preprocessor_config.json"
_CONFIG = "config.json"
_CHANNELS = 3
#: Key of the processor -> key of the model's vision_config that says the same.
_SAME = {
    "patch_size": "patch_size",
    "merge_size": "spatial_merge_size",
    "temporal_patch_size": "temporal_patch_size",
}


def read_settings(source: str, revision: str | None) -> dict[str, Any]:
    """Return the content of a checkpoint's preprocessor_config.json, empty if there is none.

    Raises:
        ModelFault: it is damaged.
    """
    try:
        said = json.loads(read_text(source, SETTINGS, revision) or "{}")
    except (ValueError, RecursionError) as error:
        raise ModelFault(f"{source}: {SETTINGS} is not valid JSON: {first_line(error)}") from error
    if not isinstance(said, dict):
        raise ModelFault(f"{source}: {SETTINGS} holds no settings; use the base model's")
    return said


def check_image_settings(options: LoadOptions, model_type: str | None = None) -> None:
    """Check colors and, for the processor of the Qwen-VLs, the sizes that its model has to share.

    Args:
        options: the checkpoint and its processor.
        model_type: what the checkpoint's config.json must call its architecture; None: anything.

    Raises:
        ModelFault: a key holds what no image can be prepared with, or is not the model's; the message names both.
    """
    config = read_config(options.checkpoint, options.revision, model_type)
    source, revision = options.processor_place
    if is_local(source) and not Path(source).expanduser().is_dir():
        return  # said where the processor is loaded
    said = read_settings(source, revision)
    of_qwen = "Qwen2VL" in str(said.get("image_processor_type"))
    if said.get("do_normalize", True):
        for key in ("image_mean", "image_std"):
            if key in said:
                _check_colors(source, key, said[key], strict=of_qwen)
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


def _check_colors(source: str, key: str, value: Any, *, strict: bool) -> None:
    numbers = value if isinstance(value, list) else [value]
    plain = all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
    zero = key == "image_std" and any(number == 0 for number in numbers)
    if not zero and not (strict and (not plain or len(numbers) != _CHANNELS)):
        return
    above = ", each above 0" if key == "image_std" else ""
    raise ModelFault(
        f"{source}: {SETTINGS} has {key}: {json.dumps(value)[:100]}; write one number for each of the three colors"
        f"{above}, as in the base model's {SETTINGS}"
    )
