"""Loads the parts of a checkpoint from a folder or a hub id; errors explain in one line what is wrong."""

from __future__ import annotations

import json
import pickle
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import Fault, ModelFault, first_line, one_line
from vlmprobe.families.worker.loading.devices import pick_device, pick_dtype
from vlmprobe.families.worker.loading.places import is_local, local_folder
from vlmprobe.families.worker.loading.versions import (
    config_in_older_form,
    dtype_argument,
    tokenizer_in_older_form,
    with_own_size,
)
from vlmprobe.families.worker.loading.weights import check_last_layers, check_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from vlmprobe.families.worker.contract import LoadOptions

__all__ = [
    "load_image_processor",
    "load_model",
    "load_tokenizer",
    "loading_faults",
    "place_of",
    "quiet",
    "read_config",
    "read_text",
    "require_consent",
]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' notes and progress bars; what matters is raised as an error."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def require_consent(options: LoadOptions, what: str = "this checkpoint", where: str = "") -> None:
    """Raise unless the user allows Python code from a checkpoint to run.

    Raises:
        ModelFault: the user did not; the message says what brings code, and where.
    """
    if not options.trust_remote_code:
        raise ModelFault(
            f"{options.checkpoint}: {what} has its own Python code{where}; review it, then pass --trust-remote-code"
        )


def load_model(
    model_class: Any, model_type: str | None, options: LoadOptions, *, own_code: bool = False
) -> Any:
    """Load a transformers model for inference.

    Args:
        model_class: the transformers class.
        model_type: what the checkpoint's config.json must call its architecture; None: whatever the class takes.
        options: the checkpoint, the device and the number format.
        own_code: whether this family runs Python files of a checkpoint, once the options allow it.

    Raises:
        ModelFault: no such folder, no or damaged config or weights, weights that do not fill the model or have more
            layers than it, another architecture, or too little memory on the device.
        UsageFault: there is no such device or number format.
    """
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    source, revision = options.checkpoint, options.revision
    config = read_config(source, revision, model_type)
    trusted = own_code and options.trust_remote_code
    if not trusted:
        _refuse_foreign_code(source, config)
    if is_local(source):
        check_weights(Path(source).expanduser())
    with quiet(), loading_faults(source, device):
        model, report = model_class.from_pretrained(
            place_of(source),
            revision=revision,
            output_loading_info=True,
            **dtype_argument(dtype),
            **_older_config(model_class, config),
            **({"trust_remote_code": True} if trusted else {}),
        )
        missing = sorted(report["missing_keys"])
        tensors = model.state_dict(keep_vars=True)
        check_last_layers(source, tensors, missing, report["unexpected_keys"])
        if missing:
            raise ModelFault(
                f"{source}: the weights lack {len(missing)} tensors of the model, such as "
                f"{missing[0]}; use a full checkpoint, not an adapter"
            )
        return model.to(device).eval().requires_grad_(requires_grad=False)


