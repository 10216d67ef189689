"""Any image-text-to-text model: tiny random models of each architecture, the fast path against plain forwards."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vlmprobe.families import BatchItem, LoadOptions, compare
from vlmprobe.families.worker import ModelFault, UsageFault
from vlmprobe.families.worker.auto.family import Auto

from ....architectures import LAYERS, NATIVE
from ...conftest import CHECKPOINTS, checkpoint_with

#: The fast tier has those that differ most: rotary positions of three axes, tiles, a prefix language model.
QUICK = ("qwen2_vl", "llava_onevision", "paligemma")
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.full) for name in NATIVE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Build a checkpoint once."""
    built = {}

    def build(name):
        if name not in built:
            built[name] = tmp_path_factory.mktemp(name)
            NATIVE[name](built[name])
        return built[name]

    return build


@pytest.fixture(scope="module")
def load(folder):
    """Load an architecture's model once."""
    loaded = {}

    def model(name):
        if name not in loaded:
            loaded[name] = Auto.load(LoadOptions(str(folder(name))))
        return loaded[name]

    return model


@pytest.mark.parametrize("name", EACH)
def test_the_fast_path_is_the_plain_one(load, items, name):
    """Images of four sizes, prompts of many lengths: no state moves by more than 1e-5, no answer differs."""
    model = load(name)
    fast, plain = model.run_batch(items), model.run_plain(items)
    found = compare(fast, plain, model.info.layers)
    assert fast.states.shape == (LAYERS, 6, 2, 32)
    assert found.max_rel_dh <= 1e-5
    assert fast.texts == plain.texts
    np.testing.assert_allclose(fast.margins, plain.margins, atol=1e-4)


@pytest.mark.parametrize("name", EACH)
def test_the_deltas_are_no_rounding(load, items, name):
    """What the question changes is far above the tolerance, or the test above would show nothing."""
    states = load(name).run_batch(items[:2]).states
    ratio = np.linalg.norm(states[:, :, 1] - states[:, :, 0], axis=-1) / np.linalg.norm(
        states[:, :, 0], axis=-1
    )
    assert ratio[1:].min() > 1e-2


@pytest.mark.parametrize("name", EACH)
def test_the_output_layer_gives_the_models_own_logits(load, items, name):
    """Rows, times the gain, of the last layer's normed state: the right head and the right norm, whatever its class."""
    model = load(name)
    found = model.unembedding(["left", "right"])
    state = model.run_plain(items[:1]).states[-1, 0, 0]
    logits = model.plain_logits(model.plain_inputs(items[0].image, items[0].questions[0]))[0]
    ours = found.rows @ (state / np.sqrt(np.square(state).mean()) * found.gain)
    theirs = logits[list(found.tokens)].detach().numpy()
    np.testing.assert_allclose(ours - ours.mean(), theirs - theirs.mean(), atol=1e-3)


@pytest.mark.parametrize("name", EACH)
def test_only_a_prefix_language_model_shares_nothing(load, name):
    """PaliGemma's prompt tokens see what follows them: found out by trying, not by name."""
    manifest = load(name).info.manifest
    assert manifest["causal"] == manifest["shared_prefix"] == (name != "paligemma")


@pytest.mark.parametrize("name", EACH)
def test_each_image_is_prepared_once(load, items, name, monkeypatch):
    """Two questions of a pair, two pairs of an image: one image goes through the processor, where it can be shared."""
    model = load(name)
    seen = []
    process = model._process
    monkeypatch.setattr(
        model, "_process", lambda images, texts: seen.append(len(images)) or process(images, texts)
    )
    both = [items[0], BatchItem("again", items[0].image, items[1].questions, items[1].answers)]
    model.run_batch(both)
    assert seen == ([1] if name != "paligemma" else [4])


def test_the_bundled_checkpoint_gives_what_its_own_family_gives(items):
    """Qwen2.5-VL through auto and through qwen25: the same states up to rounding, the same answers."""
    from vlmprobe.families.worker.qwen.family import Qwen25

    options = LoadOptions(str(CHECKPOINTS / "2m"))
    ours, theirs = Auto.load(options).run_batch(items), Qwen25.load(options).run_batch(items)
    assert compare(ours, theirs, range(6)).max_rel_dh <= 1e-5
    assert ours.texts == theirs.texts


def test_the_manifest_says_what_was_found(load):
    """Where the layers are, how images are prepared, which kernel."""
    manifest = load("smolvlm").info.manifest
    assert manifest["layers_at"] == "model.text_model.layers"
    assert (manifest["image_backend"], manifest["model_type"]) == ("pil", "smolvlm")
    assert manifest["attention"] == "sdpa"
    json.dumps(manifest)


def test_molmo2s_images_are_prepared_with_or_without_torchvision(load):
    """Its image processor exists for torchvision alone; without it torch does the same."""
    from transformers.utils import is_torchvision_available

    backend = load("molmo2").info.manifest["image_backend"]
    assert backend == ("torchvision" if is_torchvision_available() else "torch")


