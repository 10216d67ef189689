"""Bridges the differences between the supported versions of transformers, from 4.46 to 5.x.

A checkpoint saved by transformers 5 names its rotary settings and its tokenizer's class in a form that version 4
does not read: it would silently use default angles, or find no tokenizer. Both are converted to the older
form.
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = [
    "READ_BY_OLDER",
    "accepted",
    "config_in_older_form",
    "dtype_argument",
    "last_logits_only",
    "pillow_backend",
    "processor_parts",
    "takes_own_decoding",
    "tokenizer_in_older_form",
    "transformers_version",
    "with_own_size",
]

#: Architectures whose transformers 5 checkpoints can be converted to the older form as a whole; others also
#: have new names for weights and tokens.
READ_BY_OLDER = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
#: A tokenizer's class in transformers 5 that version 4 does not have.
_NEW_TOKENIZER = "TokenizersBackend"
#: Architectures whose text settings stand at the top of config.json.
_FLAT = ("qwen2_vl", "qwen2_5_vl")
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


def accepted(function: Any, **arguments: Any) -> dict[str, Any]:
    """Keep the arguments that this version of a function accepts."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in known}


def last_logits_only(forward: Any) -> dict[str, int]:
    """Return the argument that limits a forward pass to the last token's logits; none before 4.45."""
    return accepted(forward, logits_to_keep=1) or accepted(forward, num_logits_to_keep=1)


def dtype_argument(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Return ``from_pretrained``'s argument for a number format, which 4.56 renamed."""
    return {"dtype" if transformers_version() >= (4, 56) else "torch_dtype": dtype}


def pillow_backend() -> dict[str, Any]:
    """Return the argument that makes an image processor use Pillow; before 5 this was called "slow"."""
    return {"backend": "pil"} if transformers_version() >= (5, 0) else {"use_fast": False}


def with_own_size(image_processor: Any, said: dict[str, Any]) -> Any:
    """Return an image processor that resizes as its file says.

    Releases of version 4 read ``min_pixels`` and ``max_pixels`` of a Qwen-VL, and put their own default in the place of
    ``size``, where newer checkpoints have the same two numbers.
    """
    size = said.get("size")
    size = size if isinstance(size, dict) else {}
    least, most = size.get("shortest_edge"), size.get("longest_edge")
    if least and most and hasattr(image_processor, "min_pixels") and said.get("min_pixels") is None:
        image_processor.size = dict(size)
        image_processor.min_pixels, image_processor.max_pixels = least, most
    return image_processor


def processor_parts(processor_class: Any) -> list[str]:
    """Return the names of a processor's parts; before 5 they are a list of its class."""
    parts = getattr(processor_class, "get_attributes", None)
    return list(processor_class.attributes if parts is None else parts())


def takes_own_decoding(generate: Any) -> bool:
    """Return whether ``generate`` accepts a function in place of its search; before 4.56 it does not."""
    parameter = inspect.signature(generate).parameters.get("custom_generate")
    return parameter is not None and "Callable" in str(parameter.annotation)


def config_in_older_form(config: dict[str, Any]) -> dict[str, Any] | None:
    """Return a config.json of transformers 5 as version 4 wrote it; None if nothing has to be done.

    Version 4 reads ``rope_theta`` and ``rope_scaling`` in the place of ``rope_parameters``, and the text settings of
    the first Qwen-VL models at the top (all its releases do).
    """
    if transformers_version() >= (5, 0):
        return None
    flat = config.get("model_type") in _FLAT
    older = {
        name: _with_older_rope(value, flat=flat) if isinstance(value, dict) else value
        for name, value in _with_older_rope(config, flat=flat).items()
    }
    if older == config:
        return None
    return {**older.pop("text_config", {}), **older} if flat else older


def _with_older_rope(config: dict[str, Any], *, flat: bool) -> dict[str, Any]:
    """Return a config, or a part of one, with its rotary settings under their older names."""
    rope = config.get("rope_parameters")
    if not isinstance(rope, dict):
        return config
    older = {name: value for name, value in config.items() if name != "rope_parameters"}
    if "full_attention" in rope:
        # Gemma's layers of two kinds: the sliding ones have a base of their own, and are never scaled.
        older["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    if flat and "mrope_section" in scaling:
        # The published checkpoints' own word; "default" alone would drop the sections in some releases.
        scaling = {"type": "mrope", "mrope_section": scaling["mrope_section"]}
    older["rope_theta"] = rope.get("rope_theta", 10000.0)
    older["rope_scaling"] = None if scaling == {"rope_type": "default"} else scaling
    return older


def tokenizer_in_older_form(text: str | None, tokenizer_file: str | None) -> Any:
    """Return the tokenizer of a checkpoint that transformers 5 saved; None if AutoTokenizer can read it.

    Args:
        text: of its tokenizer_config.json.
        tokenizer_file: where its tokenizer.json is.
    """
    if transformers_version() >= (5, 0) or text is None or tokenizer_file is None:
        return None
    said = json.loads(text)
    if said.get("tokenizer_class") != _NEW_TOKENIZER:
        return None
    from transformers import PreTrainedTokenizerFast

    extra = said.get("extra_special_tokens") or []
    return PreTrainedTokenizerFast(
        tokenizer_file=tokenizer_file,
        # Version 4 would write token types too, which most models refuse.
        model_input_names=said.get("model_input_names") or ["input_ids", "attention_mask"],
        additional_special_tokens=list(extra.values() if isinstance(extra, dict) else extra),
        **{name: said[name] for name in _TOKENS if said.get(name) is not None},
    )


def transformers_version() -> tuple[int, int]:
    """Return the first two numbers of the version that is installed here."""
    import transformers

    major, minor = transformers.__version__.split(".")[:2]
    return int(major), int(minor)