@contextmanager
def loading_faults(source: str, device: torch.device) -> Iterator[None]:
    """Turn any error while weights are loaded into one line.

    Raises:
        ModelFault: a file is damaged or does not fit the model, or the device has too little memory.
        ImportError: a package is missing, which is not the checkpoint's fault.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (Fault, ImportError):
        raise
    except SafetensorError as error:
        raise ModelFault(
            f"{source}: a weight file is damaged ({first_line(error)}); copy the checkpoint again"
        ) from error
    except pickle.UnpicklingError as error:
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
            # The error of transformers 4 for a pickle that it must not load.
            raise ModelFault(
                f"{source}: a weight file is damaged or holds more than tensors (only tensors are "
                "unpickled); save the model as safetensors"
            ) from error
        raise ModelFault(f"{source}: cannot load the model: {_reason(error)}") from error


def load_tokenizer(options: LoadOptions, *, own_code: bool = False) -> Any:
    """Load a checkpoint's tokenizer; see :func:`load_model` for ``own_code``.

    Raises:
        ModelFault: there is none.
    """
    from transformers import AutoTokenizer

    source, revision = options.processor_place
    older = tokenizer_in_older_form(
        read_text(source, "tokenizer_config.json", revision), _path_of(source, "tokenizer.json", revision)
    )
    if older is not None:
        return older
    # Without this argument, transformers prompts on the terminal whether to run a checkpoint's code.
    trusted = own_code and options.trust_remote_code
    return _load_part(AutoTokenizer, "tokenizer", options, trust_remote_code=trusted)


def load_image_processor(processor_class: Any, options: LoadOptions) -> Any:
    """Load a checkpoint's image processor.

    Raises:
        ModelFault: there is none.
    """
    source, revision = options.processor_place
    images = _load_part(processor_class, "image processor", options)
    return with_own_size(images, json.loads(read_text(source, "preprocessor_config.json", revision) or "{}"))


def _older_config(model_class: Any, config: dict[str, Any]) -> dict[str, Any]:
    older = config_in_older_form(config)
    config_class = getattr(model_class, "config_class", None) or _config_class(config)
    return {} if older is None or config_class is None else {"config": config_class.from_dict(older)}


def _config_class(config: dict[str, Any]) -> Any:
    """Return the class that reads a config; None if this version does not support its architecture."""
    from transformers import CONFIG_MAPPING

    try:
        return CONFIG_MAPPING[config.get("model_type")]
    except KeyError:
        return None


def _refuse_foreign_code(source: str, config: Any) -> None:
    """Raise if a config names attention code on the hub: transformers would silently fetch and run it."""
    for key, value in config.items():
        if isinstance(value, dict):
            _refuse_foreign_code(source, value)
        elif "implementation" in key and isinstance(value, str) and "/" in value:
            raise ModelFault(
                f"{source}: config.json would download and run {value[:80]} ({key}); remove that line"
            )


def _load_part(part_class: Any, what: str, options: LoadOptions, **more: Any) -> Any:
    source, revision = options.processor_place
    if is_local(source) and not Path(source).expanduser().is_dir():
        raise ModelFault(f"{source}: no such folder; pass a checkpoint folder or a hub id with --processor")
    try:
        with quiet():
            return part_class.from_pretrained(place_of(source), revision=revision, **more)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFault(
            f"{source}: cannot load its {what} ({first_line(error)}); pass --processor with the base model's"
            " folder or id"
        ) from error


def read_config(source: str, revision: str | None, model_type: str | None = None) -> dict[str, Any]:
    """Return a checkpoint's config.json.

    Args:
        source: a folder or a hub id.
        revision: commit, branch or tag of a hub id.
        model_type: what it must call its architecture; None: anything.

    Raises:
        ModelFault: there is no such folder or no config.json, it is damaged, or of another architecture.
    """
    if is_local(source):
        folder = local_folder(source)
        if not (folder / "config.json").is_file():
            adapter = (folder / "adapter_config.json").is_file()
            hint = "it is an adapter; merge it into its base model first" if adapter else "use a checkpoint"
            raise ModelFault(f"{source}: no config.json in this folder; {hint}")
    try:
        found = json.loads(read_text(source, "config.json", revision, required=True) or "")
    except (ValueError, RecursionError) as error:
        raise ModelFault(f"{source}: config.json is not valid JSON: {first_line(error)}") from error
    config = found if isinstance(found, dict) else {}
    said = config.get("model_type")
    if model_type not in (None, said):
        raise ModelFault(
            f"{source}: this is a checkpoint of {said or 'an unknown architecture'}, not {model_type}; "
            "choose its family from 'vlmprobe families'"
        )
    return config


def read_text(source: str, name: str, revision: str | None, *, required: bool = False) -> str | None:
    """Return the text of a small file of the checkpoint; None if there is no such file."""
    path = _path_of(source, name, revision, required=required)
    try:
        return None if path is None else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFault(
            f"{source}: {name} cannot be read as UTF-8 text; copy the checkpoint again"
        ) from error


def _path_of(source: str, name: str, revision: str | None, *, required: bool = False) -> str | None:
    from transformers.utils import cached_file

    try:
        with quiet():
            path: str | None = cached_file(
                place_of(source),
                name,
                revision=revision,
                _raise_exceptions_for_missing_entries=required,
                _raise_exceptions_for_connection_errors=required,
            )
    except (OSError, ValueError) as error:
        raise ModelFault(
            f"{source!r} is neither a local checkpoint folder nor a reachable hub id: {first_line(error)}"
        ) from error
    return path


def place_of(source: str) -> str:
    """Return the name to pass to transformers: a folder's expanded path, or the hub id."""
    return str(Path(source).expanduser()) if is_local(source) else source


def _reason(error: Exception) -> str:
    """Return the first line of an error; for a config that fails validation, also the line with the value."""
    if "StrictDataclass" in type(error).__name__:
        return f"config.json: {one_line(error, most=300)}"
    plain = isinstance(error, (OSError, RuntimeError, ValueError, EOFError))
    return first_line(error) if plain else f"{type(error).__name__}: {first_line(error)}"
