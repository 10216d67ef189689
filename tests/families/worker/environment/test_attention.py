"""A vision tower's windows are read together, a length at a time, with transformers' own attention."""

from __future__ import annotations

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vlmprobe.families import LoadOptions
from vlmprobe.families.worker.environment.attention import sequences_together
from vlmprobe.families.worker.qwen.family import Tiny

from ...conftest import CHECKPOINTS, QUESTIONS, scene


@pytest.fixture
def calls(monkeypatch):
    """Return the shapes of the queries that transformers' own function gets from now on."""
    shapes = []
    own = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def counted(module, query, *rest, **more):
        shapes.append(tuple(query.shape))
        return own(module, query, *rest, **more)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "sdpa", counted)
    return shapes


@pytest.mark.parametrize("size", [(140, 140), (300, 180), (97, 411)])
def test_features_are_those_of_windows_one_by_one(calls, size):
    """With windows of several lengths at the image's edges, in a fraction of the calls."""
    family = Tiny.load(LoadOptions(str(CHECKPOINTS / "2m")))
    tower = family.model.model.visual
    # The demo's images are so small that its layers all see them whole.
    tower.fullatt_block_indexes = [1]
    inputs = family.plain_inputs(scene(1, size), QUESTIONS[0][0])
    pixels, grids = inputs["pixel_values"], inputs["image_grid_thw"]
    with torch.inference_mode():
        calls.clear()
        alone = tower(pixels, grid_thw=grids)
        n_alone = len(calls)
        calls.clear()
        with sequences_together(tower):
            together = tower(pixels, grid_thw=grids)
    torch.testing.assert_close(together.pooler_output, alone.pooler_output, rtol=1e-6, atol=1e-6)
    assert len(calls) < n_alone
    assert len(set(calls)) > 1
    assert tower.config._attn_implementation == "sdpa"


def test_another_attention_stays_as_it_is():
    """Which was chosen for a reason, such as a flash kernel that reads all windows in one call anyway."""
    family = Tiny.load(LoadOptions(str(CHECKPOINTS / "2m")))
    tower = family.model.model.visual
    tower.config._attn_implementation = "eager"
    with sequences_together(tower):
        assert tower.config._attn_implementation == "eager"
