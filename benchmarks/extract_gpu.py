"""How fast a GPU answers swap pairs: what people run today, plain batches, and vlmprobe, in one run.

    python benchmarks/extract_gpu.py [--shape 3b|7b] [--pairs N] [--end-to-end] [--devices 0,1]

Random weights in the published shape, images of 640x480. The one-by-one loop and the plain batches run on the model as
transformers makes it, before vlmprobe touches it.
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from shapes import BUNDLED, family_of, image_processor, pairs_of, prompts_of, random_model
from timing import describe, matrix_rate, median_seconds, profile_by_class, table

from vlmprobe.demo.benchmark import build_benchmark
from vlmprobe.families import ModelOptions
from vlmprobe.families.worker.engine import decoding
from vlmprobe.pairs.readers.ready_made import ReadyMadeReader
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.families.worker.qwen.family import Qwen25
    from vlmprobe.settings import Settings

BATCH = 64
#: Batches left out of the steady rate: by then the first certificate is done, and what other devices answered while
#: it was made is taken.
WARM_BATCHES = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="3b")
    parser.add_argument("--pairs", type=int, default=2400)
    parser.add_argument("--end-to-end", action="store_true")
    parser.add_argument("--devices", default="0", help="of the end-to-end run")
    parser.add_argument("--new-tokens", type=int, nargs="*", default=[2, 20], help="of the end-to-end runs")
    parser.add_argument("--float32", action="store_true", help="of the end-to-end run")
    asked = parser.parse_args()
    print(describe(), flush=True)
    if asked.end_to_end:
        end_to_end(
            asked.shape,
            asked.pairs,
            tuple(asked.devices.split(",")),
            "float32" if asked.float32 else "bfloat16",
            tuple(asked.new_tokens),
        )
    else:
        on_tensors(asked.shape)


@torch.inference_mode()
def on_tensors(shape: str) -> None:
    """Everything but files: prompts and resized images are made ready, outputs arrive on the host."""
    model = random_model(shape, "cuda", torch.bfloat16)
    family = family_of(model, "cuda")
    work = operations(family)
    ceiling = matrix_rate()
    limit = ceiling / work
    del family, model
    torch.cuda.empty_cache()

    model = random_model(shape, "cuda", torch.bfloat16)
    loops = {n: 1 / one_by_one(model, n, pairs=6 if n == 2 else 2) for n in (2, 20)}
    plain = 16 / plain_batches(model, 16)
    rows = [
        [
            "one by one, 20 new tokens",
            f"{loops[20]:.2f}",
            f"{loops[20] / limit:.1%}",
            f"{loops[20] / loops[2]:.2f}",
            "",
        ],
        ["one by one, 2 new tokens", f"{loops[2]:.2f}", f"{loops[2] / limit:.1%}", "1.00", ""],
        [
            "plain batches of 16 pairs, prompts only",
            f"{plain:.1f}",
            f"{plain / limit:.1%}",
            f"{plain / loops[2]:.1f}",
            "",
        ],
    ]
    family = family_of(model, "cuda")
    prepared = family.prepare(pairs_of(BATCH))
    for new_tokens in (2, 20):
        family._decoder._max_new_tokens = new_tokens
        family.run_prepared(prepared)
        torch.cuda.reset_peak_memory_stats()
        rate = BATCH / median_seconds(lambda: family.run_prepared(prepared), warm=3)
        peak = torch.cuda.max_memory_allocated() / 2**30
        name = f"vlmprobe on tensors, {BATCH} pairs a batch, {new_tokens} new tokens"
        rows.append([name, f"{rate:.1f}", f"{rate / limit:.1%}", f"{rate / loops[2]:.0f}", f"{peak:.1f}"])
    table(["", "pairs/s", "of the limit", "times 1x1 at 2", "peak GiB"], rows)
    print(
        f"limit {limit:.0f} pairs/s: {work / 1e12:.2f} TFLOP a pair at the measured {ceiling / 1e12:.0f} TFLOP/s"
    )
    family._decoder._max_new_tokens = 2
    spent = profile_by_class(lambda: family.run_prepared(prepared))
    total = sum(seconds for _, seconds in spent)
    kernel = family.info.manifest["vision_kernel"]
    print(f"where a batch's {total * 1e3:.0f} ms go (2 new tokens; vision kernel {kernel}):")
    table(["", "ms", "share"], [[kind, f"{s * 1e3:.1f}", f"{s / total:.1%}"] for kind, s in spent])


def operations(family: Qwen25) -> float:
    """Return the matrix operations of a pair when image and prefix are shared: weights and attention scores."""
    prompts = family.prepare(pairs_of(1)).prompts
    prefix = prompts.image_end[0]
    tokens = prefix + sum(len(ids) - prefix for ids in prompts.ids)
    height, width = prompts.images.grids[0]
    patches = height * width
    visual, text = family.model.model.visual, family.model.model.language_model
    linears = [m.weight.numel() for m in text.layers.modules() if isinstance(m, torch.nn.Linear)]
    tower = [m.weight.numel() for m in visual.blocks.modules() if isinstance(m, torch.nn.Linear)]
    merger = sum(m.weight.numel() for m in visual.merger.modules() if isinstance(m, torch.nn.Linear))
    config, seen = visual.config, text.config
    whole = len(config.fullatt_block_indexes)
    scores = 4 * patches * config.hidden_size * (whole * patches + (config.depth - whole) * 64)
    scores += 2 * tokens * prefix * seen.hidden_size * len(text.layers)
    head = 2 * family.model.lm_head.weight.numel()
    return 2.0 * (tokens * sum(linears) + patches * sum(tower) + patches / 4 * merger + head) + scores


def one_by_one(model: Any, new_tokens: int, pairs: int, size: tuple[int, int] = (640, 480)) -> float:
    """Return seconds a pair of the usual loop: two ``generate`` a pair, hooks that copy each layer to the host."""
    prompts = prompts_of(model)
    kept: list[torch.Tensor] = []

    def copy(_module: Any, _inputs: Any, output: Any) -> None:
        states = output if isinstance(output, torch.Tensor) else output[0]
        if states.shape[1] > 1:
            kept.append(states[0, -1].float().cpu())

    handles = [layer.register_forward_hook(copy) for layer in model.model.language_model.layers]
    items = pairs_of(pairs, size)
    device = model.device

    def ask() -> None:
        for item in items:
            for question in item.questions:
                pixels, grids, tokens = prompts.process([item.image])
                ids = torch.tensor([prompts.ids(question, tokens[0])], device=device)
                model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    mm_token_type_ids=(ids == model.config.image_token_id).int(),
                    pixel_values=pixels.to(device),
                    image_grid_thw=grids.to(device),
                    do_sample=False,
                    min_new_tokens=new_tokens,
                    max_new_tokens=new_tokens,
                )
                kept.clear()

    try:
        return median_seconds(ask, repeats=3) / pairs
    finally:
        for handle in handles:
            handle.remove()


def plain_batches(model: Any, pairs: int) -> float:
    """Return seconds of a batch of whole prompts, as transformers runs it; images and prompts made before."""
    prompts = prompts_of(model)
    rows, images = [], []
    for item in pairs_of(pairs):
        for question in item.questions:
            images.append(item.image)
            rows.append(question)
    pixels, grids, tokens = prompts.process(images)
    ids = [prompts.ids(question, count) for question, count in zip(rows, tokens, strict=True)]
    longest = max(len(row) for row in ids)
    padded = torch.tensor([[0] * (longest - len(row)) + row for row in ids], device="cuda")
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids], device="cuda")
    pixels, grids = pixels.to("cuda", torch.bfloat16), grids.to("cuda")
    types = (padded == model.config.image_token_id).int()

    def ask() -> Any:
        return model(
            input_ids=padded,
            attention_mask=mask,
            mm_token_type_ids=types,
            pixel_values=pixels,
            image_grid_thw=grids,
            output_hidden_states=True,
            logits_to_keep=1,
        )

    return median_seconds(ask, repeats=3)


def end_to_end(
    shape: str, n_pairs: int, devices: tuple[str, ...], dtype: str, tokens: tuple[int, ...]
) -> None:
    """Take a TSV with JPEGs and a checkpoint folder; end with committed rows and shards, certificate included."""
    from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest, extract

    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkpoint, data = folder / "checkpoint", folder / "pairs.tsv"
        if shape == "tiny":
            checkpoint, data = (
                BUNDLED,
                build_benchmark(folder / "demo", pairs_per_category=n_pairs // 6, seed=1).tsv,
            )
        else:
            save(shape, checkpoint)
            write_tsv(data, n_pairs)
        for new_tokens in tokens:
            homes = []
            for several in [devices, devices[:1]] if len(devices) > 1 else [devices]:
                with answers_of(new_tokens):
                    clock = Clock()
                    workspace = Workspace.open(folder / f"home-{new_tokens}-{len(several)}", console=clock)
                    homes.append(workspace.settings)
                    model = ModelOptions(dtype=dtype, devices=several)
                    options = ExtractOptions(data, max_per_category=0, new=True, model=model)
                    request = ExtractRequest("qwen25", "random", options, checkpoint=str(checkpoint))
                    started = time.perf_counter()
                    (result,) = extract(workspace, request)
                    whole = time.perf_counter() - started
                rows.append(
                    [
                        f"{len(several)} GPU, {new_tokens} new tokens, {dtype}",
                        f"{result.n_inferred}",
                        f"{result.n_inferred / (clock.ended - clock.began):.1f}",
                        f"{clock.steady():.1f}",
                        f"{whole:.0f}",
                    ]
                )
                print("  ".join(rows[-1]), flush=True)
                for note in result.notes:
                    print(note)
            show_certificates(homes[-1])
            if len(homes) == 2:
                show_differences(*homes)
    table(["end to end", "pairs", "pairs/s", f"after {WARM_BATCHES} batches", "whole command, s"], rows)


def save(shape: str, folder: Path) -> None:
    """Write a random checkpoint like a published one."""
    model = random_model(shape, "cuda", torch.bfloat16)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((BUNDLED / name).read_bytes())
    image_processor().save_pretrained(folder)
    del model
    torch.cuda.empty_cache()


def write_tsv(path: Path, n_pairs: int) -> None:
    """Write a benchmark in the ready-made form, a JPEG of its own for each pair."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(ReadyMadeReader.columns)
        for number, item in enumerate(pairs_of(n_pairs)):
            buffer = io.BytesIO()
            item.image.save(buffer, "JPEG", quality=90)
            image = base64.b64encode(buffer.getvalue()).decode()
            writer.writerow([image, *item.questions, "left", "right", "left", "horizontal", number, number])


