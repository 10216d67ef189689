"""Checks an NVILA checkpoint's folder before its code is imported and after its weights are loaded.

config.json                 model_type, llm_cfg, vision_tower_cfg, mm_projector_cfg, how images are cut
llm/                        config.json, weights, tokenizer
vision_tower/               config.json, weights, preprocessor_config.json
mm_projector/               config.json, weights
*.py                        its own code: the Hugging Face preview form
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import ModelFault, first_line
from vlmprobe.families.worker.loading.places import is_local, local_folder
from vlmprobe.families.worker.loading.reading import require_consent
from vlmprobe.families.worker.weights.account import check_fit, keep_account
from vlmprobe.families.worker.weights.files import (
    ADAPTER_FILES,
    SETS,
    WeightFiles,
    check_links,
    find_weights,
    hint,
    is_adapter,
    weight_names,
)

if TYPE_CHECKING:
    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["NvilaFolder", "check_filled", "open_folder"]

_PARTS = ("llm", "vision_tower", "mm_projector")


@dataclass(frozen=True)
class NvilaFolder:
    """A local checkpoint with all of its parts."""

    folder: Path
    config: dict[str, Any]
    llm_config: dict[str, Any]
    """The language model's own config.json."""
    commit: str | None
    """The commit that was read, for a hub id."""

    @property
    def brings_code(self) -> bool:
        """Whether it is the preview form, run by the Python files in its folder."""
        return "AutoModel" in (self.config.get("auto_map") or {})

    @property
    def n_layers(self) -> int:
        """How many decoder layers its configs name; the root's copy overrides the language model's own."""
        said = self.config.get("llm_cfg")
        copy = said.get("num_hidden_layers") if isinstance(said, dict) else None
        return int(copy if copy is not None else self.llm_config["num_hidden_layers"])

    @property
    def backbone(self) -> dict[str, Any]:
        """The language model as its config describes it; NVILA was published with several."""
        names = self.llm_config.get("architectures") or [None]
        return {
            "class": names[0],
            "model_type": self.llm_config.get("model_type"),
            "layers": self.llm_config["num_hidden_layers"],
            "dim": self.llm_config.get("hidden_size"),
        }


def open_folder(options: LoadOptions) -> NvilaFolder:
    """Find a checkpoint, download it if it is a hub id, and check that its parts are there.

    Raises:
        ModelFault: it is not there, not NVILA, lacks a part, or includes code that is not allowed to run.
    """
    source = options.checkpoint
    folder = local_folder(source) if is_local(source) else _fetched(source, options.revision)
    check_parts(folder)
    config = _json(folder / "config.json", f"{source}: no config.json in this folder; {hint(folder)}")
    model_type = config.get("model_type")
    if model_type not in ("llava_llama", "vila"):
        raise ModelFault(
            f"{source}: this is a checkpoint of {model_type or 'an unknown architecture'}, not NVILA "
            "(llava_llama); choose its family from 'vlmprobe families'"
        )
    configs = {part: _part(source, folder, part) for part in _PARTS}
    found = NvilaFolder(
        folder=folder,
        config=config,
        llm_config=configs["llm"],
        commit=None if is_local(source) else folder.name,
    )
    coded = [part for part, said in configs.items() if said.get("auto_map")]
    if coded or found.brings_code:
        require_consent(options, where=f" in {coded[0]}/" if coded else "")
    if model_type == "vila" and not found.brings_code:
        raise ModelFault(
            f"{source}: config.json has the preview form but no auto_map; copy the checkpoint again"
        )
    if "num_hidden_layers" not in found.llm_config:
        raise ModelFault(
            f"{source}: llm/config.json has no num_hidden_layers; use a checkpoint with a decoder model"
        )
    return found


def check_parts(folder: Path) -> None:
    """Check that it is open for no part of a checkpoint which files are its weights; see :func:`find_weights`.

    Raises:
        ModelFault: it is, or an adapter lies beside the parts.
    """
    check_links(folder)
    there = [part for part in _PARTS if (folder / part).is_dir()]
    for part in there:
        find_weights(folder / part)
    if len(there) == len(_PARTS) and is_adapter(folder):
        raise ModelFault(
            f"{folder}: an adapter ({ADAPTER_FILES[0]}) beside {there[0]}/; merge it into the model and save the "
            "result to a folder of its own, or move the adapter out if the weights include it already"
        )
    if not (folder / "config.json").is_file():
        raise ModelFault(f"{folder}: no config.json in this folder; {hint(folder)}")


def check_filled(source: str, found: NvilaFolder, model: Any, parts: dict[str, Any]) -> None:
    """Check that every tensor of a loaded model came from the checkpoint and nothing was left out; keep an account.

    NVILA's own loader only warns and fills in the rest.

    Args:
        source: the checkpoint, for the message.
        found: where its files are.
        model: the whole model, with which the account is kept.
        parts: the module that was filled from each of the checkpoint's folders.

    Raises:
        ModelFault: a tensor is not in the files, or the files have more than the model.
    """
    fits, read, not_read = [], [], []
    for part, module in parts.items():
        files = find_weights(found.folder / part)
        read += [f"{part}/{name}" for name in files.names]
        not_read += [f"{part}/{name}" for name in files.not_read]
        held = weight_names(found.folder / part)
        tensors = module.state_dict(keep_vars=True)
        # Tied tensors are one object under two names, and are stored once.
        filled = {id(tensor) for name, tensor in tensors.items() if name in held}
        missing = sorted(name for name, tensor in tensors.items() if id(tensor) not in filled)
        unexpected = held - tensors.keys()
        fits.append(check_fit(f"{source}: {part}/", module, missing=missing, unexpected=unexpected))
    not_read += [f"{part}/" for part in _other_parts(found.folder)]
    keep_account(model, WeightFiles(tuple(read), tuple(not_read)), fits)


def _other_parts(folder: Path) -> list[str]:
    """Return folders with weights that NVILA does not have, such as those of a depth encoder."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir()
        and path.name not in _PARTS
        and not path.name.startswith((".", "checkpoint-", "global_step"))
        and any((path / name).is_file() for name in SETS)
    )


def _part(source: str, folder: Path, part: str) -> dict[str, Any]:
    if not (folder / part).is_dir():
        what = "merge the adapter into its base model first" if is_adapter(folder) else "copy all of it"
        raise ModelFault(f"{source}: no {part}/ in this checkpoint (NVILA has {', '.join(_PARTS)}); {what}")
    said = _json(folder / part / "config.json", f"{source}: no {part}/config.json; copy the checkpoint again")
    find_weights(folder / part)
    return said


def _json(path: Path, missing: str) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFault(missing) from error
    except (OSError, ValueError) as error:
        raise ModelFault(f"{path}: cannot be read as JSON ({error}); copy it again") from error
    if not isinstance(said, dict):
        raise ModelFault(f"{path}: this is not a model config; copy it again")
    return said


def _fetched(source: str, revision: str | None) -> Path:
    """Download the hub's snapshot at one commit; llava itself would always use the newest."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision))
    # The hub's client changes its exceptions with its version.
    except Exception as error:
        raise ModelFault(
            f"{source!r} is neither a local checkpoint folder nor a reachable hub id: {first_line(error)}"
        ) from error
