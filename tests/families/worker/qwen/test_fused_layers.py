"""What is compiled for a GPU does not depend on which batch came first, nor on what ran fastest.

No GPU is needed: the real ``torch.compile`` is asked, and what it would hand to a compiler is looked at instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch._inductor import config as inductor

from vlmprobe.families.worker.contract import LoadOptions
from vlmprobe.families.worker.qwen.family import Qwen25
from vlmprobe.families.worker.qwen.fused_layers import Compiled

from ...conftest import CHECKPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem


def scaled(x: Tensor, y: Tensor, weight: Tensor, factor: float) -> Tensor:
    """Stand for what lies between two attentions."""
    return torch.addmm(x, y, weight) * factor


@dataclass(frozen=True, slots=True)
class Made:
    """What something was compiled by."""

    length: int
    deterministic: bool | None


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Made]]:
    """Return what was compiled."""
    seen: list[Made] = []

    def backend(graph: Any, inputs: list[Any]) -> Callable[..., Any]:
        (length,) = {each.node.hint for each in inputs if isinstance(each, torch.SymInt)}
        seen.append(Made(length, getattr(inductor, "deterministic", None)))
        run: Callable[..., Any] = graph.forward
        return run

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    yield seen
    torch._dynamo.reset()


@pytest.mark.parametrize("lengths", [(5, 300, 7), (300, 2, 5)])
def test_batches_of_any_length_run_what_was_compiled_for_one(
    lengths: tuple[int, ...], made: list[Made]
) -> None:
    """A run that goes on after a kill begins with another batch, and each of several GPUs with its own."""
    compiled, weight = Compiled(wanted=True), torch.randn(8, 8)
    with torch.inference_mode():
        for length in lengths:
            x, y = torch.randn(length, 8), torch.randn(length, 8)
            assert torch.equal(compiled(scaled, (x, y), weight, 2.0), scaled(x, y, weight, 2.0))
    assert [each.length for each in made] == [4096]
    assert compiled.state == "on"


def test_each_stack_of_layers_is_compiled_for_its_own_sizes(made: list[Made]) -> None:
    """A vision tower and a decoder, say: by the same length too."""
    compiled = Compiled(wanted=True)
    with torch.inference_mode():
        for inner, outer, factor in ((8, 8, 2.0), (16, 8, 2.0), (8, 16, 2.0), (8, 8, 3.0), (8, 8, 2.0)):
            x, y, weight = torch.randn(5, outer), torch.randn(5, inner), torch.randn(inner, outer)
            assert torch.equal(compiled(scaled, (x, y), weight, factor), scaled(x, y, weight, factor))
    assert [each.length for each in made] == 4 * [4096]


def test_no_batch_of_a_model_compiles_anything_again(made: list[Made], items: list[BatchItem]) -> None:
    """Before, between and after attention, of the vision tower and of the decoder: six, made by the first batch."""
    model = Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m")))
    model._compiled.state = "on"  # as on a GPU
    for n in (1, len(items), 2):
        model.run_batch(items[:n])
    assert [each.length for each in made] == 6 * [4096]
    assert model._compiled.state == "on"


@pytest.mark.skipif(not hasattr(inductor, "deterministic"), reason="this PyTorch always measures")
def test_no_measured_time_decides(made: list[Made]) -> None:
    """Else two processes add in different orders, each in the one that was faster there."""
    compiled = Compiled(wanted=True)
    for dim in (8, 16):
        compiled(scaled, (torch.randn(5, dim), torch.randn(5, dim)), torch.randn(dim, dim), 2.0)
    assert [each.deterministic for each in made] == [True, True]


def test_nothing_is_compiled_where_that_is_not_wanted(made: list[Made]) -> None:
    """On a CPU, or with ``--no-compile``."""
    Compiled(wanted=False)(scaled, (torch.randn(5, 8), torch.randn(5, 8)), torch.randn(8, 8), 2.0)
    assert made == []
