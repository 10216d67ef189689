"""Keys of config.json that vlmprobe decides on in the checkpoint's place, and those that it refuses."""

from __future__ import annotations

from typing import Any

from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.suspects import all_values

__all__ = ["attention_named", "check_config", "without_attention"]

#: Attention that every installation of PyTorch can run; a config may choose among these.
_BUILT_IN = ("eager", "sdpa")


def check_config(source: str, config: dict[str, Any], *, trusted: bool, file: str = "config.json") -> None:
    """Check that a config asks for nothing that vlmprobe does not do.

    Args:
        source: the checkpoint.
        config: the content of its config.
        trusted: whether code from elsewhere may be run.
        file: what the config is called in the checkpoint.

    Raises:
        ModelFault: it names attention code on the hub, weights in few bits, or another file of weights.
    """
    for key, value in all_values(config):
        # transformers would silently fetch and run it.
        if not trusted and "implementation" in key and isinstance(value, str) and "/" in value:
            raise ModelFault(
                f"{source}: {file} would download and run {value[:80]} ({key}); remove that line"
            )
        if key == "quantization_config" and value is not None:
            method = value.get("quant_method") if isinstance(value, dict) else None
            raise ModelFault(
                f"{source}: {file} says that the weights are quantized (quantization_config, "
                f"{method or 'of no named method'}), which vlmprobe does not run; use the checkpoint in full "
                "precision, or remove that key if its weights are"
            )
    named = config.get("transformers_weights")
    if named is not None:
        raise ModelFault(
            f"{source}: {file} names its weights by transformers_weights, which versions of transformers read "
            "differently; call the file model.safetensors and remove that key"
        )


def attention_named(config: dict[str, Any]) -> str | None:
    """Return the attention that a config names and that is not used, for the manifest; None if there is none."""
    named = sorted({_text(value) for key, value in all_values(config) if _is_foreign(key, value)})
    return ", ".join(named) or None


def without_attention(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without the attention that it names, unless any installation can run it."""
    return {
        key: without_attention(value)
        if isinstance(value, dict) and "attn_implementation" not in key
        else value
        for key, value in config.items()
        if not _is_foreign(key, value)
    }


def _is_foreign(key: str, value: Any) -> bool:
    if "attn_implementation" not in key or value is None:
        return False
    each = value.values() if isinstance(value, dict) else [value]
    return any(name not in (*_BUILT_IN, None) for name in each)


def _text(value: Any) -> str:
    return "/".join(map(str, value.values())) if isinstance(value, dict) else str(value)
