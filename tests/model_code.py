"""Where code that is not this project's is found, for the tests that run a model by it.

Two architectures bring their own code, not committed here. ``$VLMPROBE_MODEL_CODE``, else ``.cache/model-code``
of the checkout (which git ignores), is a folder with

    molmo/      a clone of https://github.com/allenai/molmo
    molmo-hf/   the .py files of https://huggingface.co/allenai/Molmo-7B-O-0924
    vila/       a clone of https://github.com/NVlabs/VILA

A test that needs one asks for it by name, and is skipped where it is not there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["model_code"]

_DEFAULT = Path(__file__).parents[1] / ".cache" / "model-code"
#: Name -> what to put there, and a file that says it is the right thing.
_KNOWN = {
    "molmo": ("a clone of https://github.com/allenai/molmo", "olmo/model.py"),
    "molmo-hf": (
        "modeling_molmo.py, config_molmo.py, preprocessing_molmo.py and image_preprocessing_molmo.py of "
        "https://huggingface.co/allenai/Molmo-7B-O-0924",
        "modeling_molmo.py",
    ),
    "vila": ("a clone of https://github.com/NVlabs/VILA", "llava/__init__.py"),
}


def model_code(name: str) -> Path:
    """Return the folder of somebody's model code; skip the test, saying what to put where, when it is not there."""
    what, witness = _KNOWN[name]
    folder = Path(os.environ.get("VLMPROBE_MODEL_CODE") or _DEFAULT) / name
    if not (folder / witness).is_file():
        pytest.skip(f"needs {what} in {folder}, or in $VLMPROBE_MODEL_CODE/{name}")
    return folder
