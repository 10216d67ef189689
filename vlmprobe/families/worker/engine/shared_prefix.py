"""The fast path that every causal family shares: image and prompt prefix once, then the questions on their cache.

    questions of one image   [prefix: chat template, image, the words they begin with alike][suffix A]
                                                                                          [suffix B]
    forward 1: the prefixes of a batch's images, padded on the left      -> one KV cache row per image
    forward 2: the suffixes on the cache rows, repeated per question     -> hidden states, logits
    then one forward per generated token

A causal model's states at a token depend on nothing after it, so the states of the last prompt token are those of
a forward over the whole prompt, up to rounding. A family says what it needs: its positions, its cache, whether its
prompts may be padded, and whether it is causal at all. One that is not gets one forward over whole prompts.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from vlmprobe.families.worker.contract import BatchItem, BatchOutput, LoadOptions, ModelInfo
from vlmprobe.families.worker.engine.capture import HostStates, LastTokenCapture, kept_layers, to_numpy
from vlmprobe.families.worker.engine.decoding import GreedyDecoder, greedy_options
from vlmprobe.families.worker.engine.family import Family
from vlmprobe.families.worker.engine.margins import MarginReader
from vlmprobe.families.worker.engine.memory import reporting_full_memory, room_for_float32
from vlmprobe.families.worker.loading.devices import exact_float32, on_device
from vlmprobe.families.worker.loading.manifest import describe_run
from vlmprobe.families.worker.loading.pretrained import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image
    from torch import Tensor, nn

    Floats = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Group", "PreparedBatch", "Prompts", "Rows", "SharedPrefixFamily"]


@dataclass(frozen=True)
class Prompts:
    """The questions of a batch as a model gets them, image tokens included, without padding."""

    ids: Sequence[Sequence[int]]
    """Token ids per question, two questions a pair."""
    image_of_row: Sequence[int]
    """Which of the batch's distinct images each question is about."""
    image_end: Sequence[int]
    """Per question the place after its last image token: no prefix may end before it."""
    images: Any
    """What the family made of the distinct images; handed back to :meth:`SharedPrefixFamily.forward`."""
    positions: Sequence[Tensor] | None = None
    """Per question its position ids, (length,) or (axes, length); 0, 1, 2 ... when None."""


@dataclass(frozen=True)
class Rows:
    """What one forward pass reads, on the model's device; padding is on the left."""

    ids: Tensor
    """(rows, length); 0 where the mask is."""
    mask: Tensor
    """(rows, cached + length): 1 for a token, 0 for padding."""
    positions: Tensor
    """(rows, length), or (axes, rows, length)."""
    images: Sequence[int] | None
    """Which distinct image each row holds; None when all image tokens are in the cache already."""


@dataclass(frozen=True)
class Group:
    """Questions that share their forward passes."""

    rows: list[int]
    splits: list[int] | None
    """Where each distinct image's prefix ends; None: nothing is shared."""
    plan: Any = None
    """What :meth:`SharedPrefixFamily.plan` returned."""


@dataclass(frozen=True)
class PreparedBatch:
    """A batch with everything done that needs no model."""

    items: Sequence[BatchItem]
    prompts: Prompts
    groups: list[Group]


