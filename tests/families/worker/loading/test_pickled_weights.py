"""Weights in torch's own two forms: the zip archive, and the older one that cannot be mapped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vlmprobe.families import LoadOptions, open_family

from ....odd_folders import link
from ...conftest import CHECKPOINTS


@pytest.mark.parametrize(
    ("family", "is_zip"),
    [
        pytest.param("qwen25", True, id="qwen25-zip"),
        pytest.param("auto", False, id="auto-old"),
        pytest.param("qwen25", False, id="qwen25-old", marks=pytest.mark.full),
        pytest.param("auto", True, id="auto-zip", marks=pytest.mark.full),
    ],
)
def test_states_are_those_of_safetensors(tmp_path, items, is_zip, family):
    """Bit for bit; nothing but tensors is unpickled."""
    folder = link(tmp_path / "pickled", CHECKPOINTS / "2m")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    states = []
    for checkpoint in (CHECKPOINTS / "2m", folder):
        with open_family(family).load(LoadOptions(str(checkpoint))) as model:
            states.append(model.run_batch(items[:1]).states)
    np.testing.assert_array_equal(*states)
