"""The matrix: a tiny random model of each architecture through the whole command, and the table of what came out."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.numpy import load_file

from ..architectures import LAYERS, NATIVE
from ..molmo_checkpoints import molmo_code, save_hub, save_native
from ..nvila_environment import build_nvila, nvila_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rows = Callable[[Path, str], list[tuple[Any, ...]]]

DOCS = Path(__file__).parents[2] / "docs" / "families.md"
BUNDLED = Path(__file__).parents[2] / "vlmprobe" / "demo" / "checkpoints" / "2m"
#: Architecture -> the family that runs it here.
MATRIX = {
    **dict.fromkeys(NATIVE, "auto"),
    "qwen2_5_vl": "auto",
    "qwen2_5_vl ": "qwen25",
    "molmo": "molmo",
    "molmo_olmo": "molmo",
    "llava_llama": "nvila",
    "vila": "nvila",
}
BUILDERS = {
    **NATIVE,
    "molmo": save_hub,
    "molmo_olmo": lambda folder: save_native(folder, save_hub(folder.parent / "hub")),
    "llava_llama": build_nvila,
    "vila": lambda folder: build_nvila(folder, "preview"),
}
#: Options of those that bring code of their own.
MORE = {"molmo": ["--trust-remote-code"], "vila": ["--trust-remote-code"]}


@pytest.fixture(scope="module")
def table() -> list[tuple[str, ...]]:
    """Gather the rows of the table, one an architecture."""
    return []


@pytest.fixture
def _code(name: str, tmp_path: Path) -> Iterator[None]:
    """Find the code of an architecture that is not this project's, or skip."""
    with molmo_code(tmp_path / "modules") if MATRIX[name] == "molmo" else nullcontext():
        yield


@pytest.mark.full
@pytest.mark.usefixtures("_code")
@pytest.mark.parametrize("name", MATRIX)
def test_an_architecture_goes_through_the_whole_command(
    name: str,
    table: list[tuple[str, ...]],
    inside: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    rows: Rows,
    tmp_path: Path,
) -> None:
    """Every question has an answer and its states; the certificate of a causal model's shared prefix passes."""
    checkpoint = BUNDLED if name.startswith("qwen2_5") else tmp_path / "checkpoint"
    if checkpoint is not BUNDLED:
        checkpoint.mkdir()
        BUILDERS[name](checkpoint)
    n_layers, dim = (6, 192) if checkpoint is BUNDLED else (LAYERS, 32)
    home = tmp_path / "home"
    if MATRIX[name] == "nvila":
        (tmp_path / "vlmprobe.toml").write_text(nvila_settings())
    said = type(inside)(tmp_path)(
        "extract", MATRIX[name], "--scale", "random", "--checkpoint", checkpoint, "--data", benchmark(2),
        "--batch-size", 4, "--home", home, *MORE.get(name, []), **mlflow_store,
    ).ok()  # fmt: skip
    assert "complete: 12 pairs extracted" in " ".join(str(said.err).split())

    ((layers, width, dtype, status),) = rows(home, "SELECT n_layers, dim, dtype, status FROM runs")
    assert (layers, width, dtype, status) == (n_layers, dim, "float32", "complete")
    ((answers,),) = rows(home, "SELECT count(*) FROM predictions WHERE text IS NOT NULL")
    shards = [load_file(home / path) for (path,) in rows(home, "SELECT path FROM shards")]
    assert (answers, sum(len(shard["layer.000"]) for shard in shards)) == (24, 12)
    assert {len(shard) for shard in shards} == {n_layers}
    assert {states.shape[1:] for shard in shards for states in shard.values()} == {(2, dim)}
    certificates = rows(home, "SELECT passed, action, max_rel_dh FROM certificates")
    assert certificates
    assert all(passed and action == "kept" and worst <= 1e-5 for passed, action, worst in certificates)

    ((shared, kernel),) = rows(
        home, "SELECT config->>'$.manifest.shared_prefix', config->>'$.manifest.attention' FROM runs"
    )
    assert shared == ("false" if name == "paligemma" else "true")
    worst = max(worst for _, _, worst in certificates)
    table.append(
        (name.strip(), MATRIX[name], str(layers), str(width), str(answers), shared, kernel, f"{worst:.0e}")
    )


@pytest.mark.full
def test_the_table_is_that_of_the_docs(table: list[tuple[str, ...]]) -> None:
    """Print it; the docs' table has the same rows, but for the measured last column."""
    head = ("architecture", "family", "layers", "dim", "answers", "shared prefix", "kernel", "max |dh|/|h|")
    lines = [" | ".join(row) for row in (head, *table)]
    print("\n" + "\n".join(lines))
    if len(table) < len(MATRIX):
        pytest.skip("only part of the matrix was run")
    documented = re.findall(r"^\| (`\w+` \|.*) \|$", DOCS.read_text(), flags=re.MULTILINE)
    cells = [tuple(cell.strip(" `") for cell in line.split("|")) for line in documented]
    assert {row for row in cells if len(row) == len(head) - 1} == {row[:-1] for row in table}
