"""The reference that every family is held against: unpadded questions, by plain forward passes of its model."""

from __future__ import annotations

import copy
from abc import abstractmethod
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from vlmprobe.families.worker.contract import BatchItem, BatchOutput, LoadOptions, ModelInfo
from vlmprobe.families.worker.engine.capture import LastTokenCapture, kept_layers, to_numpy
from vlmprobe.families.worker.engine.decoding import GreedyDecoder, greedy_options
from vlmprobe.families.worker.engine.family import Family
from vlmprobe.families.worker.engine.margins import MarginReader
from vlmprobe.families.worker.engine.memory import reporting_full_memory, room_for_float32
from vlmprobe.families.worker.faults import OutOfMemoryError
from vlmprobe.families.worker.loading.devices import exact_float32, on_device
from vlmprobe.families.worker.loading.diagnosis import decoding
from vlmprobe.families.worker.loading.manifest import describe_run
from vlmprobe.families.worker.loading.reading import quiet
from vlmprobe.families.worker.weights.float32_copy import float32_copy, n_copied
from vlmprobe.families.worker.weights.unembedding import embeddings, final_norm, read_unembedding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from PIL.Image import Image
    from torch import Tensor, nn

    from vlmprobe.families.worker.contract import Unembedding

    Floats = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["PlainFamily"]

#: Questions that share a plain forward at most; each has logits for every token of its prompt.
_MOST_JOINED = 8


