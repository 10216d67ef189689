"""A good checkpoint's folder, and what can be done to it: the mutations that tests of every family share."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    #: Changes one thing in a checkpoint's folder.
    Change = Callable[[Path], object]

__all__ = [
    "PAGE",
    "POINTER",
    "WEIGHTS",
    "above",
    "added",
    "dangling",
    "link",
    "prefixed",
    "settings",
    "text",
    "weights",
    "without",
    "write",
]

WEIGHTS = "model.safetensors"


def link(folder: Path, source: Path) -> Path:
    """Make a checkpoint of links to the files of another."""
    folder.mkdir(parents=True)
    for place in source.iterdir():
        if place.is_dir():
            link(folder / place.name, place)
        else:
            (folder / place.name).symlink_to(place.resolve())
    return folder


def write(folder: Path, name: str, text: str | bytes) -> None:
    """Put a file in the place of a link."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


def text(name: str, content: str | bytes) -> Change:
    """Put a file in the place of another."""
    return lambda folder: write(folder, name, content)


def settings(file: str = "config.json", part: str = "", **values: object) -> Change:
    """Set keys of a JSON file, or of a part of it."""

    def change(folder: Path) -> None:
        said = json.loads((folder / file).read_text())
        (said[part] if part else said).update(values)
        write(folder, file, json.dumps(said))

    return change


def without(name: str) -> Change:
    """Remove a file, or a folder."""

    def change(folder: Path) -> None:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink()

    return change


def weights(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor] | None], file: str = WEIGHTS
) -> Change:
    """Change the tensors."""

    def rewrite(folder: Path) -> None:
        tensors = load_file(folder / file)
        changed = change(tensors) or tensors
        (folder / file).unlink()
        save_file(changed, folder / file, {"format": "pt"})

    return rewrite


def prefixed(prefix: str) -> Change:
    """Put a prefix before every name."""
    return weights(lambda tensors: {f"{prefix}{name}": tensor for name, tensor in tensors.items()})


def added(**tensors: int) -> Change:
    """Add tensors of so many numbers; two underscores stand for a dot."""
    return weights(
        lambda held: held | {name.replace("__", "."): torch.zeros(n) for name, n in tensors.items()}
    )


def above(*names: str, with_config: bool = False) -> Change:
    """Move the checkpoint into folders of its own, as a training's output has them."""

    def change(folder: Path) -> None:
        places = list(folder.iterdir())
        for name in names:
            (folder / name).mkdir(parents=True)
            for path in places:
                if path.is_dir():
                    link(folder / name / path.name, path)
                else:
                    (folder / name / path.name).symlink_to(path.resolve())
        for path in places:
            if not (with_config and path.name == "config.json"):
                without(path.name)(folder)

    return change


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:aaaa\nsize 3900000000\n"


def dangling(name: str) -> Change:
    """Let a link lead nowhere."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(folder / "blobs" / "gone")

    return change


PAGE = "<!DOCTYPE html><html><title>Sign in</title></html>" * 9
