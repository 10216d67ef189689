"""The five tiny checkpoints that come with the package: one model, fine-tuned on ever more questions."""

from __future__ import annotations

from pathlib import Path

from vlmprobe.errors import ModelError, unknown_name

__all__ = ["DEMO_SCALES", "checkpoint_folder"]

#: From the base model to the one that saw most relation questions.
DEMO_SCALES = ("vanilla", "80k", "400k", "800k", "2m")

# What loading reads. A package built without its data would otherwise fail far from here.
_FILES = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def checkpoint_folder(scale: str) -> Path:
    """Return the folder of a bundled checkpoint.

    Args:
        scale: one of `DEMO_SCALES`.

    Raises:
        UsageError: no such scale is bundled.
        ModelError: a file of the checkpoint is missing from the installation.

    """
    if scale not in DEMO_SCALES:
        raise unknown_name("demo scale", scale, list(DEMO_SCALES))
    folder = Path(__file__).parent / "checkpoints" / scale
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"bundled checkpoint {folder} lacks {', '.join(missing)}; install vlmprobe again")
    return folder
