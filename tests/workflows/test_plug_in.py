"""A family from a third-party package: installed beside vlmprobe and used without touching it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

from vlmprobe.families.worker import api

from ..architectures import save_checkpoint, siglip_like, text_like, tokenizer_of

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(__file__).parents[1] / "plugin_package"
DOCS = Path(__file__).parents[2] / "docs" / "families.md"


def _checkpoint(folder: Path) -> Path:
    """Save a tiny random LLaVA."""
    folder.mkdir()
    tokenizer = tokenizer_of(["<|im_end|>", "<image>"], eos_token="<|im_end|>", pad_token="<|im_end|>")
    torch.manual_seed(0)
    vision = {**siglip_like(28), "model_type": "clip_vision_model", "projection_dim": 32}
    config = LlavaConfig(
        text_config={**text_like(tokenizer), "model_type": "llama"},
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=False,
    )
    settings = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 28}, "crop_size": 28}
    save_checkpoint(folder, LlavaForConditionalGeneration(config), tokenizer, "<image>", settings, {})
    return folder


@pytest.mark.full
def test_a_package_adds_a_family(
    tmp_path: Path, benchmark: Callable[..., Path], mlflow_store: dict[str, str]
) -> None:
    """Pip installs it; `vlmprobe extract llava` runs it; its certificate passes."""
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        str(PACKAGE),
    ]
    subprocess.run(install, check=True, capture_output=True)
    environ = {**os.environ, **mlflow_store, "PYTHONPATH": str(site)}

    def run(*arguments: Any) -> str:
        command = [sys.executable, "-m", "vlmprobe", *map(str, arguments), "--home", str(tmp_path / "home")]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    checkpoint = _checkpoint(tmp_path / "checkpoint")
    said = json.loads(
        run(
            "extract",
            "llava",
            "--scale",
            "random",
            "--checkpoint",
            checkpoint,
            "--data",
            benchmark(2),
            "--json",
        )
    )
    assert (said["status"], said["asked"], said["failed"], said["notes"]) == ("complete", 12, 0, [])
    question = "SELECT bool_and(passed) AS passed, max(max_rel_dh) AS worst FROM certificates"
    (certificate,) = json.loads(run("sql", question, "--json"))
    assert certificate["passed"]
    assert certificate["worst"] <= 1e-5
    (row,) = json.loads(run("sql", "SELECT family, n_layers FROM runs", "--json"))
    assert row == {"family": "llava", "n_layers": 3}


def test_a_plug_in_imports_one_module_of_vlmprobe() -> None:
    """What the docs call its whole interface is all that the example takes."""
    tree = ast.parse((PACKAGE / "vlmprobe_llava.py").read_text())
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {name for name in froms | others if str(name).startswith("vlmprobe")} == {api.__name__}


def test_what_a_plug_in_may_import_is_there_and_said_in_the_docs() -> None:
    """Its names are those of ``__all__``; what the page names of it exists."""
    assert [name for name in api.__all__ if not hasattr(api, name)] == []
    section = DOCS.read_text().partition("## Add a family")[2]
    named = set(re.findall(r"`(load_\w+|\w+Fault|SharedPrefixFamily)`", section))
    assert named <= set(api.__all__)
    assert {"load_model", "ModelFault", "SharedPrefixFamily"} <= named


def test_the_docs_show_the_package_as_it_is_and_it_is_short() -> None:
    """The example of "Add a family" is the file that is tested, under 60 lines."""
    code = (PACKAGE / "vlmprobe_llava.py").read_text()
    assert code in DOCS.read_text()
    assert len(code.splitlines()) < 60
