"""Trains the demo's tiny models and logs their progress to MLflow, with the same settings as every run."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmprobe.errors import TrackingError
from vlmprobe.store.tracking import MetricPoint
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from vlmprobe.demo.training.config import TrainingConfig
    from vlmprobe.demo.training.loop import Progress
    from vlmprobe.demo.training.state import ScaleResult

__all__ = ["TrainingResult", "train_demo"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The trained scales with their evaluation, and where they are."""

    out: Path
    scales: tuple[ScaleResult, ...]
    experiment: str


def train_demo(
    workspace: Workspace,
    config: TrainingConfig,
    *,
    out: Path | None = None,
    device: str = "auto",
    compiled: bool = False,
) -> TrainingResult:
    """Train the base model and its fine-tunings, or resume a stopped training.

    MLflow gets one run per scale, in a separate experiment that does not clutter the charts for probing.

    Args:
        workspace: the folder goes into its home, the curves into its MLflow.
        config: what to train.
        out: the training's folder; ``training/seed-N`` in the home when None.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        compiled: whether to compile the step first, which pays off on a GPU.

    Raises:
        UsageError: the folder holds another training, or there is no such device.
        ReadOnlyError: the folder cannot be written.
    """
    from vlmprobe.demo.training.loop import train

    workspace.require_output(out)
    settings = workspace.settings
    folder = out or settings.home / "training" / f"seed-{config.seed}"
    settings = replace(settings, experiment=f"{settings.experiment}-training")
    with ExitStack() as bars:
        watcher = _Watcher(Workspace(settings, workspace.console), config, bars)
        scales = train(config, folder, watcher, device=device, compiled=compiled)
    return TrainingResult(folder, scales, settings.experiment)


class _Watcher:
    """Shows a training in the terminal and in MLflow; warns once if MLflow is unreachable, and continues."""

    def __init__(self, workspace: Workspace, config: TrainingConfig, bars: ExitStack) -> None:
        self._console, self._tracker = workspace.console, workspace.tracker
        self._config, self._bars = config, bars
        self._mlflow_run: str | None = None
        self._offline = False
        self._advance: Callable[[int], None] = lambda _: None
        self._step = 0

    def begins(self, scale: str, steps: int, done: int) -> None:
        """Open a bar and an MLflow run."""
        if done:
            self._console.say(f"{scale}: resuming after {done} of {steps} steps")
        self._advance = self._bars.enter_context(self._console.track(f"training {scale}", steps, done))
        self._step = done
        name = f"tiny seed {self._config.seed} @ {scale}"
        parameters = dict(_flat(self._config.as_dict()))
        self._log(lambda: self._start(name, scale, parameters))

    def _start(self, name: str, scale: str, parameters: Mapping[str, str]) -> None:
        self._mlflow_run = self._tracker.start(name, {"family": "tiny", "scale": scale}, parameters)

    def progress(self, scale: str, progress: Progress) -> None:  # noqa: ARG002 - the run that began is its
        """Advance the bar and log a point of each curve."""
        self._advance(progress.step - self._step)
        self._step = progress.step
        values = {"loss": progress.loss, "questions_per_second": progress.questions_per_second}
        values |= {f"accuracy.{kind}": share for kind, share in progress.accuracy.items()}
        self._points({f"train/{name}": value for name, value in values.items()}, progress.step)

    def ends(self, result: ScaleResult, folder: Path) -> None:
        """Close the bar, log the evaluation and print a summary."""
        self._bars.close()
        rate = result.questions / max(result.seconds, 1e-9)
        self._console.say(
            f"{result.scale}: {result.steps} steps in {result.seconds:.0f} s, {rate:,.0f} questions/s: {folder}"
        )
        if self._mlflow_run is None:
            return
        run = self._mlflow_run
        self._points(
            {
                f"evaluation/{row.metric}.{row.target}.{row.perspective}.{row.template}": row.value
                for row in result.rows
                if row.layer < 0
            },
            result.steps,
        )
        self._log(lambda: self._tracker.finish(run, "FINISHED"))
        self._mlflow_run = None

    def _points(self, values: Mapping[str, float], step: int) -> None:
        run = self._mlflow_run
        if run is None:
            return
        now = int(time.time() * 1000)
        # A kind without questions has no share, and MLflow would show NaN as a point.
        points = [MetricPoint(key, value, step, now) for key, value in values.items() if value == value]
        self._log(lambda: self._tracker.log_points(run, points))

    def _log(self, action: Callable[[], None]) -> None:
        if self._offline:
            return
        try:
            action()
        except TrackingError as error:
            self._offline = True
            self._console.warn(
                f"{error}; training continues, but its MLflow curves end here (results.csv has all numbers)"
            )


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
