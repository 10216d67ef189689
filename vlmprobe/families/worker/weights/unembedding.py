"""Reads a model's unembedding: rows of some words, the final norm's gain, and the covariance of all rows."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmprobe.families.worker.contract import Unembedding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

__all__ = ["CONTROLS", "control_tokens", "embeddings", "final_norm", "read_unembedding"]

#: Words that are kept for a control, and the seed of their draw.
CONTROLS, _SEED = 400, 0
#: A token that begins a word: a space, as tokenizers of bytes and of pieces spell it, and at least three letters.
_WORD = re.compile("[\u0120\u2581][A-Za-z]{3,}")
#: What final norms are called where a decoder has several norms beside its layers.
_FINAL = ("norm", "final_norm", "final_layernorm", "final_layer_norm", "ln_f")
_CHUNK = 16_384


def read_unembedding(
    head: Any,
    norm: Any,
    tokenizer: Any,
    spellings: Mapping[str, tuple[int | None, ...]],
    *,
    inputs: Any = None,
) -> Unembedding | None:
    """Read the output layer of a model.

    Args:
        head: the output layer, with a weight of shape (tokens, D).
        norm: the final norm; it multiplies each dimension after it has scaled the whole state.
        tokenizer: of the model.
        spellings: word -> first tokens of its spellings.
        inputs: the input embedding, to see whether its weight is the head's.

    Returns:
        None if the head has no such weight, or the norm does not take a state of its length.
    """
    weight = getattr(head, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2:
        return None
    gain = _gain(norm, weight.shape[1])
    if gain is None:
        return None
    own = {token for tokens in spellings.values() for token in tokens if token is not None}
    controls = [token for token in control_tokens(tokenizer) if token < len(weight) and token not in own]
    tokens = sorted(own | set(controls))
    rows = weight[torch.tensor(tokens, device=weight.device)].float().cpu().numpy()
    return Unembedding(
        spellings=dict(spellings),
        tokens=tuple(tokens),
        controls=tuple(controls),
        rows=rows,
        gain=gain,
        covariance=_covariance(weight),
        n_tokens=len(weight),
        tied=getattr(inputs, "weight", None) is weight,
        seed=_SEED,
    )


def embeddings(getter: str, *models: Any) -> Any:
    """Return the first layer that a method of these models returns, such as ``get_output_embeddings``; or None."""
    for model in models:
        try:
            found = getattr(model, getter)()
        except (AttributeError, NotImplementedError, TypeError):
            continue
        if found is not None:
            return found
    return None


def control_tokens(tokenizer: Any) -> list[int]:
    """Draw tokens of real words, ascending: all of them where there are few."""
    texts = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    words = [token for token, text in enumerate(texts) if isinstance(text, str) and _WORD.fullmatch(text)]
    if len(words) > CONTROLS:
        words = np.random.Generator(np.random.PCG64(_SEED)).choice(words, CONTROLS, replace=False).tolist()
    return sorted(words)


def final_norm(model: nn.Module, layer: nn.Module) -> nn.Module | None:
    """Return the norm beside the list of decoder layers that holds ``layer``; None if it is not clear which it is."""
    for parent in model.modules():
        if not any(layer is each for child in parent.children() for each in child.children()):
            continue
        norms = {
            name: child
            for name, child in parent.named_children()
            if "norm" in type(child).__name__.lower() and child is not layer
        }
        if len(norms) == 1:
            return next(iter(norms.values()))
        return next((norms[name] for name in _FINAL if name in norms), None)
    return None


def _gain(norm: Any, dim: int) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """Measure by what a norm multiplies each dimension, whatever its class calls it, and whether it adds 1 to it.

    A state of as many 1 as -1 has mean 0 and length 1 a dimension, so that nothing but the gain and a bias is left of
    the norm; the bias has the same sign for the opposite state.
    """
    state = torch.ones(1, 1, dim)
    state[..., 1::2] = -1.0
    try:
        own = copy.deepcopy(norm).float().cpu()
        found = (own(state) - own(-state)) / 2 * state
    except (TypeError, RuntimeError, AttributeError):
        return None
    gain: np.ndarray[Any, np.dtype[np.float32]] = found.reshape(-1).numpy().astype(np.float32)
    return gain if gain.shape == (dim,) else None


def _covariance(weight: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return (D, D), some thousand rows at a time: in float32 all of them may be larger than the model's."""
    chunks = torch.split(weight, _CHUNK)
    mean = torch.stack([chunk.float().sum(dim=0).double() for chunk in chunks]).sum(dim=0) / len(weight)
    dim = weight.shape[1]
    total = torch.zeros(dim, dim, device=weight.device)
    for chunk in chunks:
        centered = chunk.float() - mean.float()
        total += centered.T @ centered
    found: np.ndarray[Any, np.dtype[np.float32]] = (total / len(weight)).cpu().numpy()
    return found