def show_certificates(settings: Settings) -> None:
    """Print what the run's certificates say."""
    from vlmprobe.store.duckdb_store import DuckDBStore
    from vlmprobe.store.sandbox import run_sql

    found = run_sql(
        DuckDBStore(settings.database_path), "SELECT * EXCLUDE (run_id, created_at) FROM certificates"
    )
    table(found.columns, [[str(cell) for cell in row] for row in found.rows])


def show_differences(one: Settings, other: Settings) -> None:
    """Print how far rows and states of two homes are apart."""
    from vlmprobe.store.duckdb_store import DuckDBStore
    from vlmprobe.store.sandbox import run_sql
    from vlmprobe.store.shards import read_header, read_layer

    answers, states = [], []
    for settings in (one, other):
        database = DuckDBStore(settings.database_path)
        said = run_sql(database, "SELECT pair_id, side, text, correct FROM predictions ORDER BY ALL")
        answers.append(said.rows)
        by_pair: dict[str, Any] = {}
        for (path,) in run_sql(database, "SELECT path FROM shards").rows:
            shard = read_header(Path(path))
            layers = np.stack([read_layer(Path(path), layer) for layer in shard.layers])
            by_pair |= {pair_id: layers[:, row] for row, pair_id in enumerate(shard.pair_ids)}
        states.append(by_pair)
    ours, theirs = states
    assert ours.keys() == theirs.keys()
    worst = max(
        float(
            np.max(np.linalg.norm(ours[pair] - theirs[pair], axis=-1) / np.linalg.norm(ours[pair], axis=-1))
        )
        for pair in ours
    )
    equal = sum(a == b for a, b in zip(*answers, strict=True))
    print(f"{len(answers[0])} and {len(answers[1])} rows, {equal} equal; max |dh|/|h| {worst:.1e}")


