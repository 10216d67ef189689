"""How long a whole study takes, from the prompt back to the prompt, beside the engine's own time and the usual loop.

    python benchmarks/study.py [--shape tiny|3b|7b] [--scales 5] [--pairs 1200] [--devices 0 0 0,1] [--one]

The command is ``vlmprobe run`` on checkpoints of one shape (``--one``: ``vlmprobe extract`` of the first), in a home
and with caches of its own. A second study has other checkpoints of the same shape, and finds what the first one left in
the caches. ``tiny`` is the demo's model on this machine's processors. The others have random weights whose answers end
after two tokens, as those of trained models do, and need a GPU. The engine is timed on tensors, the loop on few pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from extract_gpu import one_by_one, save, write_tsv
from shapes import BUNDLED, family_of, pairs_of, random_model
from timing import describe, median_seconds, table

from vlmprobe.demo import DEMO_SCALES
from vlmprobe.demo.benchmark import build_benchmark

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 64
TINY_BATCH = 16
#: After one token, the score of the end token is raised beyond all others.
GENERATION = {"repetition_penalty": 1.05, "exponential_decay_length_penalty": [0, 1e6]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="tiny")
    parser.add_argument("--scales", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=1200)
    parser.add_argument(
        "--devices", nargs="+", default=["auto", "auto"], help="of each study: auto, 0 or 0,1"
    )
    parser.add_argument(
        "--rates", type=float, nargs=2, help="of engine and loop, if they are known; pairs a second"
    )
    parser.add_argument("--one", action="store_true", help="extract the first scale alone")
    parser.add_argument(
        "--folder", type=Path, help="where checkpoints and homes go; default: a temporary folder"
    )
    parser.add_argument("rest", nargs="*", help="further options of the command, after --")
    asked = parser.parse_args()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        folder = Path(temporary)
        data = _benchmark(asked.shape, folder, asked.pairs)
        engine, loop = asked.rates or _rates(asked.shape)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        n_scales = 1 if asked.one else asked.scales
        for number, devices in enumerate(asked.devices):
            scales = _checkpoints(asked.shape, folder, n_scales, number)
            options = [*([] if devices == "auto" else ["--devices", devices]), *asked.rest]
            whole, phases = _study(folder, asked.shape, scales, data, number, asked.one, options)
            name = f"study {number + 1}, devices {devices}"
            _show(name, whole, phases, asked.pairs * n_scales, engine, loop)


def _benchmark(shape: str, folder: Path, n_pairs: int) -> Path:
    if shape == "tiny":
        return build_benchmark(folder / "benchmark", pairs_per_category=n_pairs // 6, seed=1).tsv
    path = folder / "pairs.tsv"
    write_tsv(path, n_pairs)
    return path


def _checkpoints(shape: str, folder: Path, n_scales: int, number: int) -> list[str]:
    """Make the checkpoints of a study, after those of the one before are gone; return the names of the scales."""
    if shape == "tiny":
        return list(DEMO_SCALES)[-n_scales:]
    place = folder / "checkpoints"
    names = [f"s{number}{scale}" for scale in range(n_scales)]
    lines = []
    for scale, name in enumerate(names):
        if number:
            # As if deleted and written anew: another place, another time of writing, other content.
            (place / f"s{number - 1}{scale}").rename(place / name)
        elif not scale:
            save(shape, place / name)
            (place / name / "generation_config.json").write_text(_generation(place / name))
        else:
            shutil.copytree(place / names[0], place / name)
        _mark(place / name, 10 * number + scale)
        lines.append(f"[families.qwen25.scales.{name}]\ncheckpoint = {json.dumps(str(place / name))}\n")
    (folder / "vlmprobe.toml").write_text("\n".join(lines))
    return names


def _generation(checkpoint: Path) -> str:
    known = json.loads((checkpoint / "generation_config.json").read_text())
    return json.dumps(known | GENERATION)


def _mark(checkpoint: Path, number: int) -> None:
    """Change the last weight, so that no two checkpoints have the same content."""
    weights = max(checkpoint.glob("*.safetensors"), key=lambda path: path.name)
    with weights.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write((np.float32(1 + number / 64).view(np.uint32) >> 16).astype(np.uint16).tobytes())


def _study(
    folder: Path,
    shape: str,
    scales: Sequence[str],
    data: Path,
    number: int,
    one: bool,
    rest: Sequence[str],
) -> tuple[float, list[dict[str, Any]]]:
    """Run the command; return its seconds and the phases of its timeline."""
    caches = {
        "VLMPROBE_CACHE": "hashes",
        "TORCHINDUCTOR_CACHE_DIR": "inductor",
        "TRITON_CACHE_DIR": "triton",
        "VLMPROBE_HOME": f"home-{number}",
    }
    environment = os.environ | {name: str(folder / place) for name, place in caches.items()}
    command = [sys.executable, "-m", "vlmprobe", "extract" if one else "run"]
    command += ["tiny" if shape == "tiny" else "qwen25", *(f"--scale={scale}" for scale in scales)]
    command += ["--data", str(data), "--max-per-category", "0", *rest]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        print(f"  {time.perf_counter() - started:6.1f} {line.rstrip()}", flush=True)
    if process.wait():
        sys.exit(f"the command ended with {process.returncode}")
    whole = time.perf_counter() - started
    found = next((folder / f"home-{number}").rglob("timeline.json"), None)
    return whole, [] if found is None else json.loads(found.read_text())["timeline"]


def _rates(shape: str) -> tuple[float, float]:
    """Return pairs a second of the engine on tensors, and of the loop that asks one question at a time."""
    device = "cpu" if shape == "tiny" else "cuda"
    if shape == "tiny":
        from transformers import Qwen2_5_VLForConditionalGeneration

        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(BUNDLED).eval()
        items, n = pairs_of(TINY_BATCH, (140, 140)), TINY_BATCH
    else:
        model = random_model(shape, device, torch.bfloat16)
        items, n = pairs_of(BATCH), BATCH
    loop = 1 / one_by_one(model, 2, pairs=4, size=items[0].image.size)
    with torch.inference_mode():
        family = family_of(model, device)
        family._decoder._max_new_tokens = 2
        prepared = family.prepare(items)
        rate = n / median_seconds(lambda: family.run_prepared(prepared), warm=3)
    return rate, loop


def _show(
    name: str, whole: float, phases: Sequence[dict[str, Any]], n_pairs: int, engine: float, loop: float
) -> None:
    rows = [
        ["whole command", f"{whole:.1f}", "1.00"],
        [
            f"the engine alone, {engine:.1f} pairs/s",
            f"{n_pairs / engine:.1f}",
            f"{n_pairs / engine / whole:.2f}",
        ],
        [
            f"one question at a time, {loop:.2f} pairs/s",
            f"{n_pairs / loop:.0f}",
            f"{n_pairs / loop / whole:.1f}",
        ],
    ]
    table([f"{name}, {n_pairs} pairs", "s", "of the command"], rows)
    print(f"the command takes {whole * engine / n_pairs:.2f} times the engine's time")
    if phases:
        scales = list(dict.fromkeys(each["scale"] for each in phases))
        kinds = list(dict.fromkeys(each["phase"] for each in phases))
        table(
            ["", *(scale or "all" for scale in scales)],
            [[kind, *(_seconds(phases, kind, scale) for scale in scales)] for kind in kinds],
        )
        print(" ".join(f"{each['phase']} {each['start_s']:.1f}-{each['end_s']:.1f}" for each in phases))


def _seconds(phases: Sequence[dict[str, Any]], kind: str, scale: str) -> str:
    taken = [
        each["end_s"] - each["start_s"] for each in phases if each["phase"] == kind and each["scale"] == scale
    ]
    return f"{sum(taken):.1f}" if taken else ""


if __name__ == "__main__":
    main()