class SharedPrefixFamily(Family):
    """A family of decoder models; a subclass says how to prepare prompts and how to run one forward pass."""

    causal: bool = True
    """Whether a token's states are free of what follows it; a subclass may find out when it loads."""
    copies: ClassVar[bool] = False
    """Whether a copy of :attr:`model` and its modules, in float32, is all that a plain forward needs to be exact."""
    pads_prefixes: ClassVar[bool] = True
    """Whether prefixes of several lengths may share a forward; else those of each length are run apart."""

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
        """Keep what every family needs.

        Args:
            options: as given to ``load``.
            model: the whole model, on its device, in its dtype.
            tokenizer: what decodes its answers.
            layers: all its decoder layers, in order.
            dim: the length of a hidden state.
            language_model: the part that generates, where it is not the whole model.
            manifest: what this family records beside what all do.

        Raises:
            UsageFault: a layer was asked for that the model does not have.
        """
        self.model = model
        self.tokenizer = tokenizer
        self._generator = model if language_model is None else language_model
        parameter = next(layers[0].parameters())
        self.device: torch.device = parameter.device
        kept = kept_layers(options.layers, len(layers))
        self._modules = [layers[layer] for layer in kept]
        self._margins = MarginReader(tokenizer)
        with torch.inference_mode(), quiet():
            self._decoder = self._make_decoder()
        dtype = str(parameter.dtype).removeprefix("torch.")
        if dtype == "float32":
            exact_float32()
        described = describe_run(model, options, self.device, dtype)
        decoding = {
            "end_tokens": sorted(self._decoder.end_tokens),
            "logits_processors": list(self._decoder.processor_names),
            "shared_prefix": self.causal,
        }
        self.info = ModelInfo(
            n_layers=len(layers),
            layers=kept,
            dim=dim,
            dtype=dtype,
            device=str(self.device),
            manifest={**described, **decoding, **(manifest or {})},
        )

    # What a family fills in.

    @abstractmethod
    def prompts(self, items: Sequence[BatchItem]) -> Prompts:
        """Prepare each distinct image once and write both questions of every pair as token ids."""

    @abstractmethod
    def forward(self, rows: Rows, images: Any, cache: Any) -> tuple[Tensor, Any]:
        """Run one forward pass.

        Args:
            rows: what to read; with ``rows.images`` None there are no image tokens among the ids.
            images: the batch's :attr:`Prompts.images`.
            cache: what an earlier pass returned; None at first.

        Returns:
            The logits after each row's last token, (rows, vocabulary), and the cache of all tokens so far.
        """

    @abstractmethod
    def plain_inputs(self, image: Image, question: str) -> dict[str, Any]:
        """Return what the model's own forward takes for one question, on its device; ``input_ids`` among it."""

    def select_rows(self, cache: Any, rows: Tensor) -> Any:
        """Return the cache with these rows, which may repeat; transformers' caches do it in place."""
        cache.batch_select_indices(rows)
        return cache

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

        Where a family leaves both to the model, its ``generate`` gives both, and the prompt is run once.
        """
        cls, base = type(self), SharedPrefixFamily
        if cls.plain_logits is not base.plain_logits or cls.plain_tokens is not base.plain_tokens:
            return self.plain_logits(inputs), self.plain_tokens(inputs)
        options = greedy_options(self.model, self.tokenizer)
        made = self.model.generate(
            **inputs, **options | {"return_dict_in_generate": True, "output_logits": True}
        )
        return made.logits[0], made.sequences[0, inputs["input_ids"].shape[1] :].tolist()

    def _make_decoder(self) -> GreedyDecoder:
        return GreedyDecoder(self._generator, self.tokenizer)

    # What all share.

    def run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        """See :meth:`Family.run_batch`."""
        return self.run_prepared(self.prepare(items))

    @torch.inference_mode()
    def prepare(self, items: Sequence[BatchItem]) -> PreparedBatch:
        """Write the prompts of N pairs; each image is prepared once. Pairs that hold the same image object share it."""
        with on_device(self.device):
            prompts = self.prompts(items)
            return PreparedBatch(items, prompts, self._groups(prompts))

    @torch.inference_mode()
    def run_prepared(self, prepared: PreparedBatch) -> BatchOutput:
        """Answer N pairs at once; each image is encoded and read once."""
        with on_device(self.device):
            return reporting_full_memory(lambda: self._run_prepared(prepared))

    @torch.inference_mode()
    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Answer each question alone and unpadded, through the model's own forward and ``generate``."""
        with on_device(self.device):
            return reporting_full_memory(lambda: self._run_plain(items))

    @torch.inference_mode()
    def run_exact(self, items: Sequence[BatchItem]) -> BatchOutput | None:
        """See :meth:`Family.run_exact`: a copy of the model in float32 is asked, and let go."""
        if not self.copies or self.info.dtype == "float32" or not room_for_float32(self.model, self.device):
            return None
        exact_float32()
        twin = copy.copy(self)
        with on_device(self.device):
            return reporting_full_memory(lambda: twin._run_exact(items))

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

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return text and token ids of a pair's original question, as the model gets them."""
        prompts = self.prompts([item])
        ids = list(prompts.ids[0])
        return {"text": self.tokenizer.decode(ids), "token_ids": ids}

    def plan(self, prompts: Prompts, rows: Sequence[int], splits: Sequence[int]) -> Any:
        """Work out ahead, on the host, what :meth:`_read` needs for these questions; most families need nothing."""
        del prompts, rows, splits

    def _run_prepared(self, prepared: PreparedBatch) -> BatchOutput:
        items, prompts = prepared.items, prepared.prompts
        answers = [answer for item in items for answer in item.answers]
        n_rows = len(prompts.ids)
        states = HostStates(len(self._modules), n_rows, self.info.dim)
        texts = [""] * n_rows
        margins: Floats = np.full(n_rows, np.nan)
        leads: Floats = np.full(n_rows, np.nan)
        for group in prepared.groups:
            logits, captured, step = self._read(prompts, group)
            # The copy goes on while the answers are decoded.
            states.take(group.rows, captured)
            margins[group.rows] = self._margins.read(logits, [answers[row] for row in group.rows])
            with quiet():
                asked = [prompts.ids[row] for row in group.rows]
                new, leads[group.rows] = self._decoder.decode_with_leads(asked, logits, step)
            for row, tokens in zip(group.rows, new, strict=True):
                texts[row] = self._text(tokens)
        return replace(self._output(items, states.array(), texts, margins), leads=leads.reshape(-1, 2))

    def _groups(self, prompts: Prompts) -> list[Group]:
        """Put the questions into groups that share their forward passes."""
        splits = _shared_lengths(prompts) if self.causal else None
        if self.pads_prefixes:
            return [self._group(prompts, list(range(len(prompts.ids))), splits)]
        by_length: dict[int, list[int]] = {}
        for row, (ids, image) in enumerate(zip(prompts.ids, prompts.image_of_row, strict=True)):
            by_length.setdefault(len(ids) if splits is None else splits[image], []).append(row)
        return [self._group(prompts, rows, splits) for rows in by_length.values()]

    def _group(self, prompts: Prompts, rows: list[int], splits: list[int] | None) -> Group:
        return Group(rows, splits, None if splits is None else self.plan(prompts, rows, splits))

    def _read(self, prompts: Prompts, group: Group) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Run a group's prompts; return logits (rows, vocabulary), states (layers, rows, dim) and what goes on."""
        positions = prompts.positions or [torch.arange(len(ids)) for ids in prompts.ids]
        images = [prompts.image_of_row[row] for row in group.rows]
        if group.splits is None:
            parts = [(prompts.ids[row], positions[row]) for row in group.rows]
            rows = self._rows(parts, None, images)
            cache = None
        else:
            splits = group.splits
            first_row = {prompts.image_of_row[row]: row for row in reversed(group.rows)}
            distinct = sorted(first_row)
            prefixes = [
                (
                    prompts.ids[first_row[image]][: splits[image]],
                    positions[first_row[image]][..., : splits[image]],
                )
                for image in distinct
            ]
            prefix = self._rows(prefixes, None, distinct)
            _, cache = self.forward(prefix, prompts.images, None)
            of_row = torch.tensor([distinct.index(image) for image in images], device=self.device)
            cache = self.select_rows(cache, of_row)
            parts = [
                (prompts.ids[row][splits[image] :], positions[row][..., splits[image] :])
                for row, image in zip(group.rows, images, strict=True)
            ]
            rows = self._rows(parts, prefix.mask[of_row], None)
        with LastTokenCapture(self._modules) as capture:
            logits, cache = self.forward(rows, prompts.images, cache)
        ends = torch.stack([positions[row].max() for row in group.rows]).to(self.device)
        return logits, capture.stacked(), _Step(self, prompts.images, cache, rows, ends + 1)

    def _rows(
        self,
        parts: Sequence[tuple[Sequence[int], Tensor]],
        cached_mask: Tensor | None,
        images: Sequence[int] | None,
    ) -> Rows:
        """Pad token ids and positions on the left, into one block on the model's device."""
        longest = max(len(ids) for ids, _ in parts)
        axes = parts[0][1].shape[:-1]
        ids = torch.zeros((len(parts), longest), dtype=torch.long)
        mask = torch.zeros((len(parts), longest), dtype=torch.long)
        positions = torch.zeros((*axes, len(parts), longest), dtype=torch.long)
        for row, (tokens, places) in enumerate(parts):
            ids[row, longest - len(tokens) :] = torch.tensor(tokens)
            mask[row, longest - len(tokens) :] = 1
            positions[..., row, longest - len(tokens) :] = places
        ids, mask, positions = (tensor.to(self.device) for tensor in (ids, mask, positions))
        if cached_mask is not None:
            mask = torch.cat([cached_mask, mask], dim=1)
        return Rows(ids, mask, positions, images)

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


