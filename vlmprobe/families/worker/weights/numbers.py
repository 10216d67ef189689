"""What the numbers of weights are: floats, and one table where a config says so.

Loading would not object: an integer is cast to a float, whatever scale it had, and of two tables one is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import ModelFault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["check_tensors", "check_tied"]

#: As in the header of a safetensors file; 8-bit floats are numbers only together with their scales.
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_PARAMETERS = (".weight", ".bias")


def check_tensors(folder: Path, names: Sequence[str]) -> None:
    """Check each tensor in a folder's safetensors files: a float of 16 bits or more, and in one file only.

    Of a tensor in two files, the one that is read last would count, whatever an index says.

    Raises:
        ModelFault: one is not; the line names file, tensor and type, or both files.
    """
    from safetensors import SafetensorError, safe_open

    file_of: dict[str, str] = {}
    for name in names:
        if not name.endswith(".safetensors"):
            continue
        try:
            with safe_open(folder / name, framework="pt") as file:
                kinds = {key: str(file.get_slice(key).get_dtype()) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError):
            continue  # loading it says what is wrong
        odd = sorted(key for key, kind in kinds.items() if key.endswith(_PARAMETERS) and kind not in _FLOATS)
        if odd:
            more = f" ({len(odd) - 1} more are none)" if len(odd) > 1 else ""
            raise ModelFault(
                f"{folder / name}: {odd[0]} is of type {kinds[odd[0]]}, not a float of 16 bits or more{more}; these "
                "weights are quantized: use the checkpoint before quantization"
            )
        twice = sorted(kinds.keys() & file_of.keys())
        if twice:
            raise ModelFault(
                f"{folder}: {twice[0]} is in two weight files ({file_of[twice[0]]} and {name}); keep the files of one "
                "save, or copy the checkpoint again"
            )
        file_of |= dict.fromkeys(kinds, name)


def check_tied(source: str, model: Any) -> None:
    """Check that a model whose config ties its output layer to its embeddings has one table of them.

    Raises:
        ModelFault: the weights brought another output layer, of which some versions of transformers take no notice.
    """
    import torch

    # A remote class may lack the methods, or raise where it has no such layer.
    try:
        head, table = model.get_output_embeddings(), model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return
    one, other = getattr(head, "weight", None), getattr(table, "weight", None)
    if one is None or other is None or one is other or one.shape != other.shape:
        return
    if one.device.type != "meta" and not torch.equal(one, other):
        raise ModelFault(
            f"{source}: its config ties the output layer to the embeddings (tie_word_embeddings), but the weights hold "
            "an output layer (lm_head.weight) of their own; set tie_word_embeddings to false in config.json, or remove "
            "that tensor, whichever the training meant"
        )
