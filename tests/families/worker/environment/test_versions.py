"""Checkpoints that transformers 5 saved, as an older release reads them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from vlmprobe.families.worker.environment import versions

from ...conftest import CHECKPOINTS

SAVED = json.loads((CHECKPOINTS / "2m" / "config.json").read_text())


@pytest.fixture
def older(monkeypatch):
    """Pretend to be transformers 4.57; tests/workflows/test_own_environment.py runs in the real one."""
    monkeypatch.setattr(versions, "transformers_version", lambda: (4, 57))


def test_rotary_settings_get_their_older_names(older):
    """Text settings at the top, as every release 4 reads them; the three sections under the published name."""
    form = versions.config_in_older_form(SAVED)
    assert (form["model_type"], form["num_hidden_layers"]) == ("qwen2_5_vl", 6)
    assert form["rope_theta"] == 10000.0
    assert form["rope_scaling"] == {"type": "mrope", "mrope_section": [4, 6, 6]}
    assert "text_config" not in form
    assert "rope_parameters" not in form


def test_plain_and_scaled_rotary_settings(older):
    """No scaling is none; another kind keeps its values."""
    plain = {"model_type": "qwen2", "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    assert versions.config_in_older_form(plain) == {
        "model_type": "qwen2",
        "rope_theta": 1e6,
        "rope_scaling": None,
    }
    scaled = {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}
    assert versions.config_in_older_form(scaled)["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}


def test_other_architectures_keep_their_text_settings_apart(older):
    """Only the first Qwen-VL models had them at the top; a part's own sections and scaling stay as they are."""
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    saved = {"model_type": "qwen3_vl", "text_config": {"hidden_size": 8, "rope_parameters": rope}}
    scaling = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    assert versions.config_in_older_form(saved) == {
        "model_type": "qwen3_vl",
        "text_config": {"hidden_size": 8, "rope_theta": 5e6, "rope_scaling": scaling},
    }


def test_layers_of_two_kinds_keep_their_two_bases(older):
    """Gemma's sliding layers had a name of their own."""
    rope = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    assert versions.config_in_older_form({"model_type": "gemma3_text", "rope_parameters": rope}) == {
        "model_type": "gemma3_text",
        "rope_theta": 1e6,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "rope_local_base_freq": 1e4,
    }


def test_an_image_processor_resizes_as_its_file_says():
    """Releases of 4 put a default in the place of a Qwen-VL's size; the older pair of names they read."""
    size = {"shortest_edge": 4096, "longest_edge": 16384}
    for said, expected in (
        ({"size": size}, (size, 4096, 16384)),
        ({"size": size, "min_pixels": 1}, ({}, 5, 6)),
        ({"size": {"height": 4, "width": 4}}, ({}, 5, 6)),
        ({}, ({}, 5, 6)),
    ):
        made = versions.with_own_size(SimpleNamespace(size={}, min_pixels=5, max_pixels=6), said)
        assert (made.size, made.min_pixels, made.max_pixels) == expected
    assert not hasattr(versions.with_own_size(SimpleNamespace(size=1), {"size": size}), "min_pixels")


def test_what_was_saved_by_an_older_release_is_left_alone(older):
    """Its config needs nothing."""
    assert versions.config_in_older_form({"rope_theta": 1e6, "hidden_size": 8}) is None


def test_this_release_reads_its_own_form():
    """Nothing is translated where nothing has to be."""
    assert versions.config_in_older_form(SAVED) is None
    assert (
        versions.tokenizer_in_older_form('{"tokenizer_class": "TokenizersBackend"}', "tokenizer.json") is None
    )
    assert versions.dtype_argument(torch.float32) == {"dtype": torch.float32}


def test_the_tokenizer_of_a_new_checkpoint_is_found(older):
    """Ids, special tokens and padding are those of the file."""
    folder = CHECKPOINTS / "2m"
    text = (folder / "tokenizer_config.json").read_text()
    tokenizer = versions.tokenizer_in_older_form(text, str(folder / "tokenizer.json"))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") == SAVED["image_token_id"]
    assert set(tokenizer("a")) == {"input_ids", "attention_mask"}
    assert tokenizer.decode([SAVED["image_token_id"]], skip_special_tokens=True) == ""
