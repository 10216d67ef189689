"""Greedy decoding for a model without ``generate``: a stand-in lets transformers prepare its rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel

from vlmprobe.families.worker.faults import ModelFault, one_line
from vlmprobe.families.worker.loading.reading import read_text

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["GenerationHost", "generation_config_of"]


class GenerationHost(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A stand-in for a model without ``generate``, from which transformers prepares its decoding rules."""

    config_class = PretrainedConfig

    def __init__(self, generation_config: GenerationConfig, device: torch.device) -> None:
        super().__init__(PretrainedConfig(num_hidden_layers=1))
        self.generation_config = generation_config
        self._at = device

    @property
    def device(self) -> torch.device:
        """The device of the model that this stands in for."""
        return self._at

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> None:
        """Only declare the arguments that ``generate`` looks for."""
        raise NotImplementedError


def generation_config_of(options: LoadOptions, tokenizer: Any) -> GenerationConfig:
    """Read the checkpoint's generation config.

    Published ones name no end token. Like the model card's example, this uses the tokenizer's.
    """
    text = read_text(options.checkpoint, "generation_config.json", options.revision)
    try:
        config = GenerationConfig.from_dict(json.loads(text) if text else {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFault(
            f"{options.checkpoint}: generation_config.json cannot be read ({one_line(error)}); compare it with "
            "the base model's, or copy it again"
        ) from error
    if config.eos_token_id is None:
        config.eos_token_id = tokenizer.eos_token_id
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.eos_token_id
    return config