def test_code_of_a_checkpoints_own_is_not_asked_for_what_transformers_has(tmp_path, folder):
    """Published Molmo2 checkpoints name such code in every file; nobody has to trust it."""
    source = folder("molmo2")
    said = {
        name: json.loads((source / name).read_text()) for name in ("processor_config.json", "config.json")
    }
    said["processor_config.json"]["auto_map"] = {"AutoProcessor": "mine.Processor"}
    said["config.json"]["auto_map"] = {"AutoModelForImageTextToText": "mine.Model"}
    changes = {name.replace(".", "__"): json.dumps(text) for name, text in said.items()}
    assert Auto.load(LoadOptions(_with(tmp_path, source, **changes))).info.n_layers == LAYERS


def test_the_first_prompt_is_on_record(load, items):
    """As the template writes it, and as the model gets it."""
    prompt = load("internvl").first_prompt(items[0])
    assert prompt["text"].startswith("<|im_start|>user\n<IMG_CONTEXT>Is the cup")
    assert len(prompt["token_ids"]) > len("Is the cup to the left or right of the book?")


def test_a_question_that_smuggles_in_an_image_token_is_refused(load, items):
    """It would shift the image's features."""
    question = "Is <|image_pad|> left or right?"
    with pytest.raises(ValueError, match="image"):
        load("qwen3_vl").run_batch([BatchItem("p", items[0].image, (question, question), items[0].answers)])


def test_a_selection_of_layers(folder):
    """Only these are kept; one that is not there is named."""
    assert Auto.load(LoadOptions(str(folder("gemma3")), layers=(2, 0))).info.layers == (0, 2)
    with pytest.raises(UsageFault, match="layer 3 does not exist; this model has layers 0 to 2"):
        Auto.load(LoadOptions(str(folder("gemma3")), layers=(3,)))


def _with(tmp_path, source, **changes):
    """Link a checkpoint's files, some left out (None) or written anew."""
    copy = tmp_path / "changed"
    copy.mkdir()
    names = {name.replace("__", "."): text for name, text in changes.items()}
    for file in source.iterdir():
        if file.name not in names:
            (copy / file.name).symlink_to(file)
    for name, text in names.items():
        if text is not None:
            (copy / name).write_text(text)
    return str(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__safetensors": None}, "no weights in this folder"),
        ({"chat_template__jinja": None}, r"no chat template \(chat_template.jinja\); .*--processor"),
        ({"config__json": None}, "no config.json in this folder"),
        (
            {"config__json": '{"model_type": "llama"}'},
            r"transformers \S+ has no image-text-to-text model 'llama'",
        ),
        (
            {
                "config__json": '{"model_type": "mine", "auto_map": {"AutoModelForImageTextToText": "mine.Model"}}'
            },
            "has its own Python code; review it, then pass --trust-remote-code",
        ),
        ({"preprocessor_config__json": "{"}, "preprocessor_config.json is not valid JSON"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, folder, changes, message):
    """What is wrong, and what to do."""
    with pytest.raises(ModelFault, match=message) as caught:
        Auto.load(LoadOptions(_with(tmp_path, folder("qwen2_vl"), **changes)))
    assert "\n" not in str(caught.value)


def test_a_wrong_layer_count_is_said_in_one_line(load, folder, monkeypatch):
    """Layers that the config does not know of are not probed."""
    from vlmprobe.families.worker.auto.decoder_search import find_decoder_layers

    model = load("gemma3").model
    monkeypatch.setattr(model.config.text_config, "num_hidden_layers", 5)
    with pytest.raises(ModelFault, match=r"c: found 3 decoder layers, but config.json says 5"):
        find_decoder_layers(model, "c")


def test_without_transformers_help_the_decoder_is_told_from_the_tower(load, monkeypatch):
    """A list of as many modules that is a language model's goes before a vision tower's."""
    from vlmprobe.families.worker.auto import decoder_search

    model = load("llava_onevision").model
    monkeypatch.setattr(decoder_search, "_decoder", lambda _model: None)
    monkeypatch.setattr(model.config.text_config, "num_hidden_layers", 2)
    with pytest.raises(ModelFault, match="this model has no list of that length"):
        decoder_search.find_decoder_layers(model, "c")
    monkeypatch.setattr(model.config.text_config, "num_hidden_layers", 3)
    layers, path = decoder_search.find_decoder_layers(model, "c")
    assert (len(layers), path) == (3, "model.language_model.layers")


def test_a_repetition_penalty_weighs_on_the_prompt_as_in_generate(tmp_path, items):
    """The checkpoint's own logits processors see the whole prompt, image tokens included."""
    checkpoint = checkpoint_with(tmp_path / "c", "2m", repetition_penalty=10.0)
    model = Auto.load(LoadOptions(str(checkpoint)))
    assert model.run_batch(items).texts == model.run_plain(items).texts
