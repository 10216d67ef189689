"""Runs the studies of "Is it space?" on drawn benchmarks: ``docs/results/controls/*.csv``.

``python docs/controls_studies.py`` draws each benchmark, runs extract, analyze, control and verdict on it in a home of
its own, and writes what came out. A study whose rows are there is not run again, so a stopped script goes on where it
was; ``--only random-weights/0.9`` or ``--only lies/uneven`` runs a part. ``python docs/controls_page.py`` then fills
``docs/controls.md``.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controls_page import RESULTS, read_rows
from controls_plan import KEYS, Study, all_studies, name_of
from controls_rows import COLUMNS, Row, rows_of

from vlmprobe import Workspace
from vlmprobe.demo import build_benchmark
from vlmprobe.resources import checkpoints_folder
from vlmprobe.settings import Settings
from vlmprobe.workflows.control import control
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest
from vlmprobe.workflows.scales import run_scales
from vlmprobe.workflows.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.demo import BenchmarkFiles, Confounds

FAMILY = "tiny"


def write_random_checkpoint(folder: Path, seed: int) -> Path:
    """Write the tiny architecture with random weights, and the bundled tokenizer and image processor.

    They are drawn as ``--control random-weights:SEED`` draws them.
    """
    import torch
    from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

    from vlmprobe.families.worker.weights.untrained import make_untrained

    bundled = checkpoints_folder() / "vanilla"
    config = AutoConfig.from_pretrained(bundled)
    shutil.copytree(bundled, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model = make_untrained(Qwen2_5_VLForConditionalGeneration, config, torch.float32, seed)
    # Any token ends an answer: what an untrained network says means nothing, and to let it talk takes longest.
    model.generation_config.eos_token_id = list(range(config.text_config.vocab_size))
    model.save_pretrained(folder)
    return folder


def run_study(study: Study, scratch: Path) -> list[Row]:
    """Draw a benchmark, judge its checkpoints on it in a new home, and return a row for each axis and the angle.

    Args:
        study: what to run.
        scratch: a folder; checkpoints and the MLflow store in it serve all studies of a process.
    """
    started = time.monotonic()
    files = _benchmark(scratch, study.pairs_per_category, study.seed, study.confounds)
    with tempfile.TemporaryDirectory(dir=scratch) as home:
        store = f"sqlite:///{scratch / 'mlflow.db'}"
        settings = Settings.load(Path(home), environ={"MLFLOW_TRACKING_URI": store}, folder=scratch)
        workspace = Workspace(settings)
        _extract(workspace, study, files, scratch)
        rows = list(rows_of(workspace, files.tsv, verdict(workspace, FAMILY, files.tsv)))
    # Once a study, so that the column adds up.
    rows[0]["seconds"] = round(time.monotonic() - started, 1)
    return [{**study.key, **row} for row in rows]


@lru_cache(maxsize=1)
def _benchmark(scratch: Path, pairs_per_category: int, seed: int, confounds: Confounds) -> BenchmarkFiles:
    """Draw a benchmark, unless it is the last one."""
    return build_benchmark(
        scratch / "benchmark",
        pairs_per_category=pairs_per_category,
        seed=seed,
        confounds=confounds,
        image_swaps=True,
    )


def _extract(workspace: Workspace, study: Study, files: BenchmarkFiles, scratch: Path) -> None:
    """Extract and analyze every checkpoint, then what its verdicts need."""
    options = ExtractOptions(files.tsv)
    requests = [
        ExtractRequest(FAMILY, scale, options, checkpoint=_checkpoint(scratch, seed))
        for scale, seed in study.checkpoints.items()
    ]
    run_scales(workspace, requests)
    control(workspace, FAMILY, options, image_swaps=files.swaps, verdicts_only=True)


def _checkpoint(scratch: Path, seed: int | None) -> str | None:
    if seed is None:
        return None
    folder = scratch / f"random-{seed}"
    return str(folder if folder.is_dir() else write_random_checkpoint(folder, seed))


def _write_rows(kind: str, rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    path = folder / f"{kind}.csv"
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, (*KEYS[kind], *COLUMNS), lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def main(only: str = "", limit: int | None = None, folder: Path = RESULTS) -> None:
    """Run the studies that have no rows yet, and whose name begins with ``only``."""
    place = {study.name: number for number, study in enumerate(all_studies())}
    folder.mkdir(parents=True, exist_ok=True)

    done = {name_of(kind, row) for kind in KEYS for row in read_rows(kind, folder)}
    left = [study for study in all_studies() if study.name.startswith(only) and study.name not in done]
    print(f"{len(done)} studies are done, {len(left)} to run", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for study in left[:limit]:
            rows = run_study(study, Path(scratch))
            every = [*read_rows(study.kind, folder), *rows]
            every.sort(key=lambda row: place[name_of(study.kind, row)])
            _write_rows(study.kind, every, folder)
            said = "; ".join(
                f"{row['scale']} {row['target']}: {row['verdict']}" for row in rows if row.get("verdict")
            )
            print(f"{study.name} ({rows[0]['seconds']} s): {said}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="studies whose name begins so, such as random-weights/0.9")
    parser.add_argument("--limit", type=int, help="at most so many studies")
    given = parser.parse_args()
    main(given.only, given.limit)
