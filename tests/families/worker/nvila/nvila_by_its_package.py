"""Ask a tiny NVILA through its package's own ``generate_content``, and through vlmprobe's family; print both as JSON.

    python nvila_by_its_package.py CHECKPOINT CLONE_OF_VILA [DEVICE]

Run by the Python of NVILA's environment. The package moves its inputs to a GPU: without one, that is a mock.
"""

from __future__ import annotations

import copy
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image

WORKER = Path(__file__).parents[4] / "vlmprobe" / "families" / "worker"
QUESTIONS = (
    "Is the cup to the left or right of the book?",
    "Is the <image> book far from the enormous yellow triangle or close to it?",
)


def main() -> None:
    """Load in float16, the package's only format, and in float32; compare."""
    checkpoint, clone = sys.argv[1:3]
    device = sys.argv[3] if len(sys.argv) > 3 else "cpu"
    sys.path.append(clone)
    runpy.run_path(str(WORKER / "bootstrap.py"), run_name="bootstrap")["_make_importable"]()
    from vlmprobe.families.worker import BatchItem, LoadOptions
    from vlmprobe.families.worker.nvila.family import Nvila

    if device == "cpu":
        torch.Tensor.cuda = lambda self, *_, **__: self
    options = LoadOptions(checkpoint, device=device, dtype="float16", trust_remote_code=True)
    family = Nvila.load(options)
    answers = (("left", "right"), ("far", "close"))
    image = Image.linear_gradient("L").resize((200, 90)).convert("RGB")
    asked, texts = zip(*(_ask_package(family.model, image, question) for question in QUESTIONS), strict=True)
    ours = [family.plain_inputs(image, question) for question in QUESTIONS]
    item = BatchItem("p", image, QUESTIONS, answers)

    exact = Nvila.load(LoadOptions(checkpoint, device=device, dtype="float32", trust_remote_code=True))
    print(
        json.dumps(
            {
                "same_ids": all(
                    torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(asked, ours, strict=True)
                ),
                "same_tiles": all(
                    torch.equal(torch.stack(a["media"]["image"]), torch.stack(b["media"]["image"]))
                    for a, b in zip(asked, ours, strict=True)
                ),
                "same_settings": all(
                    dict(a["media_config"]["image"]) == b["media_config"]["image"]
                    for a, b in zip(asked, ours, strict=True)
                ),
                "package": list(texts),
                "plain": list(family.run_plain([item]).texts[0]),
                "fast": list(family.run_batch([item]).texts[0]),
                "dtypes": sorted({str(p.dtype) for p in family.model.parameters()}),
                "weights_as_stored": _as_stored(exact.model, Path(checkpoint)),
            }
        )
    )


def _ask_package(model: Any, image: Image.Image, question: str) -> tuple[dict[str, Any], str]:
    """Return what ``generate_content`` hands to ``generate``, and its answer."""
    seen: dict[str, Any] = {}
    generate = model.generate

    def listen(**inputs: Any) -> Any:
        seen.update(inputs)
        return generate(**inputs, **only_ids)

    # The preview form returns the prompt's ids before the answer's, which would be decoded with it.
    only_ids = {"return_output_ids_only": True} if "VILAForCausalLM" in type(model).__name__ else {}
    config = copy.deepcopy(model.default_generation_config)
    config.do_sample, config.max_new_tokens = False, 20
    model.generate = listen
    try:
        return seen, model.generate_content([image, question], generation_config=config)
    finally:
        del model.generate


def _as_stored(model: Any, folder: Path) -> bool:
    """Return whether every tensor is the file's bit for bit: no other number format on the way."""
    from safetensors.torch import load_file

    parts = {
        "llm": model.llm,
        "vision_tower": model.vision_tower.vision_tower,
        "mm_projector": model.mm_projector,
    }
    return all(
        torch.equal(module.state_dict()[name].cpu(), tensor)
        for part, module in parts.items()
        for name, tensor in load_file(folder / part / "model.safetensors").items()
    )


if __name__ == "__main__":
    main()
