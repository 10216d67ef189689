"""The question templates that the tiny models are taught; of the others they know some of the words at best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.pairs.prompts import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.prompts import Template

__all__ = ["TAUGHT"]

#: By name. The bundled tokenizers and checkpoints rest on these and their order: another one needs a new training.
TAUGHT: Mapping[str, Template] = {
    name: TEMPLATES[name]
    for name in ("published", "mention-swapped", "options-swapped", "yes-no", "yes-no-opposite")
}
