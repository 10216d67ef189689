"""A worker elsewhere: what starts it is read from the user's file, and its arguments arrive there as they were."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from vlmprobe.errors import InputError
from vlmprobe.families import Environment, ModelOptions, load_catalog, n_processes
from vlmprobe.families.launch import named
from vlmprobe.lanes import n_lanes

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.families.scales import Catalog

SRUN = ["srun", "--ntasks=1", "--unbuffered"]


def catalog(folder: Path, launch: str, more: str = "") -> Catalog:
    """Read a user's file that launches family ``tiny`` so."""
    file = folder / "vlmprobe.toml"
    file.write_text(f"[families.tiny]\nlaunch = {launch}\n{more}", encoding="utf-8")
    return load_catalog(file)


def environment(folder: Path, launch: str, more: str = "") -> Environment:
    """Return where family ``tiny`` then runs."""
    found = catalog(folder, launch, more).environment("tiny")
    assert found is not None
    return found


def test_one_place_is_a_list_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``python`` it is this Python, with the folders of its path: the variable does not travel."""
    monkeypatch.setenv("PYTHONPATH", "/src/patches")
    found = environment(tmp_path, str(SRUN), 'pythonpath = ["lib"]')
    assert [place.words for place in found.launch] == [tuple(SRUN)]
    assert found.python == sys.executable
    assert found.pythonpath == (str(tmp_path / "lib"), "/src/patches")
    assert found.name == f"{sys.executable} (srun --ntasks=1 --unbuffered)"


def test_several_places_are_named_by_what_only_they_say(tmp_path: Path) -> None:
    """Their number comes first, since two may be the same."""
    launch = [["srun", f"--nodelist=n{number}", "--ntasks=1"] for number in (1, 2)]
    found = environment(tmp_path, str(launch))
    assert [place.name for place in found.launch] == ["place 1, --nodelist=n1", "place 2, --nodelist=n2"]
    assert [each.launch for each in found.at_places()] == [(place,) for place in found.launch]
    twice = environment(tmp_path, str([["env"], ["env"]]))
    assert [place.name for place in twice.launch] == ["place 1", "place 2"]


def test_a_long_prefix_is_named_by_its_last_words() -> None:
    """An image or a host comes last."""
    (place,) = named([["docker", "run", *(f"--volume=/data{n}:/data{n}" for n in range(9)), "team/models:3"]])
    assert place.name.startswith("...")
    assert place.name.endswith(" --volume=/data8:/data8 team/models:3")


def test_python_may_be_there_alone(tmp_path: Path) -> None:
    """Whether it is cannot be seen from here; a mere name is looked for there, a path is seen from the file."""
    found = environment(
        tmp_path, '["env"]', 'python = "/only/there/bin/python"\npythonpath = ["/only/there"]'
    )
    assert found.problem() is None
    found.check("tiny")
    assert environment(tmp_path, '["env"]', 'python = "python3"').python == "python3"
    beside = environment(tmp_path, '["env"]', 'python = "envs/bin/python"').python
    assert beside == str(tmp_path / "envs" / "bin" / "python")


def test_a_program_of_ones_own_is_seen_from_the_file(tmp_path: Path) -> None:
    """A script that starts a job, say; its other words are its own."""
    (place,) = environment(tmp_path, '["./start.sh", "./as-it-is"]').launch
    assert place.words == (str(tmp_path / "start.sh"), "./as-it-is")


@pytest.mark.parametrize(
    ("launch", "says"),
    [
        ('"srun"', "must be a list of strings, not 'srun'"),
        ("[5]", "must be a string, not 5"),
        ('[["srun"], "ssh"]', "must be a list of strings, not 'ssh'"),
        ('[["srun"], [""]]', "must be a string, not ''"),
        ("[]", "is an empty list; name what starts a program elsewhere"),
        ('[["srun"], []]', "is an empty list; name what starts a program elsewhere"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(launch: str, says: str, tmp_path: Path) -> None:
    """With the file and the key."""
    with pytest.raises(InputError) as caught:
        catalog(tmp_path, launch)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'vlmprobe.toml'}: launch in [families.tiny] {says}")
    assert "\n" not in line


def test_a_program_that_is_not_here_is_one_line_when_it_is_needed(tmp_path: Path) -> None:
    """Of any of the places: it is a mistake, not a node that is away."""
    found = environment(tmp_path, '[["env"], ["no-such-srun", "-N1"]]')
    with pytest.raises(InputError) as caught:
        found.check("tiny")
    assert str(caught.value) == (
        "family 'tiny': launch: there is no program 'no-such-srun' here; correct it in vlmprobe.toml"
    )


def test_arguments_are_quoted_once_for_each_ssh_on_the_way() -> None:
    """Each joins what it is given into a line for a shell. Others hand words on as they are."""
    arguments = ["/it's here/python", "-s"]
    assert named([["srun", "-N1"]])[0].before(arguments) == ["srun", "-N1", *arguments]
    once = named([["/usr/bin/ssh", "n1"]])[0].before(arguments)
    assert once == ["/usr/bin/ssh", "n1", """'/it'"'"'s here/python'""", "-s"]
    twice = named([["ssh", "login", "ssh", "n1"]])[0].before(["/a b"])
    assert twice == ["ssh", "login", "ssh", "n1", """''"'"'/a b'"'"''"""]


def test_places_are_there_once_however_many_processors_are_here(tmp_path: Path) -> None:
    """So scales do not go on side by side, and a process waits at each place however many GPUs are here."""
    found = environment(tmp_path, str([["env"], ["env"]]))
    assert n_processes(ModelOptions(), found) == 1
    assert n_processes(ModelOptions(devices=("0", "1")), found) == 2
    small = os.path.dirname(__file__)  # noqa: PTH120
    assert n_lanes(ModelOptions(device="cpu"), [small, small], [None, found]) == 1
