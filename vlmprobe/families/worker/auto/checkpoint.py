"""Which checkpoints transformers can load as an image-and-text model, told before it tries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vlmprobe.families.worker.environment.versions import READ_BY_OLDER, transformers_version
from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.loading.reading import place_of, read_config, require_consent

if TYPE_CHECKING:
    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["check_known"]


def check_known(options: LoadOptions) -> str:
    """Return the checkpoint's architecture, having checked that transformers can load it as such a model.

    Raises:
        ModelFault: it has no config.json, is no image-and-text model, or runs code of its own that nobody agreed to.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    source = options.checkpoint
    config = read_config(source, options.revision)
    model_type = str(config.get("model_type"))[:80]
    if model_type in KNOWN:
        _check_readable(source, model_type, str(config.get("transformers_version", "")))
        return model_type
    if "AutoModelForImageTextToText" in str(config.get("auto_map")):
        require_consent(options)
        return model_type
    raise ModelFault(
        f"{place_of(source)}: transformers {transformers.__version__} has no image-text-to-text model {model_type!r}; "
        "it may be a text-only model, need a newer transformers, or need its own family ('vlmprobe families')"
    )


def _check_readable(source: str, model_type: str, saved_by: str) -> None:
    """Raise for a checkpoint of a newer transformers that this version would misread or not read at all."""
    newer = saved_by.partition(".")[0]
    if model_type in READ_BY_OLDER or not newer.isdecimal() or int(newer) <= transformers_version()[0]:
        return
    import transformers

    pip = f"{sys.executable} -m pip"
    raise ModelFault(
        f"{place_of(source)}: was saved by transformers {saved_by}; transformers {transformers.__version__} "
        f"in {sys.executable} cannot read that form of {model_type!r}; "
        f"run: {pip} install 'transformers>={newer}', or use the checkpoint as it was published"
    )
