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
from vlmprobe.families.worker.loading.config_parts import check_config
from vlmprobe.families.worker.loading.diagnosis import damaged_json, not_the_file
from vlmprobe.families.worker.loading.parts import check_colors
from vlmprobe.families.worker.loading.places import is_local, local_folder
from vlmprobe.families.worker.loading.reading import read_settings, require_consent
from vlmprobe.families.worker.suspects import is_count
from vlmprobe.families.worker.weights.account import check_fit, class_notes, keep_account
from vlmprobe.families.worker.weights.files import (
    SETS,
    WeightFiles,
    check_links,
    find_weights,
    hint,
    is_adapter,
    other_weights,
    refuse_adapter,
    weight_names,
)
from vlmprobe.families.worker.weights.naming import check_unique
from vlmprobe.families.worker.weights.numbers import check_tensors

if TYPE_CHECKING:
    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["NvilaFolder", "check_filled", "open_folder"]

_PARTS = ("llm", "vision_tower", "mm_projector")
_CONFIG, _SETTINGS, _LAYERS = "config.json", "vision_tower/preprocessor_config.json", "num_hidden_layers"
#: Files that a tokenizer may be in; a folder has one of them.
_TOKENIZERS = ("tokenizer.json", "vocab.json", "tokenizer.model")


@dataclass(frozen=True)
class NvilaFolder:
    """A local checkpoint with all of its parts."""

    folder: Path
    config: dict[str, Any]
    llm_config: dict[str, Any]
    """The language model's own config.json."""
    configs: dict[str, dict[str, Any]]
    """Every config that the model is made of, by the name of its file, the root's first."""
    settings: dict[str, dict[str, Any]]
    """What images are prepared with: root's config and that of the vision tower's processor."""
    commit: str | None
    """The commit that was read, for a hub id."""

    @property
    def brings_code(self) -> bool:
        """Whether it is the preview form, run by the Python files in its folder."""
        roles = self.config.get("auto_map")
        return isinstance(roles, dict) and "AutoModel" in roles

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
    config = read_settings(str(folder), _CONFIG, required=True) or {}
    model_type = config.get("model_type")
    if model_type not in ("llava_llama", "vila"):
        raise ModelFault(
            f"{source}: this is a checkpoint of {model_type or 'an unknown architecture'}, not NVILA "
            "(llava_llama); choose its family from 'vlmprobe families'"
        )
    parts = {part: _part(source, folder, part) for part in _PARTS}
    configs = {_CONFIG: config} | {f"{part}/{_CONFIG}": said for part, said in parts.items()}
    _check_configs(source, configs, parts["llm"])
    found = NvilaFolder(
        folder=folder,
        config=config,
        llm_config=parts["llm"],
        configs=configs,
        settings={_CONFIG: config, _SETTINGS: _image_settings(source, folder)},
        commit=None if is_local(source) else folder.name,
    )
    coded = [part for part, said in parts.items() if said.get("auto_map")]
    if coded or found.brings_code:
        require_consent(options, where=f" in {coded[0]}/" if coded else "")
    if model_type == "vila" and not found.brings_code:
        raise ModelFault(
            f"{source}: config.json has the preview form but no auto_map; copy the checkpoint again"
        )
    if not any((folder / "llm" / name).is_file() for name in _TOKENIZERS):
        raise ModelFault(
            f"{source}: llm/ has no tokenizer ({', '.join(_TOKENIZERS[:-1])} or {_TOKENIZERS[-1]}); copy the base "
            "model's tokenizer files"
        )
    damaged = damaged_json(str(folder / "llm"))
    if damaged is not None:
        raise ModelFault(f"{source}: llm/{damaged}")
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
    if len(there) == len(_PARTS):
        refuse_adapter(folder, f"{there[0]}/")
    if not (folder / _CONFIG).is_file():
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
    fits, read, not_read, notes = [], [], [], []
    for part, module in parts.items():
        files = find_weights(found.folder / part)
        read += [f"{part}/{name}" for name in files.names]
        not_read += [f"{part}/{name}" for name in files.not_read]
        held = weight_names(found.folder / part)
        check_unique(f"{source}: {part}/", module, held)
        tensors = module.state_dict(keep_vars=True)
        # Tied tensors are one object under two names, and are stored once.
        filled = {id(tensor) for name, tensor in tensors.items() if name in held}
        missing = sorted(name for name, tensor in tensors.items() if id(tensor) not in filled)
        unexpected = held - tensors.keys()
        fits.append(check_fit(f"{source}: {part}/", module, missing=missing, unexpected=unexpected))
    not_read += other_weights(found.folder)
    not_read += [f"{part}/" for part in _other_parts(found.folder)]
    for said, module in ((found.config, model), (found.llm_config, parts["llm"])):
        notes += class_notes(said.get("architectures"), type(module).__name__)
    keep_account(model, WeightFiles(tuple(read), tuple(not_read)), fits, notes=notes)


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
    said = read_settings(str(folder), f"{part}/{_CONFIG}")
    if said is None:
        raise ModelFault(f"{source}: no {part}/config.json; copy the checkpoint again")
    files = find_weights(folder / part)
    for name in files.names:
        other = not_the_file(folder / part / name)
        if other is not None:
            raise ModelFault(f"{source}: {part}/{name} {other}")
    check_tensors(folder / part, files.names)
    return said


