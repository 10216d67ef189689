"""Finds the decoder layers of a model when no family declares them."""

from __future__ import annotations

from typing import Any

from vlmprobe.families.worker.faults import ModelFault

__all__ = ["find_decoder_layers"]

#: Words in a module's path that suggest a language model, and words that suggest something else.
_FOR = ("language_model", "text_model", "decoder", "llm", "transformer")
_AGAINST = (
    "vision",
    "visual",
    "image",
    "vit",
    "tower",
    "encoder",
    "projector",
    "resampler",
    "audio",
    "video",
)


def find_decoder_layers(model: Any, checkpoint: str) -> tuple[Any, str]:
    """Return the decoder layers and their path in the model.

    Tries transformers' ``get_decoder().layers`` first, then every list of modules that has as many members as
    the config's text part has layers; prefers a language model's to a vision tower's.

    Raises:
        ModelFault: there is no list of as many layers as the config says.
    """
    from torch import nn

    expected = model.config.get_text_config().num_hidden_layers
    lists = {name: each for name, each in model.named_modules() if isinstance(each, nn.ModuleList)}
    decoder = _decoder(model)
    layers = getattr(decoder, "layers", None)
    if isinstance(layers, nn.ModuleList):
        if len(layers) != expected:
            raise ModelFault(
                f"{checkpoint}: found {len(layers)} decoder layers, but config.json says {expected}; "
                "use the config.json that belongs to these weights"
            )
        return layers, next(name for name, each in lists.items() if each is layers)
    fitting = [name for name, each in lists.items() if len(each) == expected and _score(name) >= 0]
    if not fitting:
        sizes = ", ".join(f"{name} ({len(each)})" for name, each in lists.items()) or "none"
        raise ModelFault(
            f"{checkpoint}: config.json says {expected} decoder layers, but this model has no list of that length; "
            f"it has: {sizes}"
        )
    best = max(fitting, key=lambda name: (_score(name), -len(name)))
    return lists[best], best


def _decoder(model: Any) -> Any:
    try:
        return model.get_decoder()
    except (AttributeError, NotImplementedError):
        return None


def _score(path: str) -> int:
    words = path.lower()
    return sum(word in words for word in _FOR) - 10 * any(word in words for word in _AGAINST)
