"""Decides which files of a checkpoint's folder are its weights, and refuses a folder where that is open.

The rule, version 1. Weights are one of these sets:

    model.safetensors               or the files that model.safetensors.index.json names
    pytorch_model.bin               or the files that pytorch_model.bin.index.json names

A folder with two sets is refused, and so is one with an adapter beside its weights: transformers would apply the
adapter where the package peft is installed, and nowhere else. What lies in sub-folders is never read. Other weight
files in the folder are not read either; the run's account names them.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import ModelFault

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ADAPTER_FILES",
    "RULE",
    "SETS",
    "TRAINING_FILE",
    "WEIGHT_SUFFIXES",
    "WeightFiles",
    "check_links",
    "find_weights",
    "hint",
    "is_adapter",
    "mapped_files",
    "other_weights",
    "refuse_adapter",
    "stored_shapes",
    "weight_names",
]

#: Version of the rule above; increment it when another file would be read.
RULE = 1
_WHOLE = ("model.safetensors", "pytorch_model.bin")
SETS = tuple(name for whole in _WHOLE for name in (whole, f"{whole}.index.json"))
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth"})
#: Files that a training run leaves next to a checkpoint and that no model reads.
TRAINING_FILE = re.compile(
    r"^(optimizer|scheduler|scaler|rng_state|training_args|trainer_state|train_results|all_results|eval_results"
    r"|(optim|train)\.pt$)"
)
_PART = re.compile(r"^(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)$")
#: Files that tell a checkpoint, the last two those of Molmo's and of NVILA's own forms.
_SIGNS = (*SETS, ADAPTER_FILES[0], "config.yaml", "llm/config.json")
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError)
#: Checkpoints to name in a message.
_NAMED = 5
#: Files of torch.distributed.checkpoint, one a process.
_DISTRIBUTED = ".distcp"
_MERGE = "merge it with 'accelerate merge-weights' and save the model with save_pretrained"
#: From the home of the hub's cache to a snapshot: hub/models--owner--name/snapshots/commit.
_DEEP = 4
_MOST_FOLDERS = 1000


@dataclass(frozen=True)
class WeightFiles:
    """The weights of a checkpoint, as files of its folder."""

    names: tuple[str, ...]
    """The files that are read, without the index."""
    not_read: tuple[str, ...] = ()
    """Other weight files in the folder."""


def find_weights(folder: Path) -> WeightFiles:
    """Return the weights of a folder; see the rule at the top of this module.

    Raises:
        ModelFault: there are none, two sets, an adapter, a file that the index names is missing, or a link is broken.
    """
    check_links(folder)
    sets = {name: _files_of(folder, name) for name in SETS if (folder / name).is_file()}
    if not sets:
        raise ModelFault(f"{folder}: no weights in this folder ({' or '.join(_WHOLE)}); {hint(folder)}")
    first, *others = sets
    if any(sets[other] != sets[first] for other in others):
        raise ModelFault(
            f"{folder}: two sets of weights in this folder ({' and '.join(sets)}); keep the set that you mean and move "
            "the other out of the folder"
        )
    refuse_adapter(folder, f"full weights ({first})")
    return WeightFiles(sets[first], tuple(other_weights(folder, sets[first])))


def refuse_adapter(folder: Path, beside: str) -> None:
    """Raise for an adapter beside weights, of which nobody knows whether it is part of them.

    Raises:
        ModelFault: there is one.
    """
    adapter = [name for name in ADAPTER_FILES if (folder / name).is_file()]
    if adapter:
        raise ModelFault(
            f"{folder}: an adapter ({', '.join(adapter)}) beside {beside}; merge it into the model and save the "
            "result to a folder of its own, or move the adapter out if the weights include it already"
        )


def weight_names(folder: Path) -> set[str]:
    """Return the names of the tensors in a folder that :func:`find_weights` let pass."""
    index = next(
        (path for name in SETS if name.endswith(".json") and (path := folder / name).is_file()), None
    )
    if index is not None:
        return set(_weight_map(index))
    safe, old = (folder / name for name in _WHOLE)
    if safe.is_file():
        from safetensors import safe_open

        with safe_open(safe, framework="pt") as file:
            return set(file.keys())
    return set(_pickled_tensors(old))


def stored_shapes(folder: Path, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the name and the shape of each tensor in the files of a folder, from their headers alone."""
    from safetensors import safe_open

    found: dict[str, tuple[int, ...]] = {}
    for name in names:
        if name.endswith(".safetensors"):
            with safe_open(folder / name, framework="pt") as file:
                found |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        else:
            found |= {key: tuple(each.shape) for key, each in _pickled_tensors(folder / name).items()}
    return found


