"""Greedy decoding of a batch, with the answers of ``generate(do_sample=False)`` on one prompt at a time.

A checkpoint's generation_config.json may change the scores (repetition penalty, suppressed tokens ...) and
names the tokens that end an answer. None of that is reimplemented here: transformers prepares its own logits
processors and stopping criteria, and they see each row's *unpadded* ids, so that padding is never penalized.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteriaList, StopStringCriteria

from vlmprobe.families.worker.contract import MAX_NEW_TOKENS
from vlmprobe.families.worker.environment.versions import takes_own_decoding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

__all__ = ["GreedyDecoder", "greedy_options"]

#: Criteria that the loop itself handles (length, end tokens), or that must not affect an answer (a clock).
_OWN_CRITERIA = frozenset({"MaxLengthCriteria", "EosTokenCriteria", "MaxTimeCriteria"})
#: Processors that depend only on a row's length and ids, so that every batch can reuse them.
_REUSABLE = frozenset(
    {
        "ExponentialDecayLengthPenalty",
        "ForcedBOSTokenLogitsProcessor",
        "ForcedEOSTokenLogitsProcessor",
        "InfNanRemoveLogitsProcessor",
        "LogitNormalization",
        "MinLengthLogitsProcessor",
        "MinNewTokensLengthLogitsProcessor",
        "NoBadWordsLogitsProcessor",
        "NoRepeatNGramLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor",
        "SequenceBiasLogitsProcessor",
        "SuppressTokensAtBeginLogitsProcessor",
        "SuppressTokensLogitsProcessor",
    }
)
#: A prepared list can hold a tensor of the vocabulary's size: keep some, not all.
_PREPARED_KEPT = 64
#: Options that make ``generate`` deviate from greedy search, with the values that prevent it.
_GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "penalty_alpha": None,
    "dola_layers": None,
    "prompt_lookup_num_tokens": None,
    "max_time": None,
    "return_dict_in_generate": False,
}


def greedy_options(model: Any, tokenizer: Any, max_new_tokens: int = MAX_NEW_TOKENS) -> dict[str, Any]:
    """Return the arguments with which ``model.generate`` decodes greedily, whatever its config says."""
    config = model.generation_config
    options = {name: value for name, value in _GREEDY.items() if hasattr(config, name)}
    if getattr(config, "stop_strings", None):
        options["tokenizer"] = tokenizer
    return options | {"max_new_tokens": max_new_tokens}


@dataclass(slots=True)
class _Rules:
    """The logits processors and stopping criteria for prompts of one length."""

    processors: Any
    criteria: Any
    end_tokens: frozenset[int]

    @property
    def processor_names(self) -> tuple[str, ...]:
        return tuple(type(processor).__name__ for processor in self.processors)


@dataclass(slots=True)
class _Group:
    """The rows of a batch whose prompts have one length, and their ids so far: (rows, length), no padding."""

    rows: Tensor
    ids: Tensor
    rules: _Rules

    def process(self, scores: Tensor) -> None:
        """Let the logits processors change the rows' scores, in place."""
        scores[self.rows] = self.rules.processors(self.ids, scores[self.rows])

    def append(self, tokens: Tensor, scores: Tensor) -> list[int]:
        """Append each row's token; return the rows that a criterion ends."""
        self.ids = torch.cat([self.ids, tokens[self.rows, None]], dim=1)
        if not len(self.rules.criteria):
            return []
        ended: list[int] = self.rows[self.rules.criteria(self.ids, scores[self.rows])].tolist()
        return ended


