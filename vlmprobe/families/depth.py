"""How many decoder layers a checkpoint's own files name, read in a moment and without PyTorch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import UsageError
from vlmprobe.families.worker.loading.places import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_layers"]

#: Where the settings of the language model stand in a config.json: at the top, or under one of these.
_PARTS = ("text_config", "llm_config", "language_config", "llm_cfg")
#: What a Molmo of its training code's form calls them.
_IN_YAML = re.compile(r"(?<!\w)n_layers\W{1,3}(\d+)")
#: A config is a few kB long.
_MOST_BYTES = 1_000_000


def check_layers(checkpoint: str, layers: tuple[int, ...] | None) -> None:
    """Check that a folder's model has the layers that are asked for, as far as its files say.

    Loading a model says it as well, but only after minutes, and when there is a run already.

    Args:
        checkpoint: a folder; nothing is known about a hub id.
        layers: decoder layers, counted from 0; None: all.

    Raises:
        UsageError: it has fewer; the message says how many.
    """
    if layers is None or not is_local(checkpoint):
        return
    # Files may contradict each other, which loading says; here, none of them has that many.
    n_layers = max(_named(Path(checkpoint).expanduser()), default=None)
    beyond = [layer for layer in layers if n_layers is not None and layer >= n_layers]
    if beyond and n_layers is not None:
        raise UsageError(
            f"--layers: layer {beyond[0]} does not exist; {checkpoint} has layers 0 to {n_layers - 1}"
        )


def _named(folder: Path) -> Iterator[int]:
    for name in ("config.json", "llm/config.json"):
        said = _settings(folder / name)
        for part in (said, *(said.get(key) for key in _PARTS)):
            value = part.get("num_hidden_layers") if isinstance(part, dict) else None
            if isinstance(value, int) and value > 0:
                yield value
    yield from map(int, _IN_YAML.findall(_text(folder / "config.yaml")))


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(path: Path) -> str:
    """Return a file's text, empty for what is none: loading the model says what is wrong with it."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
