"""What lies between the matrix products of a layer: kernels of our own on a GPU, PyTorch's operations elsewhere."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from vlmprobe.families.worker.contract import LoadOptions
from vlmprobe.families.worker.qwen.family import Qwen25
from vlmprobe.families.worker.qwen.fused_layers import Plain, operations_for

from ...conftest import CHECKPOINTS

if TYPE_CHECKING:
    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU and Triton")
EPS = 1e-6
#: Of one rounding in each format; the sum before a norm is rounded, too.
CLOSE = {torch.bfloat16: 4e-3, torch.float32: 1e-6}


def error(found: Tensor, exact: Tensor) -> float:
    """Return |found - exact| / |exact|."""
    return float((found.double() - exact).norm() / exact.norm())


@needs_a_gpu
@pytest.mark.parametrize("dtype", list(CLOSE))
@pytest.mark.parametrize(
    ("dim", "inner", "n_heads", "n_kv", "head_dim", "biased"),
    [(2048, 11008, 16, 2, 128, False), (1280, 3456, 16, 16, 80, True), (48, 72, 3, 1, 16, True)],
    ids=["decoder of 3B", "vision tower", "odd sizes"],
)
def test_each_kernel_computes_what_pytorch_does_in_float64(
    dtype: torch.dtype, dim: int, inner: int, n_heads: int, n_kv: int, head_dim: int, biased: bool
) -> None:
    """Sizes that are no power of two, and a tower whose products have biases."""
    from vlmprobe.families.worker.qwen.kernels import Kernels

    random = torch.Generator(device="cuda").manual_seed(0)

    def draw(*shape: int, of: Any = dtype) -> Tensor:
        return torch.randn(*shape, device="cuda", generator=random).to(of)

    def wide(x: Tensor | None) -> Any:
        return None if x is None else x.double()

    ours, plain, tokens = Kernels(), Plain(), 301
    x, y, weight, norm = draw(tokens, dim), draw(tokens, dim), draw(dim, dim) / dim**0.5, draw(dim)
    bias = draw(dim) if biased else None
    made, gate_up = draw(tokens, n_heads + 2 * n_kv, head_dim), draw(tokens, 2 * inner)
    cos, sin = draw(tokens, head_dim, of=torch.float32), draw(tokens, head_dim, of=torch.float32)
    with torch.inference_mode():
        exact = plain.add(wide(x), wide(y), wide(weight), wide(bias))
        total, normed = ours.add_and_norm(x.clone(), y, weight, bias, norm, EPS)
        errors = [
            error(ours.norm(x, norm, EPS), plain.norm(wide(x), wide(norm), EPS)),
            error(total, exact),
            error(normed, plain.norm(total.double(), wide(norm), EPS)),
            error(ours.add(x.clone(), y, weight, bias), exact),
            error(ours.gate(gate_up), plain.gate(wide(gate_up))),
        ]
        turned = plain.rotate(wide(made), cos.double(), sin.double(), n_heads, n_kv)
        errors += [
            error(*each)
            for each in zip(ours.rotate(made.clone(), cos, sin, n_heads, n_kv), turned, strict=True)
        ]
    assert max(errors) < CLOSE[dtype], errors


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="Triton is here")
def test_without_triton_the_layers_run_all_the_same_and_the_manifest_says_why() -> None:
    """As with PyTorch for CPUs, or with no compiler."""
    operations, state = operations_for(torch.device("cpu"), torch.float32, None, wanted=True)
    assert isinstance(operations, Plain)
    assert state == "off: No module named 'triton'"


def test_nothing_is_compiled_on_a_cpu() -> None:
    """A CPU moves values through its caches, and needs no kernels of ours."""
    model = Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m")))
    assert model.info.manifest["compiled"] == "off"


def test_plain_forwards_of_one_shape_may_be_joined(items: list[BatchItem]) -> None:
    """As on a GPU, which would wait for the processor between the small kernels of one question."""
    model = Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m")))
    alone = model.run_plain(items)
    calls: list[int] = []
    of_one = model.plain_answers

    def counted(inputs: dict[str, Any]) -> Any:
        calls.append(len(inputs["input_ids"]))
        return of_one(inputs)

    model.plain_answers = counted  # type: ignore[method-assign]
    model.is_joining = True
    joined = model.run_plain(items)
    assert max(calls) > 1
    assert sum(calls) == 2 * len(items)
    assert joined.texts == alone.texts
    np.testing.assert_allclose(joined.margins, alone.margins, atol=1e-3)
    difference = np.linalg.norm(joined.states - alone.states, axis=-1)
    assert np.max(difference / np.linalg.norm(alone.states, axis=-1)) < 1e-5
