"""Checkpoints that transformers 5 saved, as an older release reads them."""

from __future__ import annotations

import json

import pytest
import torch

from vlmprobe.families.worker import versions

from ..conftest import CHECKPOINTS

SAVED = json.loads((CHECKPOINTS / "2m" / "config.json").read_text())


@pytest.fixture
def older(monkeypatch):
    """Pretend to be transformers 4.57; tests/workflows/test_own_environment.py runs in the real one."""
    monkeypatch.setattr(versions, "_version", lambda: (4, 57))


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
    assert tokenizer.decode([SAVED["image_token_id"]], skip_special_tokens=True) == ""
