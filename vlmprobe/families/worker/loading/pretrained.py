"""Loads a transformers model from a folder or a hub id; errors explain in one line what is wrong."""

from __future__ import annotations

import pickle
import re
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.environment.packages import how_to_get, lost_package
from vlmprobe.families.worker.environment.versions import (
    config_in_older_form,
    dtype_argument,
    transformers_version,
)
from vlmprobe.families.worker.faults import Fault, ModelFault, PackageFault, first_line, one_line
from vlmprobe.families.worker.loading.config_parts import attention_named, check_config, without_attention
from vlmprobe.families.worker.loading.devices import on_its_device, pick_device, pick_dtype
from vlmprobe.families.worker.loading.diagnosis import config_reason, damaged_file, not_the_file
from vlmprobe.families.worker.loading.places import is_local
from vlmprobe.families.worker.loading.reading import path_of, place_of, quiet, read_config, read_settings
from vlmprobe.families.worker.suspects import said_by
from vlmprobe.families.worker.weights.account import check_fit, keep_account
from vlmprobe.families.worker.weights.files import (
    ADAPTER_FILES,
    SETS,
    WeightFiles,
    find_weights,
    mapped_files,
    weight_names,
)
from vlmprobe.families.worker.weights.naming import check_headers, check_unique
from vlmprobe.families.worker.weights.numbers import check_tensors
from vlmprobe.families.worker.weights.tensors import check_shapes, shapes_in, wrapper_of
from vlmprobe.families.worker.weights.untrained import make_untrained

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from vlmprobe.families.worker.contract import LoadOptions
    from vlmprobe.families.worker.suspects import Configs

__all__ = ["load_model", "loading_faults"]


def load_model(
    model_class: Any, model_type: str | None, options: LoadOptions, *, own_code: bool = False
) -> Any:
    """Load a transformers model for inference.

    Args:
        model_class: the transformers class.
        model_type: what the checkpoint's config.json must call its architecture; None: whatever the class takes.
        options: the checkpoint, the device and the number format; with ``random_weights`` no weight file is read.
        own_code: whether this family runs Python files of a checkpoint, once the options allow it.

    Returns:
        The model, on its device; the account of its weights is kept with it.

    Raises:
        ModelFault: no such folder, no or damaged config or weights, an adapter, two sets of weights, weights that do
            not fill the model or hold more than it has, another architecture, or too little memory on the device.
        UsageFault: there is no such device or number format.
        PackageFault: loading it needs a package that is not installed.
    """
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    source, revision = options.checkpoint, options.revision
    config = read_config(source, revision, model_type)
    trusted = own_code and options.trust_remote_code
    check_config(source, config, trusted=trusted)
    # transformers would ignore a damaged one, and the answers' end with it.
    read_settings(source, "generation_config.json", revision)
    if options.random_weights is not None:
        return _untrained(model_class, config, options, dtype, device, trusted=trusted)
    local = is_local(source)
    files = find_weights(Path(source).expanduser()) if local else None
    if files is not None:
        check_tensors(Path(source).expanduser(), files.names)
    if not local:
        _refuse_adapter_of_hub(source, revision)
    with quiet(), loading_faults(source, device, {"config.json": config}):
        argument = _config_argument(model_class, config, source, revision, trusted=trusted)
        draft = None if files is None or trusted else _draft(model_class, argument, config)
        if files is not None and draft is not None:
            check_headers(source, draft, Path(source).expanduser(), files.names, config)

        def load(prefix: str) -> tuple[Any, dict[str, Any]]:
            loaded: tuple[Any, dict[str, Any]] = model_class.from_pretrained(
                place_of(source),
                revision=revision,
                output_loading_info=True,
                # Tensors of another shape are then named in the report, and refused below.
                ignore_mismatched_sizes=True,
                **dtype_argument(dtype),
                **argument,
                **({"key_mapping": {f"^{re.escape(prefix)}": ""}} if prefix else {}),
                **({"trust_remote_code": True} if trusted else {}),
            )
            return loaded

        prefix = ""
        model, report = load(prefix)
        if report["missing_keys"] and transformers_version() >= (5, 0):
            prefix = wrapper_of(report["unexpected_keys"])
            if prefix:
                model, report = load(prefix)
        if files is not None and draft is None:
            check_unique(source, model, weight_names(Path(source).expanduser()))
        fit = check_fit(
            source,
            model,
            missing=report["missing_keys"],
            unexpected=report["unexpected_keys"],
            mismatched=report["mismatched_keys"],
        )
        keep_account(
            model,
            files or _files_of_hub(source, revision),
            [fit],
            architectures=config.get("architectures") or (),
            removed_prefix=prefix,
        )
        return _ready(model, config, device)


