"""Qwen2.5-VL on the bundled tiny checkpoints: states, margins, batches and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vlmprobe.analysis.arrays import to_float32
from vlmprobe.families import BatchItem, LoadOptions, OutOfMemoryError, compare
from vlmprobe.families.worker import ModelFault, UsageFault
from vlmprobe.families.worker.auto.family import Auto
from vlmprobe.families.worker.engine.memory import reporting_full_memory
from vlmprobe.families.worker.qwen.family import Qwen25, Tiny

from ...conftest import CHECKPOINTS, checkpoint_with


@pytest.fixture(scope="module")
def model():
    """Load the best trained of the tiny checkpoints, float32."""
    return Tiny.load(LoadOptions(str(CHECKPOINTS / "2m")))


@pytest.fixture(scope="module")
def batch(model, items):
    """Run all six pairs at once."""
    return model.run_batch(items)


def test_what_was_loaded(model):
    """Six layers of 192 numbers."""
    assert (model.info.n_layers, model.info.layers, model.info.dim) == (6, (0, 1, 2, 3, 4, 5), 192)
    assert (model.info.dtype, model.info.device) == ("float32", "cpu")
    assert model.info.manifest["image_backend"] == "pil"
    assert model.info.manifest["layers_at"] == "model.language_model.layers"
    assert model.info.manifest["attention"] == "sdpa"
    assert model.info.manifest["n_parameters"] == 3_818_624
    json.dumps(model.info.manifest)


def test_a_batch_keeps_pairs_in_order(batch, items):
    """(layers, pairs, sides, dim), with one text and one margin per side."""
    assert batch.pair_ids == tuple(item.pair_id for item in items)
    assert batch.states.shape == (6, 6, 2, 192)
    assert batch.states.dtype == np.float32
    assert (len(batch.texts), batch.margins.shape) == (6, (6, 2))


def test_states_are_the_decoder_layers_outputs_before_the_final_norm(model, batch, items):
    """Against transformers' hidden_states of a plain forward, whose last entry is after the norm."""
    inputs = model.plain_inputs(items[1].image, items[1].questions[1])
    with torch.inference_mode():
        hidden = model.model(**inputs, output_hidden_states=True).hidden_states
        last = torch.from_numpy(batch.states[5, 1, 1])
        normed = model.model.model.language_model.norm(last)
    for layer in range(5):
        np.testing.assert_allclose(batch.states[layer, 1, 1], hidden[layer + 1][0, -1], rtol=0, atol=1e-4)
    torch.testing.assert_close(normed, hidden[6][0, -1], rtol=1e-4, atol=1e-4)
    assert (last - hidden[6][0, -1]).abs().max() > 0.1


@pytest.mark.parametrize("scale", ["80k", "2m"])
def test_the_batch_passes_its_certificate(scale, items):
    """Padding, shared images and positions change no state by more than 1e-5 of its length."""
    family = Qwen25.load(LoadOptions(str(CHECKPOINTS / scale)))
    found = compare(family.run_batch(items), family.run_plain(items), family.info.layers)
    assert found.passed
    assert found.max_rel_dh < 1e-5
    assert found.median_delta_cos > 0.9999


@pytest.mark.parametrize("size", [1, 4])
def test_the_size_of_a_batch_does_not_matter(model, batch, items, size):
    """One by one, four by four or all at once."""
    parts = [model.run_batch(items[start : start + size]) for start in range(0, len(items), size)]
    states = np.concatenate([part.states for part in parts], axis=1)
    size_of_h = np.linalg.norm(batch.states, axis=-1)
    assert (np.linalg.norm(states - batch.states, axis=-1) / size_of_h).max() < 1e-5
    assert sum((part.texts for part in parts), ()) == batch.texts


def test_the_same_batch_gives_the_same_bits(model, batch, items):
    """On one machine a repeated batch is equal, not only close."""
    np.testing.assert_array_equal(model.run_batch(items).states, batch.states)


