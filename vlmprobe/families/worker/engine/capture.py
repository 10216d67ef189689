"""Finds a model's decoder layers and captures their hidden states at the last prompt token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.faults import ModelFault, UsageFault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    import numpy as np
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

__all__ = ["HostStates", "LastTokenCapture", "decoder_layers", "kept_layers", "to_numpy"]


class LastTokenCapture:
    """Forward hooks that only collect; used as a context manager around a forward pass.

    Of each layer the *first* forward is kept, which is the prefill: later ones are generated tokens. What is
    kept is a layer's output, so the last layer's is before the final norm.
    """

    def __init__(self, layers: Sequence[nn.Module], index: int | Tensor = -1) -> None:
        """Choose what to collect.

        Args:
            layers: the decoder layers to listen to, in the order wanted.
            index: where the last prompt token is: one position for all rows (-1 for left padding), or a
                tensor with one position per row (right padding).
        """
        self._layers = layers
        self._index = index
        self._collected: list[Tensor | None] = [None] * len(layers)
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for place, layer in enumerate(self._layers):
            self._handles.append(layer.register_forward_hook(self._hook(place)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def stacked(self) -> Tensor:
        """Return what was collected, shape (layers, rows, dim), on the model's device.

        Raises:
            RuntimeError: a layer did not run.
        """
        collected = [state for state in self._collected if state is not None]
        if len(collected) < len(self._collected):
            missing = [place for place, state in enumerate(self._collected) if state is None]
            raise RuntimeError(f"the hooked layers at positions {missing} did not run")
        return torch.stack(collected)

    def _hook(self, place: int) -> Any:
        def collect(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if self._collected[place] is not None:
                return
            states: Tensor = output if isinstance(output, torch.Tensor) else output[0]
            if isinstance(self._index, int):
                last = states[:, self._index]
            else:
                rows = torch.arange(states.shape[0], device=states.device)
                last = states[rows, self._index.to(states.device)]
            # A view would keep the whole sequence of every layer in memory.
            self._collected[place] = last.detach().clone()

        return collect


def to_numpy(states: Tensor) -> np.ndarray[Any, Any]:
    """Copy states to the host in one transfer, in their own dtype; bfloat16 as its bits in uint16."""
    import numpy as np

    host = states.contiguous()
    if host.dtype == torch.bfloat16:
        return host.view(torch.int16).cpu().numpy().view(np.uint16)
    return host.cpu().numpy()


class HostStates:
    """States of a batch on the host, copied while the device keeps computing; bfloat16 as bits in uint16."""

    def __init__(self, layers: int, rows: int, dim: int) -> None:
        """Store the shape; memory is allocated with the first states."""
        self._shape = (layers, rows, dim)
        self._host: Tensor | None = None
        self._stream: Any = None

    def start_copy(self, rows: Sequence[int], states: Tensor) -> None:
        """Start copying the states of some rows, (layers, rows, dim), in one transfer."""
        source = states.detach()
        if source.dtype == torch.bfloat16:
            # NumPy has no bfloat16.
            source = source.view(torch.int16)
        whole = len(rows) == self._shape[1] and list(rows) == list(range(len(rows)))
        if not source.is_cuda:
            if whole:
                self._host = source
                return
            self._room(source)[:, list(rows)] = source
            return
        self._stream = torch.cuda.current_stream(source.device)
        if whole:
            self._room(source).copy_(source, non_blocking=True)
        else:
            self._room(source)[:, list(rows)] = source.cpu()

    def array(self) -> np.ndarray[Any, Any]:
        """Wait for the copies; return (layers, rows, dim)."""
        import numpy as np

        if self._stream is not None:
            self._stream.synchronize()
        if self._host is None:
            return np.empty(0, dtype=np.float32)
        found = self._host.numpy()
        return found.view(np.uint16) if found.dtype == np.int16 else found

    def _room(self, like: Tensor) -> Tensor:
        if self._host is None:
            self._host = torch.empty(self._shape, dtype=like.dtype, pin_memory=like.is_cuda)
        return self._host


def decoder_layers(model: Any, checkpoint: str) -> tuple[Any, str]:
    """Return the decoder layers and their path in the model, checked against the config's number of layers.

    Raises:
        ModelFault: they are not where this family looks for them, or not as many.
    """
    expected = model.config.get_text_config().num_hidden_layers
    inner, path = model.model, "model.layers"
    if hasattr(inner, "language_model"):
        inner, path = inner.language_model, "model.language_model.layers"
    layers = getattr(inner, "layers", ())
    if len(layers) != expected:
        raise ModelFault(
            f"{checkpoint}: found {len(layers)} decoder layers, but config.json says {expected}; use the "
            "config.json that belongs to these weights"
        )
    return layers, path


def kept_layers(asked: tuple[int, ...] | None, n_layers: int) -> tuple[int, ...]:
    """Return the layers to keep, ascending; None means all.

    Raises:
        UsageFault: the model has no such layer, or none was asked for.
    """
    if asked is None:
        return tuple(range(n_layers))
    beyond = [layer for layer in asked if not 0 <= layer < n_layers]
    if beyond or not asked:
        said = f"layer {beyond[0]} does not exist" if beyond else "no layer was selected"
        raise UsageFault(f"--layers: {said}; this model has layers 0 to {n_layers - 1}")
    return tuple(sorted(set(asked)))