def _pickled_tensors(file: Path) -> dict[str, Any]:
    """Return the tensors of a ``.bin`` file without their data."""
    import torch

    # Only the newer of torch's two forms, a zip archive, can be mapped; the older one is read.
    held: dict[str, Any] = torch.load(
        file, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(file)
    )
    return held


def mapped_files(index: Path) -> tuple[str, ...]:
    """Return the files that an index names.

    Raises:
        ModelFault: it is damaged, or names a file elsewhere.
    """
    try:
        parts = sorted(set(_weight_map(index).values()))
        outside = [part for part in parts if Path(part).name != part]
    except _DAMAGED as error:
        raise ModelFault(f"{index}: damaged; copy the checkpoint again") from error
    if outside:
        raise ModelFault(
            f"{index}: {outside[0][:100]!r} is not a file in this folder; copy the checkpoint again"
        )
    return tuple(parts)


def check_links(folder: Path) -> None:
    """Check that each part of a checkpoint can be read: a file, or a link to one.

    A link to a file that is gone is from a cleaned or unfinished download; a pipe would be waited for without an end.

    Raises:
        ModelFault: one is neither; the line names it.
    """
    kinds = WEIGHT_SUFFIXES | {".json", ".jinja", ".yaml", ".model", ".py", ".txt"}
    for path in sorted(folder.iterdir()):
        if path.suffix not in kinds:
            continue
        if path.is_symlink() and not path.exists():
            raise ModelFault(
                f"{folder}: {path.name} is a link to a file that is not there; download the checkpoint again"
            )
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModelFault(
                f"{folder}: {path.name} is no regular file (a pipe, a socket or a device); put the file itself there"
            )


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter."""
    return any((folder / name).is_file() for name in ADAPTER_FILES)


def hint(folder: Path) -> str:
    """Say what to do with a folder that is no checkpoint."""
    if is_adapter(folder):
        return "it is an adapter; merge it into its base model first"
    inside = _checkpoints_inside(folder)
    if len(inside) == 1:
        return f"its checkpoint is in {inside[0]}; pass that folder"
    if inside:
        named = [*inside[:_NAMED], "..."] if len(inside) > _NAMED else inside
        return f"its checkpoints are in {', '.join(named)}; pass one of these folders"
    names = [path.name for path in folder.iterdir()]
    if any(name.endswith(_DISTRIBUTED) for name in names):
        return f"it is the distributed form of FSDP (*{_DISTRIBUTED}); {_MERGE}"
    apart = next((path.parent.name for path in sorted(folder.glob(f"*/*{_DISTRIBUTED}"))), None)
    if apart is not None:
        return f"its weights are in {apart}, in the distributed form of FSDP (*{_DISTRIBUTED}); {_MERGE}"
    if "zero_to_fp32.py" in names or any(name.startswith("global_step") for name in names):
        return "it is DeepSpeed's own form; run its zero_to_fp32.py and save the model with save_pretrained"
    part = next((name for name in sorted(names) if _PART.match(name)), None)
    if part is not None:
        return f"it has {part} but no index (such as {SETS[1]}); copy the checkpoint again"
    return "use a checkpoint folder"


def _checkpoints_inside(folder: Path) -> list[str]:
    """Return the folders in a training's output, or in the hub's cache, that hold checkpoints.

    They are those nearest to the folder, and at most as deep as a snapshot is in the cache.
    """
    level = [folder]
    for _ in range(_DEEP):
        level = [path for place in level[:_MOST_FOLDERS] for path in _folders(place)]
        found = [
            place.relative_to(folder).as_posix()
            for place in level
            if any((place / name).is_file() for name in _SIGNS)
        ]
        if found:
            return sorted(found, key=_split)
    return []


def _folders(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []


def _split(name: str) -> list[str | int]:
    """Split a name into words and numbers, alternating, so that checkpoint-900 comes before checkpoint-1000."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _files_of(folder: Path, name: str) -> tuple[str, ...]:
    """Return the files of a set.

    Raises:
        ModelFault: its index is damaged, or a file that it names is missing.
    """
    if not name.endswith(".json"):
        return (name,)
    parts = mapped_files(folder / name)
    # os.path, since a name in a damaged index may be none that a file can have.
    lost = [part for part in parts if not os.path.isfile(folder / part)]  # noqa: PTH113
    if lost:
        raise ModelFault(
            f"{folder}: {len(lost)} of {len(parts)} weight files are missing, such as {lost[0][:100]}; "
            "copy the checkpoint again"
        )
    return parts


def other_weights(folder: Path, names: Sequence[str] = ()) -> list[str]:
    """Return the weight files of a folder other than these, without what training leaves."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix in WEIGHT_SUFFIXES
        and path.is_file()
        and path.name not in names
        and not path.name.startswith(".")
        and not TRAINING_FILE.match(path.name)
    )


def _weight_map(index: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    return found
