"""The state of a training on disk: weights, optimizer state, results of finished scales."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.demo.training.evaluate import EvaluationRow
from vlmprobe.errors import UsageError
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from vlmprobe.demo.training.config import TrainingConfig

__all__ = ["ScaleResult", "TrainingFolder"]


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """One checkpoint and its evaluation."""

    scale: str
    samples: int
    """Relation questions seen; 0 of the base model, whose answers to them were coin flips."""
    steps: int
    seconds: float
    """Of its training, without evaluation; a resumed one's parts together."""
    questions: int
    rows: tuple[EvaluationRow, ...]


class TrainingFolder:
    """One training's folder. Every file appears whole or not at all."""

    def __init__(self, out: Path, config: TrainingConfig) -> None:
        """Start in a folder, or resume in one that holds the same training.

        Raises:
            UsageError: it holds another training, or cannot be written.
        """
        self._state = out / "state"
        try:
            self._state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot write to {out}: {error.strerror or error}; choose another --out"
            ) from error
        marker = self._state / "config.json"
        if not marker.exists():
            _write(marker, json.dumps({"digest": config.digest, "config": config.as_dict()}, indent=1))
        elif json.loads(marker.read_text(encoding="utf-8"))["digest"] != config.digest:
            raise UsageError(f"{out} has checkpoints of another configuration; choose another --out")

    def result(self, scale: str) -> ScaleResult | None:
        """Return a finished scale's result, or None."""
        path = self._path(scale, "result.json")
        if not path.exists():
            return None
        facts = json.loads(path.read_text(encoding="utf-8"))
        return ScaleResult(**{**facts, "rows": tuple(EvaluationRow(**row) for row in facts["rows"])})

    def store_result(self, result: ScaleResult) -> None:
        """Store a finished scale's result and remove its progress, which is no longer needed."""
        _write(self._path(result.scale, "result.json"), json.dumps(asdict(result)))
        self._path(result.scale, "progress.safetensors").unlink(missing_ok=True)

    def progress(self, scale: str) -> tuple[int, float, dict[str, Tensor] | None]:
        """Return the steps done, the seconds they took and the state to resume from, or (0, 0, None)."""
        from safetensors import safe_open

        path = self._path(scale, "progress.safetensors")
        if not path.exists():
            return 0, 0.0, None
        with safe_open(path, "pt") as file:
            facts = file.metadata()
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
            return int(facts["steps"]), float(facts["seconds"]), state

    def store_progress(self, scale: str, steps: int, seconds: float, state: dict[str, Tensor]) -> None:
        """Store the progress of a scale."""
        self._store(self._path(scale, "progress.safetensors"), state, steps=steps, seconds=seconds)

    def base_weights(self) -> dict[str, Tensor]:
        """Return the base model's weights in float32."""
        from safetensors.torch import load_file

        weights: dict[str, Tensor] = load_file(self._path("vanilla", "weights.safetensors"))
        return weights

    def store_base_weights(self, weights: dict[str, Tensor]) -> None:
        """Keep the base model, from which every fine-tuning starts."""
        self._store(self._path("vanilla", "weights.safetensors"), weights)

    def _path(self, scale: str, name: str) -> Path:
        return self._state / f"{scale}.{name}"

    @staticmethod
    def _store(path: Path, tensors: dict[str, Tensor], **facts: Any) -> None:
        from safetensors.torch import save_file

        with whole_file(path) as partial:
            save_file(tensors, partial, metadata={name: str(value) for name, value in facts.items()})


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