class _Step:
    """One decoding step after another on the KV cache; text goes on by one position on every axis."""

    def __init__(
        self, family: SharedPrefixFamily, images: Any, cache: Any, rows: Rows, next_position: Tensor
    ) -> None:
        self._family, self._images, self._cache = family, images, cache
        self._mask = rows.mask
        self._axes = rows.positions.shape[:-2]
        self._position = next_position

    def __call__(self, tokens: Tensor) -> Tensor:
        self._mask = torch.cat([self._mask, torch.ones_like(tokens)], dim=1)
        positions = self._position[:, None].expand(*self._axes, -1, 1)
        rows = Rows(tokens, self._mask, positions, None)
        logits, self._cache = self._family.forward(rows, self._images, self._cache)
        self._position = self._position + 1
        return logits


def _shared_lengths(prompts: Prompts) -> list[int] | None:
    """Return per image how many tokens its questions begin with alike, less than the shortest has.

    None when the questions of an image part before its last image token: nothing can be shared then.
    """
    rows_of: dict[int, list[int]] = {}
    for row, image in enumerate(prompts.image_of_row):
        rows_of.setdefault(image, []).append(row)
    lengths = []
    for image in sorted(rows_of):
        rows = rows_of[image]
        shortest = min(len(prompts.ids[row]) for row in rows)
        columns = zip(*(prompts.ids[row][: shortest - 1] for row in rows), strict=True)
        alike = next((place for place, column in enumerate(columns) if len(set(column)) > 1), shortest - 1)
        if alike < max(prompts.image_end[row] for row in rows):
            return None
        lengths.append(alike)
    return lengths