def _check_configs(source: str, configs: dict[str, dict[str, Any]], llm: dict[str, Any]) -> None:
    """Check what llava's loader would take otherwise than it is said, or look for on the hub."""
    for file, config in configs.items():
        check_config(source, config, trusted=False, file=file)
    root = configs[_CONFIG]
    for part in _PARTS:
        copy = root.get(f"{part}_cfg", {})
        if not isinstance(copy, dict):
            raise ModelFault(
                f"{source}: {_CONFIG} has {part}_cfg: {json.dumps(copy)[:60]}, where the settings of {part}/ belong; "
                f"put the content of {part}/{_CONFIG} there, or copy {_CONFIG} from the base model"
            )
    for file, config, key in ((f"llm/{_CONFIG}", llm, _LAYERS), (_CONFIG, root.get("llm_cfg", {}), _LAYERS)):
        if key in config and not (is_count(config[key]) and config[key] > 0):
            raise ModelFault(
                f"{source}: no model can be made of {file} with {key}: {json.dumps(config[key])[:60]}; write the "
                f"number of decoder layers, as in the base model's {file}"
            )
    if _LAYERS not in llm:
        raise ModelFault(f"{source}: llm/{_CONFIG} has no {_LAYERS}; use a checkpoint with a decoder model")
    towers, projector = configs[f"vision_tower/{_CONFIG}"], configs[f"mm_projector/{_CONFIG}"]
    for file, key, value, good in (
        ("vision_tower", "architectures", towers.get("architectures", [""]), _names_a_class),
        ("mm_projector", "mm_projector_type", projector.get("mm_projector_type", ""), _is_text),
    ):
        if not good(value):
            raise ModelFault(
                f"{source}: no model can be made of {file}/{_CONFIG} with {key}: {json.dumps(value)[:60]}; compare it "
                "with the base model's, or copy it again"
            )
    ways = root.get("image_aspect_ratio", "resize")
    if not isinstance(ways, str) or (ways == "dynamic_s2" and not root.get("s2_scales")):
        lacks = ", but no s2_scales" if isinstance(ways, str) else ""
        raise ModelFault(
            f"{source}: {_CONFIG} has image_aspect_ratio: {json.dumps(ways)[:60]}{lacks}; use the base model's "
            f"{_CONFIG}"
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _names_a_class(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _image_settings(source: str, folder: Path) -> dict[str, Any]:
    """Return the settings of the vision tower's image processor."""
    said = read_settings(str(folder), _SETTINGS)
    if said is None:
        raise ModelFault(f"{source}: no {_SETTINGS}; copy it from the base model")
    check_colors(source, said, strict=True, file=_SETTINGS)
    size = said.get("size", {"height": 1, "width": 1})
    sides = [size.get(side) for side in ("height", "width")] if isinstance(size, dict) else [None]
    if not all(is_count(side) and side for side in sides):
        raise ModelFault(
            f'{source}: {_SETTINGS} has size: {json.dumps(size)[:80]}; write "size": {{"height": N, "width": '
            "N}, both in pixels, as in the base model's"
        )
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
