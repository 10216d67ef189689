"""One pair that the model refuses, states that are no numbers, answers that name nothing, weights that changed."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

import vlmprobe
from vlmprobe.errors import ModelError
from vlmprobe.extraction.inference import BatchResult
from vlmprobe.extraction.not_finite import check_first_batch, without_not_finite
from vlmprobe.extraction.same_model import check_same_model, prompt_notes
from vlmprobe.families import BatchOutput
from vlmprobe.store.answers_of_runs import UnnamedAnswers
from vlmprobe.study.notes import unnamed_line

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKPOINT = Path(vlmprobe.__file__).parent / "demo" / "checkpoints" / "2m"


@pytest.fixture
def extract(inside: Any, mlflow_store: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """Extract a checkpoint under a scale's name."""

    def run(scale: str, data: Path, checkpoint: Path = CHECKPOINT) -> Any:
        where = ("--checkpoint", checkpoint, "--data", data, "--home", tmp_path / "home", "--batch-size", 4)
        return inside("extract", "tiny", "--scale", scale, *where, **mlflow_store)

    return run


def changed(folder: Path, **tensors: Any) -> Path:
    """Copy the checkpoint; each named tensor (by its end) is what a function makes of it."""
    shutil.copytree(CHECKPOINT, folder)
    held = load_file(folder / "model.safetensors")
    for end, change in tensors.items():
        name = next(name for name in held if name.endswith(end.replace("__", ".")))
        held[name] = change(held[name])
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.full
def test_an_image_that_the_model_refuses_fails_its_pair_also_as_the_first(
    extract: Any, benchmark: Callable[[int], Path], rows: Any, tmp_path: Path
) -> None:
    """All others are answered, and the first batch is certified on those."""
    lines = benchmark(1).read_text().splitlines()
    head = lines[0].split("\t")
    thin = dict(zip(head, lines[1].split("\t"), strict=True))
    picture = io.BytesIO()
    Image.new("RGB", (1093, 5), (120, 100, 90)).save(picture, "PNG")
    thin |= {"index": "thin", "image": base64.b64encode(picture.getvalue()).decode()}
    data = tmp_path / "thin.tsv"
    data.write_text("\n".join([lines[0], "\t".join(thin[name] for name in head), *lines[1:]]) + "\n")
    ran = extract("2m", data).ok()
    assert "pair thin failed: ValueError: absolute aspect ratio must be smaller than 200" in ran.err
    assert "complete: 6 pairs extracted, 0 reused, 1 failed of 7" in ran.err
    assert rows(tmp_path / "home", "SELECT pair_id FROM failures") == [("thin",)]
    assert rows(tmp_path / "home", "SELECT min(batch), bool_and(passed) FROM certificates") == [(0, True)]
    (text,) = rows(tmp_path / "home", "SELECT config->>'$.first_prompt.text' FROM runs")[0]
    assert "left or right" in text


def test_a_run_that_stops_before_its_first_batch_is_failed(
    extract: Any, benchmark: Callable[[int], Path], rows: Any, tmp_path: Path
) -> None:
    """Here by a chat template that refuses only what the benchmark asks."""
    checkpoint = changed(tmp_path / "refusing")
    template = checkpoint / "chat_template.jinja"
    refuse = "{% if messages[0].content[1].text|length > 60 %}{{ raise_exception('Short questions only') }}{% endif %}"
    template.write_text(refuse + template.read_text())
    ran = extract("refusing", benchmark(1), checkpoint)
    assert ran.code == 2
    assert "chat_template.jinja cannot be used as a chat template (Short questions only); copy" in ran.err
    assert rows(tmp_path / "home", "SELECT status FROM runs") == [("failed",)]


def test_states_that_are_no_numbers_stop_a_run(
    extract: Any,
    benchmark: Callable[[int], Path],
    rows: Any,
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
) -> None:
    """The layer and the way out; nothing of it is complete or in a view."""

    def spoil(tensor: Any) -> Any:
        tensor[0, 0] = float("nan")
        return tensor

    checkpoint = changed(tmp_path / "nan", layers__3__mlp__down_proj__weight=spoil)
    ran = extract("nan", benchmark(1), checkpoint)
    assert ran.code == 2
    assert (
        "tiny @ nan: hidden states are not finite from layer 3 on, in all 4 pairs of the first batch (float32); "
        "its weights hold NaN, infinity or far too large numbers"
    ) in ran.err
    assert not [str(each.message) for each in recwarn if each.category is RuntimeWarning]
    assert rows(tmp_path / "home", "SELECT status FROM runs") == [("failed",)]
    assert rows(tmp_path / "home", "SELECT count(*) FROM accuracy") == [(0,)]