def test_pairs_about_one_image_share_its_encoding(model, batch, items):
    """Two pairs that hold one image object: it is prepared once, and nothing else changes."""
    both = [items[0], BatchItem("again", items[0].image, items[1].questions, items[1].answers)]
    found = model.run_batch(both)
    np.testing.assert_allclose(found.states[:, 0], batch.states[:, 0], rtol=0, atol=1e-4)
    assert found.texts == model.run_plain(both).texts


def test_images_of_any_mode_are_read_as_rgb(model, items):
    """A palette image gives what its RGB version gives."""
    palette = items[0].image.convert("P")
    as_palette = BatchItem("p", palette, items[0].questions, items[0].answers)
    as_rgb = BatchItem("p", palette.convert("RGB"), items[0].questions, items[0].answers)
    np.testing.assert_array_equal(model.run_batch([as_palette]).states, model.run_batch([as_rgb]).states)


def test_a_selection_of_layers(batch, items):
    """Only these are kept; their values are the same."""
    family = Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m"), layers=(5, 0)))
    assert family.info.layers == (0, 5)
    np.testing.assert_array_equal(family.run_batch(items).states, batch.states[[0, 5]])


def test_bfloat16_states_are_bits(batch, items):
    """uint16 with half of a float32 each; close to the float32 run."""
    family = Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m"), dtype="bfloat16"))
    found = family.run_batch(items)
    assert (found.states.dtype, found.dtype, family.info.dtype) == (np.uint16, "bfloat16", "bfloat16")
    states = to_float32(found.states, found.dtype)
    cosine = (
        (states * batch.states).sum(-1)
        / np.linalg.norm(states, axis=-1)
        / np.linalg.norm(batch.states, axis=-1)
    )
    assert cosine.min() > 0.99
    assert family.run_plain(items[:1]).states.dtype == np.uint16


def test_the_margin_is_read_from_the_raw_logits(tmp_path, items):
    """In float64 from a plain forward, without the config's penalty; a bare space is no first token."""
    folder = checkpoint_with(tmp_path / "c", "2m", repetition_penalty=1.3)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    # Tokens of their own for the capitalised words, as a large vocabulary has them; not for Far and Close.
    for token, word in enumerate([" Left", " Right", " Above", " Below"], start=436):
        tokenizer["added_tokens"].append(
            tokenizer["added_tokens"][0] | {"id": token, "content": word, "special": False}
        )
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    family = Qwen25.load(LoadOptions(str(folder)))
    found, plain = family.run_batch(items), family.run_plain(items)
    tokens = {word: family.tokenizer.encode(word)[0] for word in ("left", "Left", " left", " Left", "right")}
    tokens |= {word: family.tokenizer.encode(word)[0] for word in ("Right", " right", " Right")}
    with torch.inference_mode():
        logits = family.model(**family.plain_inputs(items[0].image, items[0].questions[0])).logits[0, -1]
    p = np.exp(logits.numpy().astype(np.float64))
    expected = np.log(sum(p[token] for word, token in tokens.items() if word.strip().lower() == "left"))
    expected -= np.log(sum(p[token] for word, token in tokens.items() if word.strip().lower() == "right"))
    assert found.margins[0, 0] == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(found.margins, plain.margins, atol=1e-4)
    assert np.isfinite(found.margins).all()


