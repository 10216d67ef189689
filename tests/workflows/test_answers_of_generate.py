"""The answers in the database are those that transformers' own ``generate`` gives, asked one question at a time."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from PIL.Image import Image


def _images(data: Path) -> dict[str, Image]:
    from PIL import Image

    csv.field_size_limit(sys.maxsize)
    with data.open(newline="") as stream:
        return {
            row["index"]: Image.open(io.BytesIO(base64.b64decode(row["image"]))).convert("RGB")
            for row in csv.DictReader(stream, delimiter="\t")
        }


def _generate(checkpoint: Path, questions: list[tuple[Image, str]]) -> Iterator[str]:
    """Ask as the checkpoint's authors would, with none of vlmprobe's code."""
    import torch
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    processor = Qwen2VLImageProcessorPil.from_pretrained(checkpoint)
    for image, question in questions:
        pixels = processor(images=[image], return_tensors="pt")
        n_image_tokens = int(pixels["image_grid_thw"].prod()) // processor.merge_size**2
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        prompt = prompt.replace("<|image_pad|>", "<|image_pad|>" * n_image_tokens)
        inputs = tokenizer(prompt, return_tensors="pt")
        ids = inputs["input_ids"]
        inputs["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
        inputs.pop("token_type_ids", None)
        output = model.generate(**inputs, **pixels, do_sample=False, max_new_tokens=20)
        yield tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).strip()


# The words to choose from are in the question, so a mild penalty weighs on both; a heavy one changes every answer.
@pytest.mark.full
@pytest.mark.parametrize("penalty", [1.3, pytest.param(10.0, marks=pytest.mark.full)])
@pytest.mark.parametrize("scale", [pytest.param("vanilla", marks=pytest.mark.full), "2m"])
@pytest.mark.parametrize(
    "per_category", [pytest.param(2, id="24-questions"), pytest.param(20, id="240", marks=pytest.mark.full)]
)
def test_a_repetition_penalty_changes_answers_as_it_does_in_generate(
    per_category: int,
    scale: str,
    penalty: float,
    vlmprobe: Any,
    benchmark: Callable[..., Path],
    rows: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """With a ``repetition_penalty`` in its generation_config.json, every answer is that of ``generate``."""
    from vlmprobe.resources import checkpoints_folder

    checkpoint, data = tmp_path / "penalised", benchmark(per_category)
    shutil.copytree(checkpoints_folder() / scale, checkpoint)
    config = json.loads((checkpoint / "generation_config.json").read_text())
    (checkpoint / "generation_config.json").write_text(json.dumps(config | {"repetition_penalty": penalty}))

    vlmprobe(
        *("extract", "tiny", "--scale", scale, "--checkpoint", checkpoint, "--data", data),
        *("--batch-size", 8, "--home", tmp_path / "home"),
        **mlflow_store,
    ).ok()

    asked = rows(
        tmp_path / "home",
        """
        SELECT pair_id, CASE side WHEN 'orig' THEN orig_question ELSE swap_question END, text
        FROM predictions INNER JOIN swap_pairs USING (pair_id) ORDER BY pair_id, side
        """,
    )
    images = _images(data)
    expected = _generate(checkpoint, [(images[pair_id], question) for pair_id, question, _ in asked])
    assert len(asked) == 12 * per_category
    assert [text for _, _, text in asked] == list(expected)
    one_word = sum(text in {"left", "right", "above", "below", "far", "close"} for _, _, text in asked)
    assert one_word == len(asked) if penalty == 1.3 else one_word < len(asked) / 2
    # The fast path itself gave them: nothing was redone the plain way.
    assert rows(tmp_path / "home", "SELECT DISTINCT passed FROM certificates") == [(True,)]
    ((recorded,),) = rows(
        tmp_path / "home", "SELECT json_extract_string(config, '$.manifest.logits_processors') FROM runs"
    )
    assert "RepetitionPenalty" in recorded
