"""A demo study with quads, exported in the old layout and imported into an empty home, is the study it was."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TABLES = "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
METRICS = """
    SELECT family, scale, name, metrics.version, subset, target, layer, value, std, n, ci_low, ci_high, p_value, seed
    FROM metrics JOIN runs USING (run_id) ORDER BY ALL
"""


@pytest.fixture(scope="module")
def command(inside: Any, mlflow_store: dict[str, str]) -> Any:
    """Run a command on a home."""

    def run(home: Path, *arguments: object) -> Any:
        return inside(*arguments, "--home", home, **mlflow_store)

    return run


@pytest.fixture(scope="module")
def brought_back(
    command: Any, quad_study: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Export a demo study with quads, import it into an empty home, analyze; return the export and the home."""
    folder = tmp_path_factory.mktemp("brought-back")
    command(quad_study.home, "export", folder / "out", "--layers", "all", "--no-plots").ok()
    command(folder / "home", "import", folder / "out").ok()
    command(folder / "home", "analyze").ok()
    return folder / "out", folder / "home"


def test_a_demo_study_with_quads_survives_the_round_trip(
    quad_study: Any, brought_back: tuple[Path, Path], rows: Any
) -> None:
    """The metrics table is equal to the bit: what depends on images, perspectives and quads' answers, too."""
    assert rows(brought_back[1], METRICS) == rows(quad_study.home, METRICS)
    counts = "SELECT scale, count(*) FROM metrics JOIN runs USING (run_id) GROUP BY scale ORDER BY scale"
    assert rows(brought_back[1], counts) == [("2m", 1108), ("vanilla", 1102)]


def test_what_the_old_layout_lacks_comes_back_beside_it(
    quad_study: Any, brought_back: tuple[Path, Path], rows: Any
) -> None:
    """Questions, objects, images and perspectives of all pairs, the quads' included; their links and answers."""
    facts = """
        SELECT pair_id, origin, category, subject, reference, orig_question, orig_expected, swap_question,
            swap_expected, image_sha256, image_width, image_height, question_id, perspective
        FROM swap_pairs WHERE pair_id IN (SELECT pair_id FROM predictions) ORDER BY pair_id
    """
    assert rows(brought_back[1], facts) == rows(quad_study.home, facts)
    answers = (
        "SELECT scale, pair_id, side, text, correct FROM predictions JOIN runs USING (run_id) ORDER BY ALL"
    )
    assert rows(brought_back[1], answers) == rows(quad_study.home, answers)
    links = "SELECT distance_pair_id, vertical_pair_id FROM quads ORDER BY 1"
    assert rows(brought_back[1], links) == rows(quad_study.home, links)
    placed = (
        "SELECT DISTINCT origin, shard IS NULL FROM predictions JOIN swap_pairs USING (pair_id) ORDER BY 1"
    )
    assert rows(brought_back[1], placed) == [("quad", True), ("row", False)]


@pytest.mark.full
def test_an_import_is_exported_again_as_it_came(
    command: Any, brought_back: tuple[Path, Path], tmp_path: Path, rows: Any
) -> None:
    """The file of what the layout lacks is equal, byte for byte; importing again adds nothing; checks are clean."""
    out, home = brought_back
    command(home, "export", tmp_path, "--layers", "all", "--no-plots").ok()
    for scale in ("2m", "vanilla"):
        name = f"results/tiny/json/pairs_{scale}.json"
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()

    def counts() -> list[Any]:
        return [rows(home, f"SELECT count(*) FROM {name}") for (name,) in rows(home, TABLES)]

    before = counts()
    command(home, "import", tmp_path).ok()
    assert counts() == before
    checks = json.loads(command(home, "db", "check", "--json").ok().out)
    assert [check["rows"] for check in checks] == [0] * len(checks)


def test_a_scale_that_contradicts_an_earlier_one_is_refused(
    command: Any, brought_back: tuple[Path, Path], tmp_path: Path, rows: Any
) -> None:
    """The same pairs with another image are another study; one line says where, and nothing is stored."""
    out, home = brought_back
    shutil.copytree(out / "results" / "tiny", tmp_path / "tiny")
    path = tmp_path / "tiny" / "json" / "pairs_2m.json"
    content = json.loads(path.read_text())
    content["quads"] = None
    content["pairs"][0]["image_sha256"] = "another"
    path.write_text(json.dumps(content))
    ran = command(home, "import", tmp_path / "tiny", "--scale", "2m")
    assert ran.code == 2
    (line,) = ran.errors
    assert f"pair {content['pairs'][0]['pair_id']!r}: image_sha256 is 'another', but '" in line
    assert line.endswith("the same pairs; keep the two apart with --home")
    assert rows(home, "SELECT count(*) FROM runs") == [(2,)]


@pytest.mark.full
def test_what_a_later_scale_knows_is_added(
    command: Any, brought_back: tuple[Path, Path], tmp_path: Path, rows: Any
) -> None:
    """One scale without the file, then one with it: they share the pairs, which then have their images."""
    tiny = tmp_path / "tiny"
    shutil.copytree(brought_back[0] / "results" / "tiny", tiny)
    (tiny / "json" / "pairs_vanilla.json").unlink()
    home = tmp_path / "home"
    known = "SELECT count(*), count(image_sha256) FROM swap_pairs WHERE origin = 'row'"
    command(home, "import", tiny, "--scale", "vanilla").ok()
    assert rows(home, known) == [(30, 0)]
    command(home, "import", tiny, "--scale", "2m").ok()
    assert rows(home, known) == [(30, 30)]
    assert rows(home, "SELECT count(DISTINCT dataset_id) FROM runs") == [(1,)]
