"""The account of a loaded checkpoint: what its weights and the model had in common, and what they did not.

Every run keeps it in its manifest (``weights``), with notes for the reader (``notes``). A run that is resumed compares
it with the one that it began with.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.weights.files import RULE, WeightFiles
from vlmprobe.families.worker.weights.numbers import check_tied
from vlmprobe.families.worker.weights.tensors import (
    check_last_layers,
    check_left_over,
    check_missing,
    check_shapes,
    harmless,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Fit", "account_of", "check_fit", "class_notes", "keep_account", "notes_of"]

#: Names of tensors that an account lists; it counts all of them.
_LISTED = 20


@dataclass(frozen=True)
class Fit:
    """What was left over when weights were compared with a module, all of it allowed."""

    left_over: tuple[str, ...]
    """Tensors of whole modules that the model does not have."""
    harmless: tuple[str, ...]
    """Tensors that change no number."""
    notes: tuple[str, ...]


def check_fit(
    source: str,
    module: Any,
    *,
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Iterable[tuple[str, Sequence[int], Sequence[int]]] = (),
    config: str = "config.json",
) -> Fit:
    """Check a loaded module against its weights.

    Args:
        source: the checkpoint, for messages.
        module: the module that was filled: a transformers model.
        missing: its tensors that the weights lack.
        unexpected: tensors of the weights that it lacks.
        mismatched: tensors with another shape: name, shape in the weights, shape in the model.
        config: the file that the module was built from.

    Raises:
        ModelFault: a tensor was made up, has another shape, or belongs in the module and was left out; or an output
            layer is its own although the config ties it.
    """
    lacking, extra = sorted(missing), sorted(unexpected)
    check_shapes(source, mismatched, config=config)
    check_last_layers(source, module.state_dict(keep_vars=True), lacking, extra, config=config)
    check_missing(source, lacking, extra, config=config)
    if _is_tied(module):
        check_tied(source, module)
    passed = harmless(extra, tied=_is_tied(module))
    left_over = [name for name in extra if name not in passed]
    whole = check_left_over(source, left_over, (name for name, _ in module.named_modules()), config=config)
    return Fit(tuple(left_over), tuple(sorted(passed)), tuple(_module_notes(whole, type(module).__name__)))


def keep_account(
    model: Any,
    files: WeightFiles,
    fits: Sequence[Fit] = (),
    *,
    architectures: Any = (),
    removed_prefix: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Keep with a model the account of its weights, which :func:`check_fit` let pass.

    Args:
        model: the loaded model.
        files: what was read.
        fits: what was left over, for each part of the model.
        architectures: the classes that its config names.
        removed_prefix: what was taken from the beginning of each name in the weights.
        notes: what else a reader has to know.
    """
    tensors: dict[str, Any] = model.state_dict(keep_vars=True)
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(f"{name}\0{list(tensors[name].shape)}\n".encode())
    left_over = [name for fit in fits for name in fit.left_over]
    passed = [name for fit in fits for name in fit.harmless]
    model.vlmprobe_account = {
        "rule": RULE,
        "files": list(files.names),
        "files_not_read": list(files.not_read),
        "tensors": len(tensors),
        "tensors_sha256": total.hexdigest(),
        # A tensor that is made up or has another shape is refused, so that no run has one.
        "made_up": 0,
        "other_shape": 0,
        "left_over": len(left_over),
        "left_over_names": left_over[:_LISTED],
        "harmless": len(passed),
        "harmless_names": passed[:_LISTED],
        "removed_prefix": removed_prefix,
    }
    model.vlmprobe_notes = [
        *(note for fit in fits for note in fit.notes),
        *notes,
        *class_notes(architectures, type(model).__name__),
        *_file_notes(files),
        *_prefix_notes(removed_prefix),
    ]


def class_notes(architectures: Any, ours: str) -> list[str]:
    """Return a note where a config names other classes than the one that was run.

    Args:
        architectures: what the config says: a list of names, as a rule.
        ours: the name of the class that was run.
    """
    named = architectures if isinstance(architectures, list) else [architectures] if architectures else []
    if not named or ours in named:
        return []
    return [f"its config names the class {', '.join(map(str, named))}; it was run as {ours}"]


def account_of(model: Any) -> dict[str, Any] | None:
    """Return the account that is kept with a model; None for one that a family loaded in its own way."""
    found: dict[str, Any] | None = getattr(model, "vlmprobe_account", None)
    return found


def notes_of(model: Any) -> list[str]:
    """Return what the reader of a model's numbers has to know about its weights."""
    return list(getattr(model, "vlmprobe_notes", ()))


def _is_tied(model: Any) -> bool:
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return any(bool(getattr(each, "tie_word_embeddings", False)) for each in (text, config))


def _module_notes(whole: Mapping[str, int], ours: str) -> list[str]:
    if not whole:
        return []
    named = ", ".join(f"{name} ({count} tensors)" for name, count in sorted(whole.items()))
    return [f"its weights hold modules that {ours} does not have, which no number contains: {named}"]


def _file_notes(files: WeightFiles) -> list[str]:
    if not files.not_read:
        return []
    return [f"weight files in its folder that were not read: {', '.join(files.not_read)}"]


def _prefix_notes(prefix: str) -> list[str]:
    return [f"the names of its weights began with {prefix!r}, which was removed"] if prefix else []
