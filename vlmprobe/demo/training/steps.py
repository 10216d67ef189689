"""One training step: scenes and questions in, images drawn, a forward, a backward, AdamW.

On a GPU the step is recorded once as a CUDA graph and replayed; what changes from step to step is copied into the
buffers that the graph reads. On a CPU the same functions are called one after the other.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vlmprobe.demo.render import NOISE, render_batch
from vlmprobe.demo.training.lessons import KINDS
from vlmprobe.demo.training.model import FastForward

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.demo.scenes import SceneBatch
    from vlmprobe.demo.training.config import Phase, TrainingConfig
    from vlmprobe.demo.training.lessons import Lesson, Prompts

__all__ = ["Trainer", "learning_rate", "scenes_on"]

_BETAS = (0.9, 0.98)
_CLIP = 1.0
_FLOOR = 0.05
_WARM_UP_RUNS = 3
_SCENE_FLOATS = ("x", "y", "depth", "radius", "ground_y", "horizon")
_SCENE_NUMBERS = ("name", "present", "ground", "sky")


def learning_rate(phase: Phase, step: int, steps: int) -> float:
    """Return a step's learning rate: up in a straight line, then down a cosine to 5 %."""
    warm_up = min(phase.warm_up, steps // 5 + 1)
    cosine = _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    return phase.learning_rate * min(1.0, (step + 1) / warm_up) * cosine


def scenes_on(scenes: SceneBatch, device: torch.device) -> SceneBatch:
    """Return the scenes as tensors: floats in float32, numbers in int64, presence as booleans."""
    moved: dict[str, Any] = {
        name: torch.from_numpy(np.float32(getattr(scenes, name))).to(device) for name in _SCENE_FLOATS
    }
    numbers: dict[str, Any] = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(scenes, name))).to(device)
        for name in _SCENE_NUMBERS
    }
    return replace(scenes, **moved, **numbers)


