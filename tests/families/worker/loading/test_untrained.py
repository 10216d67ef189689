"""Random weights: the checkpoint's architecture as it is before any training, and nothing of its weights."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from vlmprobe.families import LoadOptions, compare
from vlmprobe.families.worker.qwen.family import Tiny

from ...conftest import CHECKPOINTS


def load(seed, *, checkpoint=CHECKPOINTS / "2m", **options):
    """Load the tiny architecture with random weights."""
    return Tiny.load(LoadOptions(str(checkpoint), random_weights=seed, **options))


@pytest.fixture(scope="module")
def untrained():
    """Initialize under seed 0."""
    return load(0)


def tensors(family):
    """Return the weights by their names."""
    return family.model.state_dict()


def test_the_weights_are_drawn_as_the_config_says(untrained):
    """Oracle: transformers' own class, made from the same config under the same seed; every number is equal."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig.from_pretrained(CHECKPOINTS / "2m")
    torch.manual_seed(0)
    expected = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.float32).state_dict()
    assert tensors(untrained).keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in tensors(untrained).items())
    spread = config.get_text_config().initializer_range
    layer = tensors(untrained)["model.language_model.layers.3.mlp.up_proj.weight"]
    assert float(layer.std()) == pytest.approx(spread, rel=0.05)


def test_a_seed_gives_the_same_weights_and_another_one_others(untrained):
    """The draws come from the seed alone, and the process's own generator is left where it was."""
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    again, other = tensors(load(0)), tensors(load(1))
    assert torch.equal(torch.random.get_rng_state(), before)
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(tensors(untrained)[name], again[name])
    assert not torch.equal(again[name], other[name])
    trained = tensors(Tiny.load(LoadOptions(str(CHECKPOINTS / "2m"))))
    assert trained.keys() == again.keys()
    assert not torch.equal(again[name], trained[name])


def test_no_weight_file_is_read(tmp_path):
    """A folder whose weights are damaged gives the same model; the real checkpoint is refused."""
    folder = tmp_path / "damaged"
    shutil.copytree(CHECKPOINTS / "2m", folder)
    for weights in folder.glob("*.safetensors"):
        weights.write_bytes(b"no tensors")
    made = load(0, checkpoint=folder)
    assert made.info.manifest["weights"]["files"] == []
    with pytest.raises(Exception, match="safetensors"):
        Tiny.load(LoadOptions(str(folder)))


def test_the_manifest_says_so(untrained):
    """The seed, a hash of the numbers, and a note for the reader; the rest is as in a real run."""
    manifest, real = untrained.info.manifest, Tiny.load(LoadOptions(str(CHECKPOINTS / "2m"))).info.manifest
    assert manifest["weights"]["random_weights"] == 0
    assert manifest["weights"]["values_sha256"] != load(1).info.manifest["weights"]["values_sha256"]
    assert "its weights are random" in manifest["notes"][0]
    same = (
        "architecture",
        "attention",
        "n_parameters",
        "dtype",
        "decoder_kernel",
        "vision_kernel",
        "layers_at",
    )
    assert {name: manifest[name] for name in same} == {name: real[name] for name in same}
    for key in ("logits_processors", "end_tokens"):
        assert manifest.get(key) == real.get(key)
    json.dumps(manifest)


def test_tied_layers_stay_tied(tmp_path):
    """Where the config ties the output to the embedding, both are one tensor."""
    folder = tmp_path / "tied"
    shutil.copytree(CHECKPOINTS / "2m", folder)
    config = json.loads((folder / "config.json").read_text())
    for part in (config, config.get("text_config", {})):
        part["tie_word_embeddings"] = True
    (folder / "config.json").write_text(json.dumps(config))
    model = load(0, checkpoint=folder).model
    assert model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_another_number_format_is_respected():
    """Every weight is bfloat16, also in the parts whose configs name another format."""
    family = load(0, dtype="bfloat16")
    assert {tensor.dtype for tensor in family.model.parameters()} == {torch.bfloat16}
    assert family.info.dtype == "bfloat16"


def test_the_fast_path_passes_its_certificate(untrained, items):
    """Shared prefixes and packed batches do not depend on what the weights are."""
    found = compare(untrained.run_batch(items), untrained.run_plain(items), untrained.info.layers)
    assert found.passed
    assert np.isfinite(untrained.run_batch(items).states).all()