def _untrained(
    model_class: Any,
    config: dict[str, Any],
    options: LoadOptions,
    dtype: torch.dtype,
    device: torch.device,
    *,
    trusted: bool,
) -> Any:
    """Return the model that a checkpoint's config describes, with random weights."""
    from transformers import AutoConfig

    source, revision, seed = options.checkpoint, options.revision, options.random_weights
    assert seed is not None  # noqa: S101  (the caller looked)
    with quiet(), loading_faults(source, device, {"config.json": config}):
        argument = _config_argument(model_class, config, source, revision, trusted=trusted)
        config_class = getattr(model_class, "config_class", None) or AutoConfig
        described = argument.get("config") or config_class.from_pretrained(
            place_of(source), revision=revision, **({"trust_remote_code": True} if trusted else {})
        )
        model = make_untrained(
            model_class,
            described,
            dtype,
            seed,
            architectures=config.get("architectures") or (),
            trusted=trusted,
        )
        _take_generation_settings(model, source, revision)
        return _ready(model, config, device)


def _take_generation_settings(model: Any, source: str, revision: str | None) -> None:
    """Let answers end, and be penalized, as the checkpoint says: else the control would have other settings."""
    from transformers import GenerationConfig

    can_generate = getattr(model, "can_generate", None)
    if can_generate is None or not can_generate():
        return
    if path_of(source, "generation_config.json", revision) is not None:
        model.generation_config = GenerationConfig.from_pretrained(
            place_of(source), revision=revision or "main"
        )


def _ready(model: Any, config: dict[str, Any], device: torch.device) -> Any:
    model.vlmprobe_attention = attention_named(config)
    return on_its_device(model, device).eval().requires_grad_(requires_grad=False)


@contextmanager
def loading_faults(source: str, device: torch.device, configs: Configs | None = None) -> Iterator[None]:
    """Turn any error while a model is made and its weights are loaded into one line.

    Args:
        source: the checkpoint.
        device: where the model goes.
        configs: what the model is made of, to find the key that an error is about.

    Raises:
        ModelFault: a file is damaged or does not fit the model, or the device has too little memory.
        PackageFault: a package that it needs is not installed.
    """
    from safetensors import SafetensorError

    try:
        yield
    except Fault:
        raise
    except ImportError as error:
        package = lost_package(error)
        what = (
            f"the package {package!r}, which is not installed; {how_to_get(package)}"
            if package
            else one_line(error)
        )
        raise PackageFault(f"{source}: loading it needs {what}") from error
    except SafetensorError as error:
        raise ModelFault(damaged_file(source, "*.safetensors", first_line(error))) from error
    except pickle.UnpicklingError as error:
        _refuse_other_files(source, error)
        # torch's own message recommends loading such a file anyway.
        raise ModelFault(
            f"{source}: a weight file holds more than tensors; that could run code, so it is not unpickled; "
            "save only the weights, as safetensors"
        ) from error
    # Which exceptions a damaged checkpoint or its own code raises changes with every version of transformers.
    except Exception as error:
        if "out of memory" in str(error):
            raise ModelFault(
                f"{source}: the model does not fit in the memory of {device}; free memory or use another "
                "device"
            ) from error
        if isinstance(error, OSError) and "from_tf=True" in str(error):
            _refuse_other_files(source, error)
            # The error of transformers 4 for a pickle that it must not load.
            raise ModelFault(
                f"{source}: a weight file is damaged or holds more than tensors (only tensors are "
                "unpickled); save the model as safetensors"
            ) from error
        check_shapes(source, shapes_in(str(error)))
        if type(error).__module__.startswith("jinja2") or "chat_template" in str(error):
            part = "llm/" if "llm/config.json" in (configs or {}) else ""
            raise ModelFault(
                f"{source}: {part}tokenizer_config.json has no usable chat_template ({said_by(error)}); copy the base "
                "model's"
            ) from error
        reason = None if "StrictDataclass" in type(error).__name__ else config_reason(configs or {}, error)
        raise ModelFault(f"{source}: {reason or _reason(error)}") from error


