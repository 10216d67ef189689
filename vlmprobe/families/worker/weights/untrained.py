"""Makes a checkpoint's architecture with random weights: what its network does before it has learnt anything.

No weight file is read. transformers initializes each module as its config says (``initializer_range``), as it would at
the beginning of a training, and tied tensors are tied.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.families.worker.environment.versions import dtype_argument
from vlmprobe.families.worker.weights.account import keep_account
from vlmprobe.families.worker.weights.files import WeightFiles

if TYPE_CHECKING:
    import torch

__all__ = ["make_untrained"]

#: Numbers of each tensor that its hash is of: two initializations differ in the first already.
_HASHED = 64


def make_untrained(
    model_class: Any,
    config: Any,
    dtype: torch.dtype,
    seed: int,
    *,
    architectures: Any = (),
    trusted: bool = False,
) -> Any:
    """Return a model of a checkpoint's config with random weights, on the CPU.

    The draws are those of PyTorch's CPU generator, so that every device gets the same weights; the generator's state
    is as before afterwards.

    Args:
        model_class: the transformers class, or one of its Auto classes.
        config: the checkpoint's, as an object; its number formats are set to ``dtype``.
        dtype: the number format.
        seed: of the draws.
        architectures: the classes that the config names.
        trusted: whether Python files of the checkpoint may run.
    """
    import torch

    for part in (config, *_parts_of(config)):
        # Those of the file are what its weights were saved in.
        setattr(part, *next(iter(dtype_argument(dtype).items())))
    make = getattr(model_class, "from_config", None) or model_class._from_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(config, **dtype_argument(dtype), **({"trust_remote_code": True} if trusted else {}))
    model.tie_weights()
    note = (
        f"its weights are random: initialized as its config says, under seed {seed}; no weight file was read"
    )
    keep_account(model, WeightFiles(()), architectures=architectures, notes=[note])
    model.vlmprobe_account |= {"random_weights": seed, "values_sha256": _values_hash(model)}
    return model


def _parts_of(config: Any) -> list[Any]:
    """Return the configs inside a config, at any depth."""
    found = []
    for name in getattr(config, "sub_configs", None) or ():
        part = getattr(config, name, None)
        if part is not None and not isinstance(part, dict):
            found += [part, *_parts_of(part)]
    return found


def _values_hash(model: Any) -> str:
    """Hash the first numbers of every tensor: another version of a package may draw others under the same seed."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        some = tensor.detach().flatten()[:_HASHED].to(torch.float32).numpy()
        total.update(name.encode() + np.ascontiguousarray(some).tobytes())
    return total.hexdigest()