class PlainFamily(Family):
    """A family of decoder models whose questions can be answered one at a time."""

    copies: ClassVar[bool] = False
    """Whether a plain forward is exact once it uses a float32 copy of :attr:`model` and its modules."""
    joins: ClassVar[bool] = False
    """Whether :meth:`joined_inputs` is there."""
    embedded: ClassVar[bool] = False
    """Whether the model's own ``generate`` gets a prompt as embeddings, so that no logits processor sees its ids."""

    def __init__(
        self,
        options: LoadOptions,
        model: Any,
        tokenizer: Any,
        layers: Sequence[nn.Module],
        dim: int,
        *,
        language_model: Any = None,
        manifest: dict[str, Any] | None = None,
    ) -> None:
        """Store what every family needs.

        Args:
            options: as given to ``load``.
            model: the whole model, on its device, in its dtype.
            tokenizer: decodes its answers.
            layers: all its decoder layers, in order.
            dim: the length of a hidden state.
            language_model: the part that generates, where it is not the whole model.
            manifest: what this family records in addition to what all record.

        Raises:
            UsageFault: a layer was asked for that the model does not have.
        """
        self.model = model
        self.tokenizer = tokenizer
        parameter = next(layers[0].parameters())
        self.device: torch.device = parameter.device
        kept = kept_layers(options.layers, len(layers))
        self._modules = [layers[layer] for layer in kept]
        cls, base = type(self), PlainFamily
        own = cls.plain_logits is not base.plain_logits or cls.plain_tokens is not base.plain_tokens
        self.is_joining = self.joins and not own and self.device.type == "cuda"
        """Whether plain forwards join questions of one shape."""
        self._margins = MarginReader(tokenizer)
        generates = model if language_model is None else language_model
        self._generates = generates
        settings = getattr(generates, "generation_config", None)
        with torch.inference_mode(), quiet(), decoding(options.checkpoint, settings):
            self._decoder = GreedyDecoder(generates, tokenizer, embedded=self.embedded)
        dtype = str(parameter.dtype).removeprefix("torch.")
        if dtype == "float32":
            exact_float32()
        described = describe_run(model, options, self.device, dtype)
        self.info = ModelInfo(
            n_layers=len(layers),
            layers=kept,
            dim=dim,
            dtype=dtype,
            device=str(self.device),
            manifest={**described, **self._describe(), **(manifest or {})},
        )

    def _describe(self) -> dict[str, Any]:
        """Return how answers are decoded, for the manifest."""
        return {
            "end_tokens": sorted(self._decoder.end_tokens),
            "logits_processors": list(self._decoder.processor_names),
        }

    @abstractmethod
    def plain_inputs(self, image: Image, question: str) -> dict[str, Any]:
        """Return the arguments of the model's own forward for one question, including ``input_ids``."""

    def joined_inputs(self, inputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the arguments for several questions of one shape in one forward, without any padding.

        Args:
            inputs: what :meth:`plain_inputs` returned for each; tensors of the same sizes.
        """
        raise NotImplementedError

    def reading(self) -> AbstractContextManager[None]:
        """Return what plain forwards run in; a family may let the device wait less for each call of its own."""
        return nullcontext()

    def output_layer(self) -> Any:
        """Return the module whose weight is the unembedding; None if the model does not say."""
        return embeddings("get_output_embeddings", self._generates, self.model)

    @torch.inference_mode()
    def unembedding(self, words: Sequence[str]) -> Unembedding | None:
        """See :meth:`Family.unembedding`."""
        head, norm = self.output_layer(), final_norm(self.model, self._modules[0])
        inputs = embeddings("get_input_embeddings", self._generates, self.model)
        spellings = {word: self._margins.spellings(word) for word in words}
        with on_device(self.device):
            found = read_unembedding(head, norm, self.tokenizer, spellings, inputs=inputs)
        return found if found is not None and found.rows.shape[1] == self.info.dim else None

    def plain_logits(self, inputs: dict[str, Any]) -> Tensor:
        """Return the logits after the prompt, (1, vocabulary), by the model's own forward."""
        logits: Tensor = self.model(**inputs).logits[:, -1]
        return logits

    def plain_tokens(self, inputs: dict[str, Any]) -> list[int]:
        """Return the answer's tokens by the model's own greedy ``generate``."""
        sequence = self.model.generate(**inputs, **greedy_options(self.model, self.tokenizer))[0]
        tokens: list[int] = sequence[inputs["input_ids"].shape[1] :].tolist()
        return tokens

    def plain_answers(self, inputs: dict[str, Any]) -> tuple[Tensor, list[list[int]]]:
        """Return the logits after each prompt, (rows, vocabulary), and the answers' tokens; prompts are run first.

        If a family overrides neither method, ``generate`` returns both, and the prompts are run only once.
        """
        cls, base = type(self), PlainFamily
        if cls.plain_logits is not base.plain_logits or cls.plain_tokens is not base.plain_tokens:
            return self.plain_logits(inputs), [self.plain_tokens(inputs)]
        options = greedy_options(self.model, self.tokenizer)
        made = self.model.generate(
            **inputs, **options | {"return_dict_in_generate": True, "output_logits": True}
        )
        tokens = made.sequences[:, inputs["input_ids"].shape[1] :].tolist()
        return made.logits[0], [self._ended(row) for row in tokens]

    def _ended(self, tokens: list[int]) -> list[int]:
        """Return an answer up to its end token; ``generate`` fills it up to the longest of its batch."""
        ends = [place for place, token in enumerate(tokens) if token in self._decoder.end_tokens]
        return tokens[: ends[0] + 1] if ends else tokens

    @torch.inference_mode()
    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Infer the questions unpadded, with the model's own forward and ``generate``.

        Each is alone, or on a GPU, which would wait for the processor, with others of its very shape.
        """
        with on_device(self.device), self.reading():
            return self._alone_if_too_large(lambda: self._run_plain(items))

    @torch.inference_mode()
    def run_exact(self, items: Sequence[BatchItem]) -> BatchOutput | None:
        """See :meth:`Family.run_exact`; runs a float32 copy of the model and releases it."""
        if not self.copies or self.info.dtype == "float32":
            return None
        if not room_for_float32(n_copied(self.model, split=self._splits), self.device):
            return None
        exact_float32()
        with on_device(self.device), self.reading():
            return self._alone_if_too_large(lambda: copy.copy(self)._run_exact(items))

    @property
    def _splits(self) -> bool:
        return self.device.type == "cuda"

    def _alone_if_too_large(self, work: Callable[[], BatchOutput]) -> BatchOutput:
        """Run plain forwards; those that do not fit together go one by one, as a question's memory is the least."""
        try:
            return reporting_full_memory(work)
        except OutOfMemoryError:
            if not self.is_joining:
                raise
        self.is_joining = False
        try:
            return reporting_full_memory(work)
        finally:
            self.is_joining = True

    def _run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        answers = [answer for item in items for answer in item.answers]
        states: dict[int, Tensor] = {}
        texts = [""] * len(answers)
        margins: Floats = np.full(len(answers), np.nan)
        for rows, inputs in self._plain_inputs(items):
            with LastTokenCapture(self._modules) as capture, quiet():
                logits, tokens = self.plain_answers(inputs)
            margins[rows] = self._margins.read(logits, [answers[row] for row in rows])
            states.update(zip(rows, capture.stacked().unbind(1), strict=True))
            for row, of_row in zip(rows, tokens, strict=True):
                texts[row] = self._text(of_row)
        return self._output(items, to_numpy(_in_order(states)), texts, margins)

    def _run_exact(self, items: Sequence[BatchItem]) -> BatchOutput:
        names = {module: name for name, module in self.model.named_modules()}
        places = [names[module] for module in self._modules]
        self.model = float32_copy(self.model, split=self._splits)
        modules = dict(self.model.named_modules())
        self._modules = [modules[place] for place in places]
        states: dict[int, Tensor] = {}
        for rows, inputs in self._plain_inputs(items):
            with LastTokenCapture(self._modules) as capture:
                self.plain_logits(inputs)
            states.update(zip(rows, capture.stacked().unbind(1), strict=True))
        nothing: Floats = np.full(len(states), np.nan)
        found = self._output(items, to_numpy(_in_order(states)), [""] * len(states), nothing)
        return replace(found, dtype="float32")

    def _plain_inputs(self, items: Sequence[BatchItem]) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Yield the questions' numbers, two a pair, and the arguments of a forward for them."""
        asked = [(item.image, question) for item in items for question in item.questions]
        if not self.is_joining:
            for row, (image, question) in enumerate(asked):
                yield [row], self.plain_inputs(image, question)
            return
        alike: dict[Any, dict[int, dict[str, Any]]] = {}
        for row, (image, question) in enumerate(asked):
            inputs = self.plain_inputs(image, question)
            shape = tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())
            alike.setdefault(shape, {})[row] = inputs
        for of_rows in alike.values():
            for some in _in_parts(of_rows.items(), _MOST_JOINED):
                yield [row for row, _ in some], self.joined_inputs([inputs for _, inputs in some])

    def _output(
        self,
        items: Sequence[BatchItem],
        states: np.ndarray[Any, Any],
        texts: Sequence[str],
        margins: Floats,
    ) -> BatchOutput:
        n_pairs = len(items)
        return BatchOutput(
            pair_ids=tuple(item.pair_id for item in items),
            states=states.reshape(len(self._modules), n_pairs, 2, self.info.dim),
            dtype=self.info.dtype,
            texts=tuple((texts[2 * pair], texts[2 * pair + 1]) for pair in range(n_pairs)),
            margins=margins.reshape(n_pairs, 2),
        )

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def _in_order(states: Mapping[int, Tensor]) -> Tensor:
    """Return the questions' states, (layers, dim) each, as (layers, questions, dim)."""
    return torch.stack([states[row] for row in range(len(states))], dim=1) if states else torch.empty(0)


def _in_parts(
    rows: Iterable[tuple[int, dict[str, Any]]], most: int
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Yield so many of them at a time."""
    left = list(rows)
    for start in range(0, len(left), most):
        yield left[start : start + most]
