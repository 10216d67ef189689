"""The whole training: the base model, its fine-tunings and their evaluation; resumes after an interruption.

A folder holds one training: ``<scale>/`` the checkpoints, ``results.csv`` their evaluation, ``README.md`` the
model card, ``state/`` the state to resume from.
"""

from __future__ import annotations

import csv
import json
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from vlmprobe.demo.training.evaluate import evaluate
from vlmprobe.demo.training.export import export_checkpoint, rounded
from vlmprobe.demo.training.lessons import KINDS, Prompts, draw_lesson
from vlmprobe.demo.training.model import check_forward, make_model
from vlmprobe.demo.training.model_card import model_card
from vlmprobe.demo.training.state import ScaleResult, TrainingFolder
from vlmprobe.demo.training.steps import Trainer, learning_rate
from vlmprobe.demo.training.tokenizer import build_tokenizer
from vlmprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from vlmprobe.demo.training.config import Phase, TrainingConfig
    from vlmprobe.demo.training.lessons import Lesson

__all__ = ["RESULT_COLUMNS", "Progress", "ScaleResult", "Watcher", "train"]

VANILLA = "vanilla"
#: Columns of ``results.csv``.
RESULT_COLUMNS = ("seed", "scale", "template", "perspective", "metric", "target", "layer", "value", "n")
#: Steps between two progress reports; each report waits for the GPU.
_REPORT_EVERY = 100
_SAVE_EVERY_S = 60.0
#: Lessons drawn ahead, and threads that draw: a lesson is NumPy's work, a step the GPU's.
_AHEAD, _DRAWERS = 24, 4


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a phase after some steps."""

    step: int
    """Steps done."""
    loss: float
    """Mean over the steps since the last report."""
    accuracy: dict[str, float]
    """Of the questions since then, by kind of `KINDS`; NaN for a kind without questions."""
    questions_per_second: float


class Watcher(Protocol):
    """An observer of a training: a terminal, an experiment tracker, a test."""

    def begins(self, scale: str, steps: int, done: int) -> None:
        """Report that the training of a scale begins."""

    def progress(self, scale: str, progress: Progress) -> None:
        """Report its progress."""

    def ends(self, result: ScaleResult, folder: Path) -> None:
        """Report a finished checkpoint, including one that an earlier call trained."""


@dataclass(frozen=True, slots=True)
class _Scale:
    name: str
    samples: int
    steps: int
    phase: Phase


def train(
    config: TrainingConfig, out: Path, watcher: Watcher, *, device: str = "auto", compiled: bool = False
) -> tuple[ScaleResult, ...]:
    """Train, evaluate and store the base model and each of its fine-tunings.

    Args:
        config: what to train; the same one gives the same weights on the same CPU with as many threads. On a GPU sums
            are taken in changing orders, and results agree within the spread over seeds.
        out: the training's folder.
        watcher: receives the events.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``.
        compiled: compile the renderer and the loss first: a minute, for steps twice as fast on a GPU.

    Raises:
        UsageError: the folder holds a training of another configuration, or there is no such device.
        KeyboardInterrupt: after the state was stored.
    """
    where = _device(device)
    folder = TrainingFolder(out, config)
    tokenizer = build_tokenizer()
    prompts = Prompts(tokenizer)
    model = make_model(config.model, tokenizer, config.seed)
    check_forward(model, prompts, config.scenes.image_size)
    model = model.to(where)
    if where.type == "cuda":
        torch.set_float32_matmul_precision("high")

    results: list[ScaleResult] = []
    trainer: Trainer | None = None
    for scale in _scales(config):
        result = folder.result(scale.name)
        if result is None:
            # The fine-tunings share one, whose graph is for their number of images.
            if trainer is None or trainer.images != scale.phase.images:
                trainer = Trainer(model, prompts, config, scale.phase.images, compiled=compiled)
            if scale.name != VANILLA:
                trainer.start_from(folder.base_weights())
            seconds = _train_scale(config, scale, prompts, trainer, folder, watcher)
            weights = trainer.weights()
            if scale.name == VANILLA:
                folder.store_base_weights(weights)
            stored = rounded(weights)
            trainer.start_from(stored)
            rows = evaluate(model, config, prompts)
            export_checkpoint(model, stored, tokenizer, out / scale.name, config.scenes.image_size)
            asked = scale.steps * config.questions_per_step(scale.phase)
            result = ScaleResult(scale.name, scale.samples, scale.steps, seconds, asked, rows)
            folder.store_result(result)
        results.append(result)
        watcher.ends(result, out / scale.name)
    _write_results(config, out, results)
    (out / "README.md").write_text(model_card(config, results, str(where)), encoding="utf-8")
    return tuple(results)


def _scales(config: TrainingConfig) -> list[_Scale]:
    fine_tunings = [
        _Scale(name, samples, config.steps_for(samples), config.fine_tuning)
        for name, samples in config.scales.items()
    ]
    return [_Scale(VANILLA, 0, config.vanilla.steps, config.vanilla), *fine_tunings]


def _train_scale(
    config: TrainingConfig,
    scale: _Scale,
    prompts: Prompts,
    trainer: Trainer,
    folder: TrainingFolder,
    watcher: Watcher,
) -> float:
    """Train one scale to its end, resuming if needed; return the seconds that it took in total."""
    done, seconds, stored = folder.progress(scale.name)
    if stored is not None:
        trainer.resume(stored)
    watcher.begins(scale.name, scale.steps, done)
    started = saved = looked = time.monotonic()
    reported = done
    try:
        with closing(_lessons(config, scale, prompts, done)) as lessons:
            for lesson in lessons:
                trainer.step(lesson, learning_rate(scale.phase, done, scale.steps))
                done += 1
                if done % _REPORT_EVERY and done < scale.steps:
                    continue
                loss, counts = trainer.pop_counts()
                now = time.monotonic()
                rate = (done - reported) * config.questions_per_step(scale.phase) / max(now - looked, 1e-9)
                watcher.progress(scale.name, _progress(done, loss / (done - reported), counts, rate))
                reported, looked = done, now
                if now - saved > _SAVE_EVERY_S and done < scale.steps:
                    folder.store_progress(scale.name, done, seconds + now - started, trainer.state())
                    saved = time.monotonic()
    except KeyboardInterrupt:
        folder.store_progress(scale.name, done, seconds + time.monotonic() - started, trainer.state())
        raise
    return seconds + time.monotonic() - started


def _progress(step: int, loss: float, counts: np.ndarray[Any, np.dtype[np.float64]], rate: float) -> Progress:
    right, asked = counts
    shares = np.divide(right, asked, out=np.full(len(KINDS), np.nan), where=asked > 0)
    return Progress(step, loss, dict(zip(KINDS, shares.tolist(), strict=True)), rate)


def _lessons(config: TrainingConfig, scale: _Scale, prompts: Prompts, first: int) -> Generator[Lesson]:
    """Yield the lessons of a scale's steps in order, some of them drawn ahead."""
    drawers = ThreadPoolExecutor(_DRAWERS, thread_name_prefix="vlmprobe-lessons")
    try:
        waiting = deque(
            drawers.submit(draw_lesson, config, scale.phase, prompts, scale.samples, step)
            for step in range(first, min(first + _AHEAD, scale.steps))
        )
        for step in range(first, scale.steps):
            lesson = waiting.popleft().result()
            if step + _AHEAD < scale.steps:
                waiting.append(
                    drawers.submit(draw_lesson, config, scale.phase, prompts, scale.samples, step + _AHEAD)
                )
            yield lesson
    finally:
        drawers.shutdown(cancel_futures=True)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not (
        torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    ):
        raise UsageError(f"there is no GPU {name!r} here; use --device cpu, or auto")
    if device.type not in {"cpu", "cuda"}:
        raise UsageError(f"training runs on cpu or cuda, not on {name!r}")
    return device


def _write_results(config: TrainingConfig, out: Path, results: list[ScaleResult]) -> None:
    with (out / "results.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(RESULT_COLUMNS)
        for result in results:
            for row in result.rows:
                writer.writerow(
                    [
                        config.seed,
                        result.scale,
                        row.template,
                        row.perspective,
                        row.metric,
                        row.target,
                        row.layer,
                        f"{row.value:.4f}",
                        row.n,
                    ]
                )
    facts = {
        "config": config.as_dict(),
        "scales": [{k: v for k, v in asdict(result).items() if k != "rows"} for result in results],
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