def test_the_first_prompt_is_on_record(model, items):
    """As the template renders it, and as the model gets it: 140 x 140 pixels are 25 tokens."""
    prompt = model.first_prompt(items[0])
    assert prompt["text"].endswith(
        "<|vision_start|><|image_pad|><|vision_end|>Is the cup to the left or right of the book?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    image_token = model.model.config.image_token_id
    assert prompt["image_tokens"] == prompt["token_ids"].count(image_token) == 25
    assert prompt["image_grid_thw"] == [1, 10, 10]


def test_a_question_that_smuggles_in_an_image_token_is_refused(model, items):
    """It would shift the image's features."""
    question = "Is <|image_pad|> left or right?"
    with pytest.raises(ValueError, match="image placeholder 2 times, not once"):
        model.run_batch([BatchItem("p", items[0].image, (question, question), items[0].answers)])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_full_device_is_told_from_other_errors(model, items, monkeypatch, error):
    """Whoever runs the batches can then take a smaller one."""

    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(model, "_features", fail)
    with pytest.raises(OutOfMemoryError):
        model.run_batch(items)


def test_another_error_of_the_device_passes_through():
    """Only a full memory asks for a smaller batch."""

    def fail():
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        reporting_full_memory(fail)


def broken(tmp_path, **changes):
    """Copy a checkpoint, with some files removed (None) or overwritten."""
    folder = checkpoint_with(tmp_path / "broken", "2m")
    for name, content in changes.items():
        file = folder / name.replace("__", ".")
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config__json": None}, "no config.json in this folder; use a checkpoint"),
        ({"config__json": None, "adapter_config__json": b"{}"}, "it is an adapter; merge it into its base"),
        ({"config__json": b"{"}, "config.json is not valid JSON: "),
        ({"config__json": b'{"model_type": "llama"}'}, "this is a checkpoint of llama, not qwen2_5_vl"),
        ({"model__safetensors": None}, "no weights in this folder"),
        (
            {
                "model__safetensors": None,
                "model.safetensors.index__json": b'{"weight_map": {"a": "x-1.safetensors"}}',
            },
            "1 of 1 weight files are missing, such as x-1.safetensors",
        ),
        ({"model__safetensors": b"\x09\x00\x00"}, "model.safetensors is damaged"),
        ({"model__safetensors": b"\x02\0\0\0\0\0\0\0{}"}, "the weights lack .* tensors of the model"),
        ({"chat_template__jinja": None}, "no chat template .* pass --processor"),
        (
            {"tokenizer__json": None, "tokenizer_config__json": None},
            "its tokenizer does not have .* pass --processor",
        ),
        ({"preprocessor_config__json": None}, "cannot load its image processor"),
    ],
)
def test_a_broken_checkpoint_is_one_clear_line(tmp_path, changes, message):
    """What is wrong, and where."""
    with pytest.raises(ModelFault, match=message) as caught:
        Qwen25.load(LoadOptions(broken(tmp_path, **changes)))
    assert "\n" not in str(caught.value)
    assert "broken" in str(caught.value)