class GreedyDecoder:
    """Greedy decoding with one checkpoint's own logits processors, end tokens and stop strings."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        max_new_tokens: int = MAX_NEW_TOKENS,
        *,
        embedded: bool = False,
    ) -> None:
        """Let transformers prepare the rules once, to find out what they are.

        Args:
            model: the model that generates.
            tokenizer: decodes tokens when looking for stop strings.
            max_new_tokens: where an answer ends when nothing else ends it.
            embedded: whether the model's own ``generate`` gets its prompts as embeddings: then it knows none of
                their ids, and no processor may see them here.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._max_new_tokens = max_new_tokens
        self._embedded = embedded
        self._prepared: dict[int, _Rules] = {}
        probe = self._prepare(torch.zeros((1, 1), dtype=torch.long, device=model.device))
        self.processor_names = probe.processor_names
        self.end_tokens = probe.end_tokens
        self._plain = not len(probe.processors) and not len(probe.criteria)

    def decode(
        self, prompts: Sequence[Sequence[int]], logits: Tensor, step: Callable[[Tensor], Tensor]
    ) -> tuple[list[list[int]], list[float]]:
        """Choose tokens until every row ended or has ``max_new_tokens``.

        Args:
            prompts: each row's prompt ids, without padding.
            logits: shape (rows, vocabulary): what follows the prompts.
            step: takes the chosen tokens, shape (rows, 1), and returns the next logits, as above.

        Returns:
            Each row's new ids, its end token included; and by how much the closest of its choices was made: the
            smallest difference of the best two scores, in nats.
        """
        groups = [] if self._plain else self._groups([[] for _ in prompts] if self._embedded else prompts)
        new: list[list[int]] = [[] for _ in prompts]
        leads: list[Tensor] = []
        going = [True] * len(prompts)
        for count in range(1, self._max_new_tokens + 1):
            scores = logits.float()
            if groups:
                scores = scores.clone()
                for group in groups:
                    group.process(scores)
            tokens = scores.argmax(dim=-1)
            best = scores.topk(2, dim=-1).values
            leads.append(best[:, 0] - best[:, 1])
            for row, token in enumerate(tokens.tolist()):
                if going[row]:
                    new[row].append(token)
                    going[row] = token not in self.end_tokens
            for group in groups:
                for row in group.append(tokens, scores):
                    going[row] = False
            if count == self._max_new_tokens or not any(going):
                break
            logits = step(tokens[:, None])
        by_row = torch.stack(leads, dim=1).tolist()
        return new, [min(row[: len(ids)]) for row, ids in zip(by_row, new, strict=True)]

    def _groups(self, prompts: Sequence[Sequence[int]]) -> list[_Group]:
        by_length: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(row)
        groups = []
        for length, rows in by_length.items():
            ids = torch.tensor(
                [list(prompts[row]) for row in rows], dtype=torch.long, device=self._model.device
            )
            # Not by the number of rows, which differs from batch to batch: the device waits while these are prepared.
            rules = self._prepared.get(length) or self._prepare(ids)
            if _REUSABLE.issuperset(rules.processor_names):
                if len(self._prepared) >= _PREPARED_KEPT:
                    self._prepared.clear()
                self._prepared[length] = rules
            groups.append(_Group(torch.tensor(rows, device=self._model.device), ids, rules))
        return groups

    def _prepare(self, ids: Tensor) -> _Rules:
        """Let ``generate`` prepare everything for these prompts, and intercept that instead of decoding."""
        found: list[_Rules] = []

        def hand_over(*places: Any, logits_processor: Any, stopping_criteria: Any, **_: Any) -> Tensor:
            ends = {
                int(token)
                for criterion in stopping_criteria
                if type(criterion).__name__ == "EosTokenCriteria"
                for token in criterion.eos_token_id.flatten().tolist()
            }
            others = [each for each in stopping_criteria if type(each).__name__ not in _OWN_CRITERIA]
            found.append(_Rules(logits_processor, type(stopping_criteria)(others), frozenset(ends)))
            # In place of a method it gets no model; as custom_generate it gets the model before the ids.
            given: Tensor = places[-1]
            return given

        options = greedy_options(self._model, self._tokenizer, self._max_new_tokens)
        # A custom_generate gets no tokenizer, so the only criterion that needs it is created here.
        if options.pop("tokenizer", None) is not None:
            stop = StopStringCriteria(self._tokenizer, self._model.generation_config.stop_strings)
            options |= {"stop_strings": None, "stopping_criteria": StoppingCriteriaList([stop])}
        prompt: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self._embedded:
            words = self._model.get_input_embeddings()
            zeros = torch.zeros((len(ids), 1), dtype=torch.long, device=ids.device)
            prompt = {"inputs_embeds": words(zeros), "attention_mask": torch.ones_like(zeros)}
        if takes_own_decoding(self._model.generate):
            self._model.generate(**prompt, custom_generate=hand_over, **options)
        else:
            # Older releases call this method for a greedy search; the instance's overrides the class's.
            self._model._sample = hand_over
            try:
                self._model.generate(**prompt, **options)
            finally:
                del self._model._sample
        return found[0]