@pytest.mark.full
def test_notes_stand_where_a_reader_looks(
    extract: Any, inside: Any, benchmark: Callable[[int], Path], tmp_path: Path
) -> None:
    """Printed once, in the run's config, and among the runs."""
    checkpoint = changed(tmp_path / "odd")
    said = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**said, "architectures": ["QwenForGrasping"]}))
    ran = extract("odd", benchmark(1), checkpoint).ok()
    note = "its config names the class QwenForGrasping; it was run as Qwen2_5_VLForConditionalGeneration"
    assert f"tiny @ odd: {note}" in ran.err
    (listed,) = json.loads(inside("runs", "--json", "--home", tmp_path / "home").ok().out)
    assert (listed["notes"], listed["unnamed"]) == (note, 0)


def output(**changes: float) -> BatchOutput:
    """Return three pairs of three layers; ``p1__2`` sets a number of pair p1 at layer 2."""
    states = np.ones((3, 3, 2, 4), np.float32)
    for place, value in changes.items():
        states[int(place[4]), int(place[1]), 1, 0] = value
    return BatchOutput(("p0", "p1", "p2"), states, "float32", (("a", "b"),) * 3, np.zeros((3, 2)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pair_without_finite_states_is_a_failure(dtype: str) -> None:
    """With the first layer that has none, by its own number; the largest number of a format is finite."""
    whole = output(p0__2=3e38, p1__1=np.nan, p1__2=np.nan, p2__0=-np.inf)
    if dtype == "bfloat16":
        bits = (whole.states.view(np.uint32) >> 16).astype(np.uint16)
        whole = BatchOutput(whole.pair_ids, bits, "bfloat16", whole.texts, whole.margins)
    found = without_not_finite(BatchResult(whole, ()), (0, 5, 7))
    assert found.output is not None
    assert found.output.pair_ids == ("p0",)
    assert [(each.pair_id, each.error, each.message) for each in found.failures] == [
        ("p1", "NotFiniteError", "hidden states are not finite from layer 5 on"),
        ("p2", "NotFiniteError", "hidden states are not finite from layer 0 on"),
    ]
    check_first_batch("tiny @ 2m", found, dtype)


def test_half_precision_that_overflows_names_the_way_out() -> None:
    """Another format, not another checkpoint."""
    lost = without_not_finite(BatchResult(output(p0__1=np.inf, p1__1=np.inf, p2__1=np.nan), ()), (0, 1, 2))
    with pytest.raises(ModelError, match=r"layer 1 on, in all 3 pairs .* use --dtype bfloat16 or float32"):
        check_first_batch("tiny @ 2m", lost, "float16")


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ({}, None),
        ({"attention": "sdpa"}, None),
        ({"attention": "sdpa", "weights": {"files": ["a"], "tensors": 3}}, None),
        (
            {"attention": "flash_attention_2"},
            "began with the attention flash_attention_2, and would go on with sdpa",
        ),
        (
            {"weights": {"files": ["a"], "tensors": 2}},
            r"began with other weights \(tensors: 2, now 3\); restore them, or pass --new",
        ),
    ],
)
def test_a_run_goes_on_with_the_weights_that_it_began_with(before: Any, line: str | None) -> None:
    """Runs of earlier versions have no account to compare."""
    run: Any = SimpleNamespace(name="tiny @ 2m", run_id="r", config={"manifest": before})
    now = {"attention": "sdpa", "weights": {"files": ["a"], "tensors": 3, "rule": 1}}
    if line is None:
        check_same_model(run, now)
    else:
        with pytest.raises(ModelError, match=line):
            check_same_model(run, now)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("Is it left?<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("Is it left?", False),
    ],
)
def test_a_prompt_that_ends_in_thoughts_is_noted(text: str, *, noted: bool) -> None:
    """An opened block that is closed again is none."""
    assert bool(prompt_notes({"text": text})) == noted


def test_many_answers_that_name_nothing_are_shown() -> None:
    """Up to a fifth they are counted; beyond that accuracy means little."""
    assert unnamed_line(UnnamedAnswers(2, 10, ("a",))) == "2 of 10 answers name neither of their two options"
    assert unnamed_line(UnnamedAnswers(3, 10, ("!!!", "I cannot say"))) == (
        "3 of 10 answers name neither of their two options, so its accuracy means little; such as '!!!', 'I cannot say'"
    )
