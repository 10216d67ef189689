"""Exports a trained model as a folder that `from_pretrained` loads, like any checkpoint of Qwen2.5-VL."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.demo.training.model import IMAGE_MEAN, IMAGE_STD, MERGE, PATCH
from vlmprobe.demo.training.tokenizer import CHAT_TEMPLATE, SPECIAL_TOKENS

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import Tensor

__all__ = ["export_checkpoint", "rounded"]


def rounded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round weights to bf16 precision, kept in float32, so that they equal those of a stored checkpoint."""
    return {name: value.to(torch.bfloat16).float() for name, value in weights.items()}


def export_checkpoint(
    model: Any,
    weights: dict[str, Tensor],
    tokenizer: Tokenizer,
    folder: Path,
    image_size: int,
) -> None:
    """Write config, weights (bf16 safetensors), tokenizer, chat template and image settings.

    The folder appears whole or not at all; one of that name is replaced.

    Args:
        model: of the architecture; its own weights do not matter.
        weights: by name, without the output matrix, which is the embedding's.
        tokenizer: the vocabulary.
        folder: where to.
        image_size: images of up to twice this side keep their pixels; larger ones are scaled down.
    """
    from safetensors.torch import save_file

    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    model.generation_config.update(max_new_tokens=3, eos_token_id=end, pad_token_id=pad)
    config = model.config.__class__.from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__]
    config.dtype = "bfloat16"
    config.save_pretrained(staging)
    model.generation_config.save_pretrained(staging)
    # In the names that the published checkpoints have.
    stored = {_published_name(name): value.to(torch.bfloat16).contiguous() for name, value in weights.items()}
    save_file(stored, staging / "model.safetensors", metadata={"format": "pt"})
    _save_tokenizer(tokenizer, staging)
    _save_image_settings(staging, image_size)
    if folder.exists():
        shutil.rmtree(folder)
    staging.replace(folder)


def _published_name(name: str) -> str:
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def _save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    # Qwen2Tokenizer would assign its own numbers to the special tokens.
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        additional_special_tokens=list(SPECIAL_TOKENS),
    )
    moved = [
        text for text in SPECIAL_TOKENS if wrapped.convert_tokens_to_ids(text) != tokenizer.token_to_id(text)
    ]
    if moved or len(wrapped) != tokenizer.get_vocab_size():
        raise ValueError(
            f"transformers renumbered tokens: {', '.join(moved) or 'some'}; use a version in constraints.txt"
        )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)


def _save_image_settings(folder: Path, image_size: int) -> None:
    import json

    settings = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": IMAGE_MEAN,
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_std": IMAGE_STD,
        "merge_size": MERGE,
        "patch_size": PATCH,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 4 * image_size**2, "shortest_edge": (2 * MERGE * PATCH) ** 2},
        "temporal_patch_size": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
