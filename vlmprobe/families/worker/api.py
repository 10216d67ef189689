"""The API for plug-ins that add a family; they import no other module of vlmprobe (docs/families.md).

It works wherever a family runs: here, or in a Python environment without vlmprobe. It imports torch.

* A family is a subclass of :class:`SharedPrefixFamily`. It prepares :class:`Prompts` and runs a forward pass on
  :class:`Rows`; the base class does the rest. A family that cannot use it subclasses :class:`Family`.
* A batch is a list of :class:`BatchItem`; :class:`BatchOutput` holds its states, answers and margins.
* ``load_...`` functions load the parts of the checkpoint in :class:`LoadOptions`, and raise the faults below.
* A fault's message is one line: what is wrong, where, and what to do. There are :class:`ModelFault`,
  :class:`UsageFault` and :class:`PackageFault`. After an :class:`OutOfMemoryError`, smaller batches follow.
"""

from __future__ import annotations

from vlmprobe.families.worker.contract import BatchItem, BatchOutput, LoadOptions, ModelInfo, Unembedding
from vlmprobe.families.worker.engine.capture import decoder_layers
from vlmprobe.families.worker.engine.decoding import greedy_options
from vlmprobe.families.worker.engine.family import Family
from vlmprobe.families.worker.engine.prompts import distinct_images, load_chat_template, pad_left, render_chat
from vlmprobe.families.worker.engine.shared_prefix import Prompts, Rows, SharedPrefixFamily
from vlmprobe.families.worker.faults import Fault, ModelFault, OutOfMemoryError, PackageFault, UsageFault
from vlmprobe.families.worker.loading.devices import pick_device, pick_dtype
from vlmprobe.families.worker.loading.parts import load_image_processor, load_tokenizer
from vlmprobe.families.worker.loading.pretrained import load_model, loading_faults
from vlmprobe.families.worker.loading.reading import quiet, require_consent
from vlmprobe.families.worker.weights.files import find_weights

__all__ = [
    "BatchItem",
    "BatchOutput",
    "Family",
    "Fault",
    "LoadOptions",
    "ModelFault",
    "ModelInfo",
    "OutOfMemoryError",
    "PackageFault",
    "Prompts",
    "Rows",
    "SharedPrefixFamily",
    "Unembedding",
    "UsageFault",
    "decoder_layers",
    "distinct_images",
    "find_weights",
    "greedy_options",
    "load_chat_template",
    "load_image_processor",
    "load_model",
    "load_tokenizer",
    "loading_faults",
    "pad_left",
    "pick_device",
    "pick_dtype",
    "quiet",
    "render_chat",
    "require_consent",
]
