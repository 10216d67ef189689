"""Weights that would load and give wrong numbers: integers, and an output layer that the config says is tied."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.weights.numbers import check_tensors, check_tied

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32, torch.bool, torch.float8_e4m3fn])
def test_a_parameter_that_is_no_float_is_refused(tmp_path: Path, kind: torch.dtype) -> None:
    """Loading would cast it, whatever scale it had."""
    tensors = {"a.weight": torch.zeros(2, 2), "b.weight": torch.zeros(2, 2).to(kind)}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelFault, match=r"model\.safetensors: b\.weight is of type .*before quantization"):
        check_tensors(tmp_path, ["model.safetensors"])


def test_floats_and_counters_pass(tmp_path: Path) -> None:
    """A counter is no parameter."""
    tensors = {
        f"{kind}.weight": torch.zeros(2, dtype=kind)
        for kind in (torch.float32, torch.float16, torch.bfloat16)
    }
    save_file({**tensors, "position_ids": torch.zeros(2, dtype=torch.int64)}, tmp_path / "model.safetensors")
    check_tensors(tmp_path, ["model.safetensors", "training.bin"])


def _model(head: torch.Tensor, table: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(
        get_output_embeddings=lambda: SimpleNamespace(weight=head),
        get_input_embeddings=lambda: SimpleNamespace(weight=table),
    )


def test_an_output_layer_of_its_own_is_refused_where_the_config_ties_it() -> None:
    """A copy of the embeddings is harmless; a model without such layers has nothing to check."""
    table = torch.arange(6.0).reshape(3, 2)
    check_tied("there", _model(table, table))
    check_tied("there", _model(table.clone(), table))
    check_tied("there", SimpleNamespace())
    with pytest.raises(
        ModelFault, match=r"there: its config ties the output layer .*tie_word_embeddings to false"
    ):
        check_tied("there", _model(table + 1, table))
