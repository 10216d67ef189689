"""The reference that every family is held against: each question alone, by one plain forward pass of its model."""

from __future__ import annotations

import copy
from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from vlmprobe.families.worker.contract import BatchItem, BatchOutput, LoadOptions, ModelInfo
from vlmprobe.families.worker.engine.capture import LastTokenCapture, kept_layers, to_numpy
from vlmprobe.families.worker.engine.decoding import GreedyDecoder, greedy_options
from vlmprobe.families.worker.engine.family import Family
from vlmprobe.families.worker.engine.margins import MarginReader
from vlmprobe.families.worker.engine.memory import release_memory, reporting_full_memory, room_for_float32
from vlmprobe.families.worker.loading.devices import exact_float32, on_device
from vlmprobe.families.worker.loading.diagnosis import decoding
from vlmprobe.families.worker.loading.manifest import describe_run
from vlmprobe.families.worker.loading.reading import quiet
from vlmprobe.families.worker.weights.unembedding import embeddings, final_norm, read_unembedding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor, nn

    from vlmprobe.families.worker.contract import Unembedding

    Floats = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["PlainFamily"]


class PlainFamily(Family):
    """A family of decoder models whose questions can be answered one at a time."""

    copies: ClassVar[bool] = False
    """Whether a plain forward is exact once it uses a float32 copy of :attr:`model` and its modules."""
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

    def plain_answer(self, inputs: dict[str, Any]) -> tuple[Tensor, list[int]]:
        """Return the logits after the prompt, (1, vocabulary), and the answer's tokens; the prompt is run first.

        If a family overrides neither method, ``generate`` returns both, and the prompt is run only once.
        """
        cls, base = type(self), PlainFamily
        if cls.plain_logits is not base.plain_logits or cls.plain_tokens is not base.plain_tokens:
            return self.plain_logits(inputs), self.plain_tokens(inputs)
        options = greedy_options(self.model, self.tokenizer)
        made = self.model.generate(
            **inputs, **options | {"return_dict_in_generate": True, "output_logits": True}
        )
        return made.logits[0], made.sequences[0, inputs["input_ids"].shape[1] :].tolist()

    @torch.inference_mode()
    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Infer each question alone and unpadded, with the model's own forward and ``generate``."""
        with on_device(self.device), self._own_stream():
            return reporting_full_memory(lambda: self._run_plain(items))

    @torch.inference_mode()
    def run_exact(self, items: Sequence[BatchItem]) -> BatchOutput | None:
        """See :meth:`Family.run_exact`; runs a float32 copy of the model and releases it."""
        if not self.copies or self.info.dtype == "float32" or not room_for_float32(self.model, self.device):
            return None
        exact_float32()
        with on_device(self.device), self._own_stream():
            # No name for the copy: its memory is free before the device's other streams are to have it.
            found = reporting_full_memory(lambda: copy.copy(self)._run_exact(items))
        release_memory(self.device)
        return found

    def _own_stream(self) -> AbstractContextManager[Any]:
        """Run plain forwards beside the batches on the device, if they may, and not between them."""
        if not self.aside:
            return nullcontext()
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.default_stream(self.device))
        return torch.cuda.stream(stream)

    def _run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        states, texts, margins = [], [], []
        for item in items:
            for question, answer in zip(item.questions, item.answers, strict=True):
                inputs = self.plain_inputs(item.image, question)
                with LastTokenCapture(self._modules) as capture, quiet():
                    logits, tokens = self.plain_answer(inputs)
                states.append(capture.stacked())
                margins.append(self._margins.read(logits, [answer]))
                texts.append(self._text(tokens))
        stacked = torch.cat(states, dim=1) if states else torch.empty(0)
        return self._output(items, to_numpy(stacked), texts, np.concatenate([*margins, np.empty(0)]))

    def _run_exact(self, items: Sequence[BatchItem]) -> BatchOutput:
        names = {module: name for name, module in self.model.named_modules()}
        places = [names[module] for module in self._modules]
        self.model = copy.deepcopy(self.model).float()
        modules = dict(self.model.named_modules())
        self._modules = [modules[place] for place in places]
        states = []
        for item in items:
            for question in item.questions:
                with LastTokenCapture(self._modules) as capture:
                    self.plain_logits(self.plain_inputs(item.image, question))
                states.append(capture.stacked())
        n_rows = len(states)
        found = to_numpy(torch.cat(states, dim=1))
        nothing: Floats = np.full(n_rows, np.nan)
        return replace(self._output(items, found, [""] * n_rows, nothing), dtype="float32")

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
