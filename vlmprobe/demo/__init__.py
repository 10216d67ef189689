"""The built-in demo: scenes with a known geometry, a benchmark of them, and five tiny checkpoints."""

from vlmprobe.demo.benchmark import BenchmarkFiles, build_benchmark
from vlmprobe.demo.confounds import Confounds, leaking_colours
from vlmprobe.demo.questions import BenchmarkRow, benchmark_rows
from vlmprobe.demo.render import encode_png, render, render_batch
from vlmprobe.demo.sampling import sample_scenes
from vlmprobe.demo.scenes import (
    Scene,
    SceneBatch,
    SceneObject,
    SceneOptions,
    is_consistent,
    keeps_margin,
    relation,
)
from vlmprobe.demo.taught import TAUGHT

__all__ = [
    "DEMO_SCALES",
    "TAUGHT",
    "BenchmarkFiles",
    "BenchmarkRow",
    "Confounds",
    "Scene",
    "SceneBatch",
    "SceneObject",
    "SceneOptions",
    "benchmark_rows",
    "build_benchmark",
    "encode_png",
    "is_consistent",
    "keeps_margin",
    "leaking_colours",
    "relation",
    "render",
    "render_batch",
    "sample_scenes",
]

#: The bundled checkpoints, from the base model to the one trained on the most relation questions.
DEMO_SCALES = ("vanilla", "80k", "400k", "800k", "2m")