def test_a_truncated_weight_file_is_damaged(tmp_path):
    """A copy that stopped half-way."""
    weights = (CHECKPOINTS / "2m" / "model.safetensors").read_bytes()
    with pytest.raises(ModelFault, match=r"model.safetensors is damaged .*; copy the checkpoint again"):
        Qwen25.load(LoadOptions(broken(tmp_path, model__safetensors=weights[: len(weights) // 2])))


def test_weights_of_another_size_are_an_error(tmp_path):
    """A config that does not belong to the weights."""
    config = json.loads((CHECKPOINTS / "2m" / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 256
    line = r"down_proj.weight has shape \[192, 512\] in the weights but \[192, 256\] in the model \(\d+ more differ\)"
    with pytest.raises(ModelFault, match=line) as caught:
        Qwen25.load(LoadOptions(broken(tmp_path, config__json=json.dumps(config).encode())))
    assert "\n" not in str(caught.value)


def config_with(**changes):
    """Return the checkpoint's config.json with other values in its text or vision part; None takes one out."""
    config = json.loads((CHECKPOINTS / "2m" / "config.json").read_text())
    for name, value in changes.items():
        part, _, key = name.partition("__")
        config[part].pop(key)
        if value is not None:
            config[part][key] = value
    return json.dumps(config).encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"text_config__num_hidden_layers": 4, "text_config__layer_types": None},
            r"the weights have layers.4, but the model in its config ends at layers.3; use the config.json",
        ),
        (
            {"text_config__num_hidden_layers": 8, "text_config__layer_types": None},
            r"the weights end at layers.5, but its config describes a model with layers.6",
        ),
        ({"text_config__num_hidden_layers": 8}, r"config.json: .*num_hidden_layers"),
        (
            {"vision_config__depth": 3, "vision_config__fullatt_block_indexes": [0]},
            r"the weights have blocks.3, but the model in its config ends at blocks.2",
        ),
    ],
)
@pytest.mark.parametrize("family", [Qwen25, Auto])
def test_a_wrong_layer_count_is_one_clear_line(tmp_path, family, changes, message):
    """Too few would load without a word: a model is built from its config, and the other weights are left out."""
    with pytest.raises(ModelFault, match=message) as caught:
        family.load(LoadOptions(broken(tmp_path, config__json=config_with(**changes))))
    assert "\n" not in str(caught.value)


def test_a_pickle_of_more_than_tensors_is_refused(tmp_path):
    """What it would run is not run; the line does not say how to run it."""

    class Payload:
        def __reduce__(self):
            return print, ("ran",)

    file = tmp_path / "weights.bin"
    torch.save({"a": torch.zeros(1), "b": Payload()}, file)
    folder = broken(tmp_path, model__safetensors=None, pytorch_model__bin=file.read_bytes())
    with pytest.raises(ModelFault, match=r"a weight file holds more than tensors; .* it is not unpickled"):
        Qwen25.load(LoadOptions(folder))


@pytest.mark.parametrize(
    "config",
    [
        {"attn_implementation": "someone/kernel"},
        {"text_config": {"_attn_implementation": "someone/kernel:name"}},
    ],
    ids=["of the model", "of a part"],
)
def test_attention_code_of_a_hub_is_not_run_unasked(tmp_path, config):
    """A config that names it so is enough for transformers, which fetches and runs it and asks nobody."""
    written = json.loads((CHECKPOINTS / "2m" / "config.json").read_text())
    for key, value in config.items():
        written[key] = {**written[key], **value} if isinstance(value, dict) else value
    folder = broken(tmp_path, config__json=json.dumps(written).encode())
    with pytest.raises(ModelFault, match=r"config.json would download and run someone/kernel"):
        Qwen25.load(LoadOptions(folder))


def test_the_processor_may_come_from_elsewhere(tmp_path):
    """A fine-tuning that was saved without tokenizer uses the base model's."""
    folder = broken(tmp_path, tokenizer__json=None, chat_template__jinja=None, preprocessor_config__json=None)
    family = Qwen25.load(LoadOptions(folder, processor=str(CHECKPOINTS / "vanilla")))
    assert family.info.manifest["processor"].endswith("vanilla")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu9"}, "unknown device 'gpu9'; use auto, cpu, cuda or cuda:N"),
        ({"dtype": "int8"}, "unknown dtype 'int8'; known: auto, float32, bfloat16, float16"),
        ({"layers": (0, 6)}, "layer 6 does not exist; this model has layers 0 to 5"),
    ],
)
def test_a_wrong_option_lists_the_right_ones(options, message):
    """Before anything runs."""
    with pytest.raises(UsageFault, match=message):
        Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m"), **options))


def test_a_folder_that_is_not_there(tmp_path):
    """A path is never looked up on the hub."""
    with pytest.raises(ModelFault, match="no such folder; use a checkpoint folder or a hub id"):
        Qwen25.load(LoadOptions(str(tmp_path / "nowhere")))


def test_float32_is_float32_in_convolutions_too():
    """On a GPU PyTorch would round them to TF32, and an image's features would depend on the images beside it."""
    torch.backends.cudnn.allow_tf32 = True
    Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m"), dtype="float32"))
    assert torch.backends.cudnn.allow_tf32 is False


@pytest.mark.full
def test_half_precision_is_as_close_to_float32_as_plain_forwards(items):
    """It rounds less often than they do; float32 comes from a copy, and the model stays as it was."""
    from vlmprobe.families import compare

    half = Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m"), dtype="bfloat16"))
    fast, plain, exact = half.run_batch(items), half.run_plain(items), half.run_exact(items)
    assert exact.dtype == "float32"
    whole = Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m"), dtype="float32")).run_plain(items)
    np.testing.assert_array_equal(exact.states, whole.states)
    found = compare(fast, plain, half.info.layers, exact)
    assert found.passed
    assert 0 < found.delta_error <= 1.1 * found.plain_delta_error
    np.testing.assert_array_equal(half.run_batch(items).states, fast.states)


def test_float32_needs_no_copy_to_be_exact(model, items):
    """There is nothing to measure its rounding against."""
    assert model.run_exact(items) is None
