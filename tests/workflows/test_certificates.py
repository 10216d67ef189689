"""What a run does with its certificates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.families import certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def in_half_precision(
    inside: Any, mlflow_store: dict[str, str], benchmark: Callable[..., Path], tmp_path: Path
) -> Callable[[], Any]:
    """Extract 2m in bfloat16, in three batches of eight pairs."""
    data = benchmark(4)

    def run() -> Any:
        command = ("extract", "tiny", "--scale", "2m", "--batch-size", 8, "--dtype", "bfloat16")
        return inside(*command, "--home", tmp_path / "home", "--data", data, **mlflow_store)

    return run


@pytest.mark.full
def test_float32_decides_where_two_ways_of_rounding_disagree(
    in_half_precision: Callable[[], Any], rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch is asked in float32 anyway; another is before it would be redone for too small a cosine."""
    every_second = partial(certificate.certified_batches, every=2)
    monkeypatch.setattr("vlmprobe.extraction.certification.certified_batches", every_second)
    monkeypatch.setattr(certificate, "MIN_MEDIAN_DELTA_COS", 1.01)

    ran = in_half_precision().ok()
    assert "redone" not in ran.err
    found = rows(
        tmp_path / "home",
        "SELECT batch, passed, delta_error / plain_delta_error FROM certificates ORDER BY 1",
    )
    assert [(batch, passed) for batch, passed, _ in found] == [(0, True), (2, True)]
    assert all(0 < ratio <= certificate.MAX_ERROR_RATIO for _, _, ratio in found)


@pytest.mark.full
def test_without_float32_a_cosine_too_small_has_the_batch_redone(
    in_half_precision: Callable[[], Any], rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that has no room for its copy in float32 goes the safe way."""
    monkeypatch.setattr("vlmprobe.extraction.loop.exact_output", lambda _promised: None)
    monkeypatch.setattr(certificate, "MIN_MEDIAN_DELTA_COS", 1.01)

    ran = in_half_precision().ok()
    assert "the fast path disagreed with plain forward passes at batch 0: 1 batches were redone" in ran.err
    (row,) = rows(tmp_path / "home", "SELECT passed, action, delta_error FROM certificates")
    assert row == (False, "redone plainly", None)