class Clock:
    """A console that notes when asking began, when each batch was taken, and when the rows were there."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.taken: list[tuple[float, int]] = []

    def say(self, text: str) -> None:
        """Note the time: what is said last is said when the rows are there."""
        print(f"  {time.strftime('%X')} {text}", flush=True)
        self.ended = time.perf_counter()

    warn = say

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Any]:
        """Note when each batch was taken."""
        del what, total, done
        self.began = time.perf_counter()
        yield self.note
        self.ended = time.perf_counter()

    def note(self, n: int) -> None:
        """Note that so many pairs were taken."""
        self.taken.append((time.perf_counter(), n))
        if len(self.taken) < 4:
            print(f"  {time.strftime('%X')} batch {len(self.taken)} of {n} pairs", flush=True)

    def steady(self) -> float:
        """Return pairs a second once the first batches are taken."""
        rest = self.taken[WARM_BATCHES - 1 :]
        return sum(n for _, n in rest[1:]) / (rest[-1][0] - rest[0][0]) if len(rest) > 1 else float("nan")


@contextmanager
def answers_of(new_tokens: int) -> Iterator[None]:
    """Let answers end as a trained model's do, after a word and an end token: random weights never end."""
    functions = (decoding.GreedyDecoder.__init__, decoding.greedy_options)
    before = [function.__defaults__ for function in functions]
    try:
        for function in functions:
            function.__defaults__ = (new_tokens,)
        yield
    finally:
        for function, defaults in zip(functions, before, strict=True):
            function.__defaults__ = defaults


if __name__ == "__main__":
    main()
