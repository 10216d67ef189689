"""The checkpoints that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vlmprobe.demo import DEMO_SCALES, checkpoint_folder
from vlmprobe.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_five_checkpoints_are_bundled() -> None:
    """Each scale has a folder with weights, configuration, tokenizer and image settings."""
    assert DEMO_SCALES == ("vanilla", "80k", "400k", "800k", "2m")
    for scale in DEMO_SCALES:
        folder = checkpoint_folder(scale)
        assert folder.name == scale
        assert (folder / "model.safetensors").stat().st_size > 7_000_000


def test_an_unknown_scale_lists_the_bundled_ones() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(UsageError, match="unknown demo scale '3m'; known: vanilla, 80k, 400k, 800k, 2m"):
        checkpoint_folder("3m")


def test_an_incomplete_installation_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Missing files are said here, not by a traceback from the model loader."""
    monkeypatch.setattr("vlmprobe.demo.checkpoints.__file__", str(tmp_path / "checkpoints.py"))
    with pytest.raises(ModelError, match=r"lacks chat_template.jinja, config.json.*; install vlmprobe again"):
        checkpoint_folder("2m")