def _refuse_other_files(source: str, error: Exception) -> None:
    """Raise for a weight file that is not even damaged, but something else."""
    for path in sorted(Path(source).expanduser().glob("*.bin")) if is_local(source) else ():
        other = not_the_file(path)
        if other is not None:
            raise ModelFault(f"{source}: {path.name} {other}") from error


def _config_argument(
    model_class: Any, config: dict[str, Any], source: str, revision: str | None, *, trusted: bool
) -> dict[str, Any]:
    """Return the config to pass where the one in the folder is not taken as it is; else nothing."""
    changed = config_in_older_form(config)
    plain = without_attention(config if changed is None else changed)
    if changed is None and plain == config:
        return {}
    config_class = getattr(model_class, "config_class", None) or _config_class(config)
    if trusted and config.get("auto_map"):
        from transformers import AutoConfig

        own = AutoConfig.from_pretrained(place_of(source), revision=revision, trust_remote_code=True)
        config_class = type(own)
    return {} if config_class is None else {"config": config_class.from_dict(plain)}


def _draft(model_class: Any, argument: dict[str, Any], config: dict[str, Any]) -> Any:
    """Return the model that a config describes, without memory for its weights; None if none can be made of it."""
    import torch

    config_class = getattr(model_class, "config_class", None) or _config_class(config)
    try:
        described = argument.get("config") or config_class.from_dict(deepcopy(config))
        with torch.device("meta"):
            return (getattr(model_class, "from_config", None) or model_class._from_config)(
                deepcopy(described)
            )
    # Whatever it is, loading the model says it.
    except Exception:  # noqa: BLE001
        return None


def _config_class(config: dict[str, Any]) -> Any:
    """Return the class that reads a config; None if this version does not support its architecture."""
    from transformers import CONFIG_MAPPING

    try:
        return CONFIG_MAPPING[config.get("model_type")]
    except KeyError:
        return None


def _refuse_adapter_of_hub(source: str, revision: str | None) -> None:
    """Raise for a repository with an adapter, which transformers applies only where peft is installed."""
    if path_of(source, ADAPTER_FILES[0], revision) is not None:
        raise ModelFault(
            f"{source}: this repository holds an adapter ({ADAPTER_FILES[0]}); merge it into its base model and pass "
            "the merged model's folder"
        )


def _files_of_hub(source: str, revision: str | None) -> WeightFiles:
    """Return the files that transformers read from a repository: the first of the sets that is there."""
    for name in SETS:
        found = path_of(source, name, revision)
        if found is not None:
            return WeightFiles(mapped_files(Path(found)) if name.endswith(".json") else (name,))
    return WeightFiles(())


def _reason(error: Exception) -> str:
    """Return the first line of an error; for a config that fails validation, also the line with the value."""
    if "StrictDataclass" in type(error).__name__:
        return f"config.json: {one_line(error, most=300)}; compare it with the base model's, or copy it again"
    plain = isinstance(error, (OSError, RuntimeError, ValueError, EOFError))
    said = first_line(error) if plain else f"{type(error).__name__}: {first_line(error)}"
    return f"cannot load the model: {said}; compare its files with those of the base model, or copy it again"
