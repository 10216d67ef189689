"""Small images, questions whose prompts differ in length, and the bundled tiny checkpoints."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import vlmprobe
from vlmprobe.families import BatchItem, registry

from .places import PlacesByName

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.families.pool import DevicePool

PLUGINS = Path(__file__).parent / "plugins"
CHECKPOINTS = Path(vlmprobe.__file__).parent / "demo" / "checkpoints"

QUESTIONS = [
    ("Is the cup to the left or right of the book?", "Is the book to the left or right of the cup?"),
    (
        "Is the enormous yellow triangle above or below the mug? Answer with only one word.",
        "Is the mug above or below the enormous yellow triangle? Answer with only one word.",
    ),
    ("Compared to the red circle, is X far or close?", "Compared to X, is the red circle far or close?"),
]
WORDS = [("left", "right"), ("above", "below"), ("far", "close")]
SIZES = [(140, 140), (84, 196), (224, 112), (56, 56)]


@pytest.fixture(scope="session", autouse=True)
def _few_threads():
    torch.set_num_threads(1)


def scene(seed: int, size: tuple[int, int]) -> Image.Image:
    """Draw two coloured boxes on grey."""
    random = np.random.default_rng(seed)
    pixels = np.full((size[1], size[0], 3), 200, np.uint8)
    pixels[5:30, 10:40] = random.integers(0, 255, 3)
    pixels[30:50, 20:50] = random.integers(0, 255, 3)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def items() -> list[BatchItem]:
    """Six pairs: images of four sizes, questions of many lengths, so that every row is padded differently."""
    return [
        BatchItem(
            pair_id=f"p{number}",
            image=scene(number, SIZES[number % 4]),
            questions=QUESTIONS[number % 3],
            answers=(WORDS[number % 3], WORDS[number % 3][::-1]),
        )
        for number in range(6)
    ]


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register plug-ins that misbehave as asked, in a package that vlmprobe's own Python has on its path."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    points = [
        EntryPoint("odd", "odd_family:Odd", registry.GROUP),
        EntryPoint("lacking", "odd_family:Lacking", registry.GROUP),
        EntryPoint("modern", "odd_family:Modern", registry.GROUP),
        EntryPoint("raising", "raising:Family", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda **_group: points)


def checkpoint_with(folder: Path, scale: str, **generation: object) -> Path:
    """Make a checkpoint whose weights are a bundled one's and whose generation config says more."""
    folder.mkdir(parents=True)
    for file in (CHECKPOINTS / scale).iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text(json.dumps(config | generation))
    return folder


@pytest.fixture
def places() -> PlacesByName:
    """No pool yet."""
    return PlacesByName()


@pytest.fixture
def both_places(places: PlacesByName, wait_until: Callable[..., None]) -> DevicePool:
    """Open a pool of places ``a`` and ``b``, once both are there."""
    made = places.pool("a", "b")
    wait_until(lambda: made.depth == 4)
    return made
