"""Layers that a checkpoint does not have are refused before anything is loaded, from its files alone."""

from __future__ import annotations

import json

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.families import check_layers

#: A checkpoint's files -> how many layers they name; None: they do not say.
FILES = {
    "at the top": ({"config.json": {"num_hidden_layers": 4}}, 4),
    "in a part": ({"config.json": {"text_config": {"num_hidden_layers": 4}}}, 4),
    "in NVILA's copy": ({"config.json": {"llm_cfg": {"num_hidden_layers": 4}}}, 4),
    "in NVILA's folder": ({"config.json": {}, "llm/config.json": {"num_hidden_layers": 4}}, 4),
    "in Molmo's YAML": ({"config.yaml": "model:\n  n_layers: 4\n  image_n_layers: 9\n"}, 4),
    "in YAML as JSON": ({"config.yaml": '{"model": {"n_layers": 4}}'}, 4),
    "in two places": ({"config.json": {"num_hidden_layers": 2, "text_config": {"num_hidden_layers": 4}}}, 4),
    "as a word": ({"config.json": {"num_hidden_layers": "four"}}, None),
    "below zero": ({"config.json": {"num_hidden_layers": -4}}, None),
    "in a list": ({"config.json": [4]}, None),
    "in no JSON": ({"config.json": "{"}, None),
    "nowhere": ({}, None),
}


@pytest.mark.parametrize("name", FILES)
def test_a_layer_beyond_the_last_is_refused(tmp_path, name):
    """The last layer passes; what no file says passes too, and loading the model tells."""
    files, n_layers = FILES[name]
    for file, said in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(said if isinstance(said, str) else json.dumps(said))
    check_layers(str(tmp_path), None)
    check_layers(str(tmp_path), (0, 3))
    if n_layers is None:
        check_layers(str(tmp_path), (99,))
        return
    with pytest.raises(
        UsageError, match=f"--layers: layer 4 does not exist; .* has layers 0 to {n_layers - 1}$"
    ):
        check_layers(str(tmp_path), (0, 4))


def test_a_hub_id_is_left_to_the_loader():
    """Nothing is downloaded to look."""
    check_layers("no-one/no-such-model", (99,))
