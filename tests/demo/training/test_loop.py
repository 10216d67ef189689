"""A whole training at toy size: what it leaves, that it can be stopped, and that what it leaves is what was trained."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vlmprobe.demo.taught import TAUGHT
from vlmprobe.demo.training.loop import RESULT_COLUMNS, train
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.demo.training.config import TrainingConfig
    from vlmprobe.demo.training.loop import Progress
    from vlmprobe.demo.training.state import ScaleResult

SCALES = ("vanilla", "some", "more")


@dataclass
class Heard:
    """A watcher that remembers, and may press Ctrl-C."""

    stop_at: tuple[str, int] | None = None
    begun: list[tuple[str, int, int]] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ended: list[str] = field(default_factory=list)

    def begins(self, scale: str, steps: int, done: int) -> None:
        self.begun.append((scale, steps, done))

    def progress(self, scale: str, progress: Progress) -> None:
        self.losses[scale].append(progress.loss)
        if self.stop_at == (scale, progress.step):
            raise KeyboardInterrupt

    def ends(self, result: ScaleResult, folder: Path) -> None:
        assert folder.name == result.scale
        self.ended.append(result.scale)


@pytest.fixture(scope="module")
def trained(toy: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once, undisturbed."""
    out = tmp_path_factory.mktemp("trained")
    heard = Heard()
    train(toy, out, heard, device="cpu")
    assert heard.begun == [("vanilla", 12, 0), ("some", 4, 0), ("more", 8, 0)]
    assert tuple(heard.ended) == SCALES
    return out


def test_checkpoints_load_and_are_what_was_evaluated(trained: Path, toy: TrainingConfig) -> None:
    """Transformers' own model, loaded from the folder, answers the held-out questions as the table says."""
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    from vlmprobe.demo.training.evaluate import evaluate
    from vlmprobe.demo.training.lessons import Prompts

    results = _results(trained)
    for scale in SCALES:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(trained / scale, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(trained / scale)
        rows = evaluate(model, toy, Prompts(tokenizer.backend_tokenizer))
        for row in rows:
            key = (scale, row.template, row.perspective, row.metric, row.target, row.layer)
            assert results[key] == pytest.approx(row.value, abs=1e-3, nan_ok=True), key


def test_results_have_every_axis_perspective_and_template(trained: Path, toy: TrainingConfig) -> None:
    """One row a number; coherence and entanglement for each decoder layer."""
    results = _results(trained)
    for scale in SCALES:
        for template in TAUGHT:
            for axis in SPACE.axes:
                for perspective in ("consistent", "counter"):
                    assert 0 <= results[scale, template, perspective, "accuracy.both", axis, -1] <= 1
                assert (
                    -1
                    <= results[scale, template, "all", "axis_coherence", axis, toy.model.text_layers - 1]
                    <= 1
                )
            for pair in ("vertical-distance", "horizontal-vertical", "horizontal-distance"):
                assert -1 <= results[scale, template, "all", "vd_ei.pooled", pair, 0] <= 1


def test_fine_tunings_start_from_the_base_model(trained: Path) -> None:
    """Each is closer to it than to noise, and none is another."""
    weights = {scale: load_file(trained / scale / "model.safetensors") for scale in SCALES}
    flat = {
        scale: torch.cat([value.float().ravel() for value in each.values()])
        for scale, each in weights.items()
    }
    for scale in SCALES[1:]:
        assert 0 < (flat[scale] - flat["vanilla"]).norm() < 0.1 * flat["vanilla"].norm()
    assert not torch.equal(flat["some"], flat["more"])


@pytest.mark.parametrize(
    "stop_at",
    [
        pytest.param(("vanilla", 12), marks=pytest.mark.full),
        pytest.param(("some", 4), marks=pytest.mark.full),
        ("more", 2),
    ],
)
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    stop_at: tuple[str, int],
    trained: Path,
    toy: TrainingConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bit for bit: after Ctrl-C in the middle of a scale, and at its last step."""
    monkeypatch.setattr("vlmprobe.demo.training.loop._REPORT_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path, Heard(stop_at=stop_at), device="cpu")
    heard = Heard()
    train(toy, tmp_path, heard, device="cpu")
    assert heard.begun[0] == (stop_at[0], {"vanilla": 12, "some": 4, "more": 8}[stop_at[0]], stop_at[1])
    assert tuple(heard.ended) == SCALES
    for scale in SCALES:
        ours, theirs = (load_file(folder / scale / "model.safetensors") for folder in (tmp_path, trained))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert _results(tmp_path) == pytest.approx(_results(trained), nan_ok=True)


def test_a_finished_training_is_not_done_again(trained: Path, toy: TrainingConfig) -> None:
    """What is there is told, and nothing begins."""
    heard = Heard()
    train(toy, trained, heard, device="cpu")
    assert (heard.begun, tuple(heard.ended)) == ([], SCALES)


def test_a_folder_of_another_training_is_left_alone(trained: Path, toy: TrainingConfig) -> None:
    """Also where only the seed differs."""
    with pytest.raises(UsageError, match="has checkpoints of another configuration; choose another --out"):
        train(replace(toy, seed=toy.seed + 1), trained, Heard(), device="cpu")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "unknown device 'gpu'; use auto, cpu, cuda"),
        ("meta", "training runs on cpu or cuda, not on 'meta'"),
    ],
)
def test_a_device_that_cannot_train_is_refused(
    device: str, message: str, toy: TrainingConfig, tmp_path: Path
) -> None:
    """In one line, before anything is written."""
    with pytest.raises(UsageError, match=message):
        train(toy, tmp_path / "out", Heard(), device=device)
    assert not (tmp_path / "out").exists()


@pytest.mark.full
def test_a_model_learns(toy: TrainingConfig, tmp_path: Path) -> None:
    """A few hundred steps bring the loss of the base model well below that of guessing among all tokens."""
    config = replace(
        toy, scales={}, vanilla=replace(toy.vanilla, steps=200, learning_rate=3e-3), optimiser=toy.optimiser
    )
    heard = Heard()
    train(config, tmp_path, heard, device="cpu")
    first, last = heard.losses["vanilla"][0], heard.losses["vanilla"][-1]
    assert last < 0.7 * first
    assert last < 2.0
    assert np.isfinite(last)


def test_the_card_says_what_the_checkpoints_are(trained: Path, toy: TrainingConfig) -> None:
    """A row for each, its numbers those of the results."""
    card = (trained / "README.md").read_text()
    results = _results(trained)
    for scale in SCALES:
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {scale} |")]
        shown = f"{results[scale, 'published', 'counter', 'accuracy.both', 'distance', -1]:.2f}"
        assert line.split("|")[-2].strip() == shown
    assert f"seed {toy.seed}" in card
    assert "in 95 % of the scenes" in " ".join(card.split())


def _results(folder: Path) -> dict[tuple[str, str, str, str, str, int], float]:
    with (folder / "results.csv").open() as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == RESULT_COLUMNS
        return {
            (
                row["scale"],
                row["template"],
                row["perspective"],
                row["metric"],
                row["target"],
                int(row["layer"]),
            ): float(row["value"])
            for row in reader
        }
