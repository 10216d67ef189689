"""NVILA for the tests: the environment that its code wants, a clone of that code, tiny checkpoints made with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .model_code import model_code
from .older_environment import EnvironmentFailed, older_environment

__all__ = ["build_nvila", "nvila_environment", "nvila_settings"]

_SCRIPT = Path(__file__).with_name("nvila_checkpoint.py")


def nvila_environment() -> tuple[Path, Path]:
    """Return llava's Python and a clone of VILA; skip the test, saying why, where one cannot be had."""
    clone = model_code("vila")
    try:
        return older_environment("llava"), clone
    except EnvironmentFailed as error:
        pytest.skip(str(error))


def nvila_settings() -> str:
    """Return what a vlmprobe.toml says to run the family there."""
    python, clone = nvila_environment()
    return f'[families.nvila]\npython = "{python}"\npythonpath = ["{clone}"]\n'


def build_nvila(folder: Path, form: str = "llava", images: str = "dynamic") -> None:
    """Save a tiny random checkpoint: llava's form or the preview's, its images in tiles, scales or one size."""
    python, clone = nvila_environment()
    options = ["--form", form, "--images", images, "--vila", str(clone)]
    done = subprocess.run(
        [str(python), str(_SCRIPT), str(folder), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
