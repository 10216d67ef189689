"""``vlmprobe data mirror``: the file, what the command says of it, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.demo import build_benchmark
from vlmprobe.pairs import link_image_swaps, read_dataset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw three pairs of each category."""
    return build_benchmark(tmp_path_factory.mktemp("drawn"), pairs_per_category=3).tsv


def test_the_file_goes_to_control_as_image_swaps(inside: Any, bench: Path, tmp_path: Path) -> None:
    """Every left/right pair is linked; the last lines say what was done, what comes next, and what to beware of."""
    out = tmp_path / "mirrored.jsonl"
    ran = inside("data", "mirror", bench, out).ok()
    assert ran.out == f"{out}\n"
    done, caution = ran.err.splitlines()[-2:]
    assert done.startswith(
        "6 pairs about 6 mirrored pictures (3 left, 3 right); next: vlmprobe control FAMILY "
    )
    assert done.endswith(f"--data {bench} --image-swaps {out}")
    assert caution.startswith("note: text, faces and hands are mirrored too")
    links = link_image_swaps(read_dataset(bench), read_dataset(out)).links
    assert [str(link.pair.axis) for link in links] == 6 * ["horizontal"]
    again = inside("data", "mirror", bench, tmp_path / "again.jsonl", "--json").ok()
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()
    facts = json.loads(again.out)
    assert (facts["pairs"], facts["images"], facts["problems"], facts["rows_without_pair"]) == (6, 6, [], 0)


def test_rows_that_are_left_out_are_counted(inside: Any, bench: Path, tmp_path: Path) -> None:
    """Those that give no pair, and pairs whose picture cannot be mirrored."""
    rows = [line.split("\t") for line in bench.read_text().splitlines()]
    left = [row for row in rows[1:] if row[2] in {"left", "right"}]
    left[0][4], left[1][2] = left[0][4][:-400], "nearish"
    path = tmp_path / "some.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in (rows[0], *left)))
    ran = inside("data", "mirror", path, tmp_path / "out.jsonl", "--json").ok()
    assert f"note: 1 of 6 rows give no pair; 'vlmprobe data check {path}' lists them" in ran.err
    assert "note: 1 of 5 pairs have no mirrored picture, the first on line 2: damaged or cut off" in ran.err
    (problem,) = json.loads(ran.out)["problems"]
    assert (problem["line"], problem["what"]) == (2, "image")


@pytest.mark.parametrize(
    ("file", "out", "says"),
    [
        ("benchmark.tsv", "benchmark.tsv", "benchmark.tsv exists; a benchmark is never overwritten"),
        ("benchmark.tsv", "no/where.jsonl", "no folder .*/no; create it first"),
        ("none.tsv", "new.jsonl", "cannot read .*none.tsv: No such file"),
    ],
)
def test_odd_files_are_refused_in_one_line(inside: Any, bench: Path, file: str, out: str, says: str) -> None:
    """Exit code 2, and nothing is written or changed."""
    before = bench.read_bytes()
    ran = inside("data", "mirror", bench.parent / file, bench.parent / out)
    assert ran.code == 2
    (line,) = ran.errors
    assert re.search(says, line), line
    assert bench.read_bytes() == before
    assert not (bench.parent / "new.jsonl").exists()


@pytest.mark.full
def test_mirrored_pictures_lead_the_horizontal_axis_past_rule_four(
    inside: Any, mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """From the benchmark to the verdict, one command after the other; the other axes say what they lack."""

    def run(*words: object) -> Any:
        return inside(*words, "--home", tmp_path / "home", **mlflow_store).ok()

    tsv = build_benchmark(tmp_path / "drawn", pairs_per_category=16).tsv
    out = tmp_path / "mirrored.jsonl"
    run("data", "mirror", tsv, out)
    run("extract", "tiny", "--scale", "2m", "--data", tsv, "--layers", "5")
    run("analyze", "tiny")
    ran = run("control", "tiny", "--data", tsv, "--image-swaps", out, "--verdicts-only")
    assert (
        "image swaps: 32 of 96 pairs of benchmark have one in mirrored, none of vertical, distance" in ran.err
    )
    found = {row["axis"]: row for row in json.loads(run("verdict", "tiny", "--json").out)}
    conditions = json.loads(run("verdict", "tiny", "--rows", "--json").out)
    held = {row["rule"] for row in conditions if row["axis"] == "horizontal" and row["holds"] == "yes"}
    assert {1, 2, 3, 4, 5} <= held
    assert found["horizontal"]["lacks"] == ""
    for axis in ("vertical", "distance"):
        assert found[axis]["verdict"] == "axis, origin open"
        assert found[axis]["decided_by"] == "rules 1 to 3 hold; there are no exchanged pictures for this axis"
        assert found[axis]["command"] == f"vlmprobe control tiny --data {tsv} --image-swaps FILE"