class Trainer:
    """The model with its optimizer: runs steps, counts right answers, saves and restores its state."""

    def __init__(
        self,
        model: Any,
        prompts: Prompts,
        config: TrainingConfig,
        images: int,
        *,
        compiled: bool,
    ) -> None:
        self.model = model
        self.images = images
        self._options = config.optimiser
        self._device = next(model.parameters()).device
        self._on_gpu = self._device.type == "cuda"
        self._fast = FastForward(model, prompts, config.scenes.image_size)
        self._ids = torch.from_numpy(prompts.ids).to(self._device)
        self._lengths = torch.from_numpy(prompts.lengths).to(self._device)
        self._answer_ids = torch.from_numpy(prompts.answer_ids).to(self._device)
        self._end_id = prompts.end_id
        self._optimiser = self._make_optimiser()
        # The graph reads whatever lies in these; a lesson is copied into them.
        self._buffers: dict[str, Tensor] = {}
        self._scenes: SceneBatch | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._counts = torch.zeros(2, len(KINDS), device=self._device)
        self._loss_sum = torch.zeros((), device=self._device)
        self._noise_source = None if self._on_gpu else torch.Generator()
        self._draw: Callable[..., Tensor] = _draw
        self._loss: Callable[..., tuple[Tensor, Tensor]] = self._plain_loss
        if compiled:
            self._draw = torch.compile(_draw, dynamic=False)
            self._loss = torch.compile(self._plain_loss, dynamic=False)

    def _make_optimiser(self) -> torch.optim.AdamW:
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self._options.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        # A graph reads the learning rate from a tensor, and counts its own steps.
        rate = torch.zeros((), device=self._device)
        return torch.optim.AdamW(
            groups, lr=rate, betas=_BETAS, fused=self._on_gpu or None, capturable=self._on_gpu
        )

    def step(self, lesson: Lesson, rate: float) -> None:
        """Train on one lesson at a learning rate."""
        self._load(lesson)
        if self._on_gpu and self._graph is None:
            self._record()
        self._set(rate)
        self._seed(lesson.noise_seed)
        if self._graph is None:
            self._run()
        else:
            self._graph.replay()

    def pop_counts(self) -> tuple[float, np.ndarray[Any, np.dtype[np.float64]]]:
        """Return the summed loss and, per kind, how many were answered right and asked; reset the counts."""
        loss, counts = float(self._loss_sum), self._counts.double().cpu().numpy()
        self._loss_sum.zero_()
        self._counts.zero_()
        return loss, counts

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Load a model's weights and reset the optimizer."""
        self._copy_weights(weights)
        for state in self._optimiser.state.values():
            for value in state.values():
                value.zero_()

    def state(self) -> dict[str, Tensor]:
        """Return the weights and the optimizer's state, as tensors on the CPU that can be stored."""
        stored = {f"weights.{name}": value for name, value in self.weights().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self._optimiser.state[parameter].items():
                stored[f"{key}.{name}"] = value.detach().cpu().clone()
        return stored

    def resume(self, stored: dict[str, Tensor]) -> None:
        """Restore a state, so that training continues as if it had never stopped."""
        self._copy_weights(
            {
                name.removeprefix("weights."): value
                for name, value in stored.items()
                if name.startswith("weights.")
            }
        )
        for name, parameter in self.model.named_parameters():
            state = self._optimiser.state[parameter]
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = stored[f"{key}.{name}"]
                if key in state:
                    state[key].copy_(value)
                else:
                    state[key] = value.to(self._device if key != "step" or self._on_gpu else "cpu").clone()

    def weights(self) -> dict[str, Tensor]:
        """Return the model's weights in float32 on the CPU; the output matrix is that of the embedding."""
        return {
            name: value.detach().float().cpu().clone()
            for name, value in self.model.state_dict().items()
            if name != "lm_head.weight"
        }

    @torch.no_grad()
    def _copy_weights(self, weights: dict[str, Tensor]) -> None:
        for name, value in self.model.state_dict().items():
            if name != "lm_head.weight":
                value.copy_(weights[name])

    def _set(self, rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"].fill_(rate)

    def _seed(self, seed: int) -> None:
        if self._noise_source is None:
            torch.cuda.manual_seed(seed)
        else:
            self._noise_source.manual_seed(seed)

    def _load(self, lesson: Lesson) -> None:
        """Copy a lesson into the buffers that the step reads."""
        fresh: dict[str, Any] = {name: np.float32(getattr(lesson.scenes, name)) for name in _SCENE_FLOATS}
        fresh |= {name: getattr(lesson.scenes, name) for name in _SCENE_NUMBERS}
        fresh |= {
            "prompt": lesson.prompt.ravel(),
            "answer": lesson.answer.ravel(),
            "kind": lesson.kind.ravel(),
        }
        for name, values in fresh.items():
            tensor = torch.from_numpy(np.ascontiguousarray(values))
            if name not in self._buffers:
                self._buffers[name] = tensor.to(self._device, copy=True)
            else:
                source = tensor.pin_memory() if self._on_gpu else tensor
                self._buffers[name].copy_(source, non_blocking=self._on_gpu)
        if self._scenes is None:
            scene_buffers: dict[str, Any] = {
                name: self._buffers[name] for name in (*_SCENE_FLOATS, *_SCENE_NUMBERS)
            }
            self._scenes = replace(lesson.scenes, **scene_buffers)
            # Draw once as is: the renderer's constants must not be created within a graph or a compilation.
            size = lesson.scenes.image_size
            _draw(self._scenes, torch.zeros(1, 3, size, size, device=self._device))

    def _record(self) -> None:
        """Record the step as a graph; its warm-up runs must leave no trace."""
        self._set(0.0)
        kept = {name: value.clone() for name, value in self._optimiser_state().items()}
        side_stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(_WARM_UP_RUNS):
                self._run()
        torch.cuda.current_stream().wait_stream(side_stream)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._run()
        for name, value in self._optimiser_state().items():
            if name in kept:
                value.copy_(kept[name])
            else:
                value.zero_()
        self._counts.zero_()
        self._loss_sum.zero_()

    def _optimiser_state(self) -> dict[str, Tensor]:
        return {
            f"{key}.{name}": value
            for name, parameter in self.model.named_parameters()
            for key, value in self._optimiser.state[parameter].items()
        }

    def _run(self) -> None:
        """Run the step on the content of the buffers."""
        scenes = self._scenes
        if scenes is None:
            raise RuntimeError("no training batch was loaded")
        prompt, answer, kind = (self._buffers[name] for name in ("prompt", "answer", "kind"))
        with torch.no_grad():
            size = scenes.image_size
            noise = torch.randn(
                len(scenes.x), 3, size, size, device=self._device, generator=self._noise_source
            )
            pixels = self._draw(scenes, noise * NOISE)
            lengths, target = self._lengths[prompt], self._answer_ids[answer]
            # The answer follows its prompt: the token after it is learned as well.
            ids = self._ids[prompt].scatter(1, lengths[:, None], target[:, None])
            last = self._fast.n_before + self._fast.n_image + lengths - 1
        loss, right = self._loss(pixels, ids, last, target)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP, foreach=self._on_gpu or None)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=False)
        with torch.no_grad():
            self._counts[0].scatter_add_(0, kind, right)
            self._counts[1].scatter_add_(0, kind, torch.ones_like(right))
            self._loss_sum += loss.detach()

    def _plain_loss(self, pixels: Tensor, ids: Tensor, last: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and which questions were answered right.

        Args:
            pixels: (n, 3, S, S) in [0, 1].
            ids: (n * k, L) prompts with their answers.
            last: (n * k,) place of the last prompt token in the whole sequence.
            target: (n * k,) token of the answer.
        """
        # A graph cannot keep the weights that autocast would cache in bf16.
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._on_gpu, cache_enabled=False):
            states = self._fast.text(self._fast.images(pixels), ids)[-1]
            rows = torch.arange(len(ids), device=ids.device)
            logits = self._fast.logits(torch.stack([states[rows, last], states[rows, last + 1]], 1)).float()
        answers, ends = logits[:, 0], logits[:, 1]
        loss = functional.cross_entropy(answers, target)
        end = functional.cross_entropy(ends, torch.full_like(target, self._end_id))
        return loss + self._options.end_weight * end, (answers.argmax(-1) == target).float()


def _draw(scenes: SceneBatch, noise: Tensor) -> Tensor:
    pixels: Tensor = render_batch(scenes, noise, torch)
    return pixels
