"""A training small enough for a CPU: two hundred steps of a model with two layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vlmprobe.demo.training.config import TrainingConfig, read_config
from vlmprobe.demo.training.lessons import Prompts
from vlmprobe.demo.training.tokenizer import build_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

#: Images of 56 pixels, a model of two layers, a dozen steps: what is tested is the way there, not what is learnt.
TOY = """\
seed = 5

[scales]
some = 96
more = 192

[scenes]
image_size = 56
margin_x = 5.0
margin_y = 4.0

[model]
text_hidden = 64
text_layers = 2
text_mlp = 96
text_heads = 2
text_kv_heads = 1
vision_hidden = 32
vision_layers = 2
vision_mlp = 64
vision_heads = 1

[optimiser]
questions = 4

[vanilla]
images = 8
steps = 12
warm_up = 4

[fine_tuning]
images = 8
learning_rate = 3e-4
consistent_share = 0.95
warm_up = 2

[evaluation]
scenes = 6
"""


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a configuration file as a user would."""
    path = tmp_path_factory.mktemp("toy") / "toy.toml"
    path.write_text(TOY)
    return path


@pytest.fixture(scope="session")
def toy(toy_file: Path) -> TrainingConfig:
    """Read it."""
    return read_config(toy_file)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Grow the tokenizer once for all tests."""
    return build_tokenizer()


@pytest.fixture(scope="session")
def prompts(tokenizer: Tokenizer) -> Prompts:
    """Encode every prompt once for all tests."""
    return Prompts(tokenizer)
