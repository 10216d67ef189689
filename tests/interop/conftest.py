"""A small scale of the old layout, and the public reference implementation's own folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlmprobe.interop import AnsweredPair, QuadDeltas, ScaleData
from vlmprobe.pairs.axes import CLOSE, FAR, LEFT

GOLDEN = Path(__file__).parents[1] / "golden" / "molmo_400k"


def states(n, dim, seed=0):
    """Return (n, 2, dim) random float32 states."""
    return np.random.default_rng(seed).normal(size=(n, 2, dim)).astype(np.float32)


@pytest.fixture(scope="session")
def golden():
    """Return the folder that the public reference implementation wrote."""
    return GOLDEN


@pytest.fixture
def small():
    """Make three pairs, two layers of four dimensions, two quads."""
    return ScaleData(
        family="qwen25",
        scale="80k",
        pairs=(
            AnsweredPair("7", LEFT, "left", "right", correct_orig=True, correct_swap=True),
            AnsweredPair("3", FAR, "far, I think", "", correct_orig=True, correct_swap=False),
            AnsweredPair("12", CLOSE, "far", "close", correct_orig=False, correct_swap=False),
        ),
        layers={0: states(3, 4), 5: states(3, 4, seed=1)},
        quads=QuadDeltas(2, {5: (states(2, 4)[:, 0], states(2, 4)[:, 1])}),
    )
