"""Describes the model and the environment that produced a run's numbers."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmprobe.families.worker.contract import MAX_NEW_TOKENS
from vlmprobe.families.worker.weights.account import account_of, notes_of

if TYPE_CHECKING:
    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["describe_run"]


def describe_run(model: Any, options: LoadOptions, device: torch.device, dtype: str) -> dict[str, Any]:
    """Return versions, device, number format, attention kernel, source and weights of a loaded model, as JSON.

    Args:
        model: the loaded model; one without a transformers config has no attention kernel to name.
        options: how it was asked for.
        device: where it is.
        dtype: the number format its decoder runs in.
    """
    import PIL
    import transformers

    config = getattr(model, "config", None)
    on_gpu = device.type == "cuda"
    return {
        "architecture": type(model).__name__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "device_name": torch.cuda.get_device_name(device) if on_gpu else platform.machine(),
        "dtype": dtype,
        "attention": getattr(config, "_attn_implementation", None),
        # What config.json names and vlmprobe does not use: the numbers would depend on what is installed.
        "attention_not_used": getattr(model, "vlmprobe_attention", None),
        "image_backend": "pil",
        "processor": options.processor or options.checkpoint,
        "revision": getattr(config, "_commit_hash", None) or options.revision,
        "processor_revision": options.processor_place[1],
        "remote_code": options.trust_remote_code,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "decoding": "greedy",
        "max_new_tokens": MAX_NEW_TOKENS,
        "weights": account_of(model),
        "notes": notes_of(model),
    }
