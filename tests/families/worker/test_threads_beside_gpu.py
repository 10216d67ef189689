"""How many threads share an operation on a processor, beside a GPU's model. The GPU is a stand-in: none is needed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from vlmprobe.families.worker.wire import serve


@pytest.mark.parametrize(
    ("gpu", "said", "expected"),
    [(True, None, 4), (False, None, 16), (True, "16", 16)],
    ids=["beside a GPU few", "on the processors all", "as many as the user says"],
)
def test_a_model_on_a_gpu_leaves_the_processors_to_others(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, said: str | None, expected: int
) -> None:
    """Sixteen threads that copy and resize would hold up the one that starts the GPU's work."""
    threads = [16]
    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_initialized=lambda: gpu),
        get_num_threads=lambda: threads[-1],
        set_num_threads=threads.append,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    serve._limit_threads()
    assert threads[-1] == expected
