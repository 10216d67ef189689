"""The weights of a Molmo in the form of its training code: ``model.pt``, a state_dict, read without running code."""

from __future__ import annotations

import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.faults import ModelFault, one_line
from vlmprobe.families.worker.loading.diagnosis import not_the_file
from vlmprobe.families.worker.loading.reading import quiet
from vlmprobe.families.worker.weights.account import check_fit, keep_account
from vlmprobe.families.worker.weights.files import WeightFiles, other_weights
from vlmprobe.families.worker.weights.naming import check_renamed
from vlmprobe.families.worker.weights.tensors import wrapper_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

__all__ = ["CONFIG", "WEIGHTS", "load_weights"]

CONFIG, WEIGHTS = "config.yaml", "model.pt"
_FSDP = "_fsdp_wrapped_module."


def load_weights(olmo: ModuleType, config: Any, folder: Path) -> Any:
    """Build the model around the tensors of model.pt, which stay on disk until they are used.

    Args:
        olmo: the module ``olmo.model``.
        config: what olmo read from config.yaml.
        folder: where the weights are.

    Raises:
        ModelFault: the file is damaged, holds more than floats, or does not fit the model.
    """
    weights = _read_weights(folder / WEIGHTS)
    prefix = wrapper_of(weights)
    weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    with torch.device("meta"), quiet():
        config.init_device = None
        model = olmo.Molmo(config)
    # What that function removes from the names.
    check_renamed(str(folder), [(name, name.replace(_FSDP, "")) for name in weights])
    weights, _ = model._make_state_dict_compatible(weights)
    own = dict(model.named_parameters())
    fit = check_fit(
        str(folder),
        model,
        missing=own.keys() - weights.keys(),
        unexpected=weights.keys() - own.keys(),
        mismatched=[
            (name, each.shape, own[name].shape)
            for name, each in weights.items()
            if name in own and each.shape != own[name].shape
        ],
        config=CONFIG,
    )
    model.load_state_dict(weights, strict=False, assign=True)
    keep_account(
        model, WeightFiles((WEIGHTS,), tuple(other_weights(folder, (WEIGHTS,)))), [fit], removed_prefix=prefix
    )
    return model


def _read_weights(file: Path) -> dict[str, torch.Tensor]:
    other = not_the_file(file)
    if other is not None:
        raise ModelFault(f"{file.parent}: {file.name} {other}")
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise ModelFault(
            f"{file}: holds more than tensors, and only tensors are unpickled; save the model's state_dict alone"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelFault(f"{file}: damaged ({one_line(error)}); copy it again") from error
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(each, torch.Tensor) for name, each in weights.items()
    ):
        raise ModelFault(
            f"{file}: not a state_dict, which maps names to tensors; save only the model's state_dict"
        )
    odd = sorted(name for name, each in weights.items() if not each.is_floating_point())
    if odd:
        raise ModelFault(
            f"{file}: {odd[0]} is of type {weights[odd[0]].dtype}, not a float; these weights are quantized: use the "
            "checkpoint before quantization"
        )
    return weights
