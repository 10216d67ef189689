"""What a run is to be loaded from is settled before it is loaded: commits, and whether foreign code may run."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import huggingface_hub.constants
import pytest

import vlmprobe
import vlmprobe.file_hashes
from vlmprobe.errors import InputError, ModelError
from vlmprobe.extraction.request import ExtractOptions, ExtractRequest, Prepared, prepare
from vlmprobe.families import KeptWorkers, ModelOptions, fingerprint
from vlmprobe.file_hashes import FileHashes
from vlmprobe.pairs import read_once
from vlmprobe.workspace import Silent

from ..molmo_checkpoints import molmo_code, save_hub, save_native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    Rows = Callable[[Path, str], list[tuple[Any, ...]]]

BUNDLED = Path(vlmprobe.__file__).parent / "demo" / "checkpoints" / "2m"
MODEL, OLD_MODEL, PROCESSOR, OLD_PROCESSOR = (digit * 40 for digit in "abcd")
OF_A_PROCESSOR = ("tokenizer", "chat_template", "preprocessor")


def _prepare(request: ExtractRequest, hashes: FileHashes | None = None) -> Prepared:
    return prepare(request, Silent(), workers=KeptWorkers(), hashes=hashes)


def _snapshot(
    hub: Path, repository: str, commit: str, *, main: bool, leave_out: tuple[str, ...] = ()
) -> None:
    """Put a commit of a repository into the hub's cache, its files those of a bundled checkpoint."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in BUNDLED.iterdir():
        if not file.name.startswith(leave_out or ("-",)):
            (snapshot / file.name).symlink_to(file)
    if main:
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a hub's cache whose newest processor would not load, and no hub behind it."""
    folder = tmp_path / "hub"
    _snapshot(folder, "me/mine", MODEL, main=True, leave_out=OF_A_PROCESSOR)
    _snapshot(folder, "me/mine", OLD_MODEL, main=False, leave_out=("model",))
    _snapshot(folder, "me/base", PROCESSOR, main=True, leave_out=OF_A_PROCESSOR)
    _snapshot(folder, "me/base", OLD_PROCESSOR, main=False)
    (tmp_path / "vlmprobe.toml").write_text(
        '[families.tiny.scales.mine]\ncheckpoint = "me/mine"\nprocessor = "me/base"\n'
        f'processor_revision = "{OLD_PROCESSOR}"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return folder


def test_what_is_loaded_are_the_commits_that_are_recorded(hub: Path, benchmark: Callable[..., Path]) -> None:
    """The newest commit of the checkpoint, the pinned one of the processor, in config and manifest alike."""
    prepared = _prepare(
        ExtractRequest("tiny", "mine", ExtractOptions(benchmark(2), model=ModelOptions(dtype="float32")))
    )
    assert prepared.plan.fingerprint == MODEL
    config = prepared.plan.config
    assert (config["asked_revision"], config["revision"], config["processor_revision"]) == (
        None,
        MODEL,
        OLD_PROCESSOR,
    )
    assert config["identity"]["processor"] == OLD_PROCESSOR
    # The branch moves on, to a commit that has nothing to load.
    (hub / "models--me--mine" / "refs" / "main").write_text(OLD_MODEL)
    with prepared.family.load(prepared.options) as model:
        manifest = model.info.manifest
    assert (manifest["revision"], manifest["processor_revision"]) == (MODEL, OLD_PROCESSOR)


@pytest.mark.full
def test_a_run_keeps_commits_and_trust(
    hub: Path, shell: Any, benchmark: Callable[..., Path], mlflow_store: dict[str, str], rows: Rows
) -> None:
    """The whole command: what was loaded and allowed stands in the run's config."""
    here, home = type(shell)(hub.parent), hub.parent / "home"
    here(
        *(
            "extract",
            "tiny",
            "--scale",
            "mine",
            "--data",
            benchmark(2),
            "--home",
            home,
            "--trust-remote-code",
        ),
        HF_HUB_CACHE=str(hub),
        **mlflow_store,
    ).ok()
    ((mark, text),) = rows(home, "SELECT fingerprint, config FROM runs")
    config = json.loads(text)
    assert (mark, config["revision"], config["processor_revision"]) == (MODEL, MODEL, OLD_PROCESSOR)
    assert (config["manifest"]["revision"], config["manifest"]["processor_revision"]) == (
        MODEL,
        OLD_PROCESSOR,
    )
    assert (config["trust_remote_code"], config["manifest"]["remote_code"]) == (True, True)


def test_a_run_that_may_run_foreign_code_is_another_run(benchmark: Callable[..., Path]) -> None:
    """With the flag a checkpoint's own code may compute in the library's place, so the two are never mixed."""
    plain, trusting = (
        _prepare(
            ExtractRequest(
                "tiny", "2m", ExtractOptions(benchmark(2), model=ModelOptions(trust_remote_code=trust))
            )
        )
        for trust in (False, True)
    )
    assert (plain.options.trust_remote_code, trusting.options.trust_remote_code) == (False, True)
    assert plain.plan.run_key != trusting.plan.run_key


def test_a_folder_has_no_commit(benchmark: Callable[..., Path], tmp_path: Path) -> None:
    """Its content tells it apart; a processor's folder needs no weights."""
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (tmp_path / name).symlink_to(BUNDLED / name)
    request = ExtractRequest("tiny", "2m", ExtractOptions(benchmark(2)), processor=str(tmp_path))
    prepared = _prepare(request)
    assert (prepared.options.revision, prepared.options.processor_revision) == (None, None)
    assert len(prepared.plan.config["identity"]["processor"]) == 64


@pytest.fixture(scope="module")
def native_molmo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Save a tiny Molmo in olmo's form, its code importable."""
    folder = tmp_path_factory.mktemp("molmo")
    with molmo_code(folder / "modules"):
        yield save_native(folder / "native", save_hub(folder / "hub"))


def _with_tokenizer(checkpoint: Path, folder: Path, place: str) -> Path:
    """Link a native Molmo's files, its config naming another place for the tokenizer."""
    config = json.loads((checkpoint / "config.yaml").read_text())
    config["model"]["tokenizer"]["identifier"] = place
    folder.mkdir()
    (folder / "model.pt").symlink_to(checkpoint / "model.pt")
    (folder / "config.yaml").write_text(json.dumps(config))
    return folder


def test_the_tokenizer_that_a_native_molmo_names_is_pinned(
    hub: Path, native_molmo: Path, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """Its hub id becomes a commit: recorded, loaded, and another run's once the hub has a newer one."""
    words = hub / "models--me--words"
    for commit in (PROCESSOR, OLD_PROCESSOR):
        (words / "snapshots" / commit).mkdir(parents=True)
        for file in (native_molmo / "tokenizer").iterdir():
            (words / "snapshots" / commit / file.name).symlink_to(file)
        # The language model's repository has one, and transformers looks for it.
        (words / "snapshots" / commit / "config.json").write_text('{"model_type": "qwen2"}')
    (words / "refs").mkdir()
    (words / "refs" / "main").write_text(OLD_PROCESSOR)
    checkpoint = _with_tokenizer(native_molmo, tmp_path / "c", "me/words")
    request = ExtractRequest("molmo", "80k", ExtractOptions(benchmark(2)), checkpoint=str(checkpoint))

    before = _prepare(request)
    (words / "refs" / "main").write_text(PROCESSOR)
    with before.family.load(before.options) as model:
        manifest = model.info.manifest
    after = _prepare(request)

    config = before.plan.config
    assert (config["processor"], config["processor_revision"]) == ("me/words", OLD_PROCESSOR)
    assert (manifest["processor"], manifest["processor_revision"]) == ("me/words", OLD_PROCESSOR)
    assert [each.plan.config["identity"]["processor"] for each in (before, after)] == [
        OLD_PROCESSOR,
        PROCESSOR,
    ]
    assert before.plan.run_key != after.plan.run_key


def test_another_tokenizer_folder_of_a_native_molmo_is_another_run(
    native_molmo: Path, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """Outside the checkpoint it is told by its content: two letters that change places change every answer."""
    tokenizer = tmp_path / "words"
    shutil.copytree(native_molmo / "tokenizer", tokenizer)
    checkpoint = _with_tokenizer(native_molmo, tmp_path / "c", str(tokenizer))
    request = ExtractRequest("molmo", "80k", ExtractOptions(benchmark(2)), checkpoint=str(checkpoint))

    before = _prepare(request).plan
    said = json.loads((tokenizer / "tokenizer.json").read_text())
    vocabulary = said["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (tokenizer / "tokenizer.json").write_text(json.dumps(said))

    assert before.config["processor"] == str(tokenizer)
    assert _prepare(request).plan.run_key != before.run_key


def test_a_tokenizer_that_is_nowhere_is_one_line(
    hub: Path, native_molmo: Path, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """It says which checkpoint asked for it."""
    checkpoint = _with_tokenizer(native_molmo, tmp_path / "c", "some/one")
    request = ExtractRequest("molmo", "80k", ExtractOptions(benchmark(2)), checkpoint=str(checkpoint))
    with pytest.raises(
        ModelError, match=rf"^the processor of {checkpoint}: 'some/one' is not a local folder"
    ):
        _prepare(request)


@pytest.fixture
def large_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy a bundled checkpoint; all of its files count as large and as old."""
    monkeypatch.setattr("vlmprobe.file_hashes._LARGE", 1)
    monkeypatch.setattr("vlmprobe.file_hashes._SETTLED_NS", -(10**18))
    return shutil.copytree(BUNDLED, tmp_path / "mine")


def test_what_is_remembered_is_the_fingerprint(
    large_checkpoint: Path, benchmark: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a memory or without, and nothing is read a second time unless it is to be."""
    read: list[str] = []
    original = vlmprobe.file_hashes._digest

    def counted(stream: Any, stop: Event) -> str:
        if Path(stream.name).parent == large_checkpoint:
            read.append(stream.name)
        return original(stream, stop)

    monkeypatch.setattr("vlmprobe.file_hashes._digest", counted)
    request = ExtractRequest("tiny", "2m", ExtractOptions(benchmark(2)), checkpoint=str(large_checkpoint))
    folder = large_checkpoint.with_name("cache")
    marks = [_prepare(request, hashes=FileHashes(folder)).plan.fingerprint for _ in range(2)]
    assert len(read) == len(set(read)) > 3
    n_read = len(read)
    again = replace(request, options=replace(request.options, rehash=True))
    marks.append(_prepare(again, hashes=FileHashes(folder)).plan.fingerprint)
    assert len(read) == 2 * n_read
    assert set(marks) == {fingerprint(str(BUNDLED))}


def test_the_benchmarks_error_comes_before_the_checkpoints(
    large_checkpoint: Path, benchmark: Callable[..., Path]
) -> None:
    """Though hashing begins first; and what is wrong with the checkpoint is said as before."""
    options = ExtractOptions(benchmark(2).with_name("none.tsv"))
    request = ExtractRequest("tiny", "2m", options, checkpoint=str(large_checkpoint))
    (large_checkpoint / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"none\.tsv"):
        _prepare(request)
    with pytest.raises(ModelError, match="mine: no weights in this folder"):
        _prepare(replace(request, options=ExtractOptions(benchmark(2))))


def test_a_wrong_benchmark_does_not_wait_for_the_checkpoint(
    large_checkpoint: Path, benchmark: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing has begun in a thread, and stops with the error."""
    ended: list[bool] = []

    def endless(stream: Any, stop: Event) -> str:
        ended.append(stop.wait(60))
        raise CancelledError

    monkeypatch.setattr("vlmprobe.file_hashes._digest", endless)
    options = ExtractOptions(benchmark(2).with_name("none.tsv"))
    with pytest.raises(InputError):
        _prepare(ExtractRequest("tiny", "2m", options, checkpoint=str(large_checkpoint)))
    assert all(ended)


@pytest.mark.full
def test_a_command_reads_its_benchmark_once(
    inside: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many scales and analyses need it."""
    read: list[object] = []
    original = read_once.read_dataset
    monkeypatch.setattr(
        read_once, "read_dataset", lambda path, **options: read.append(path) or original(path, **options)
    )
    where = ("--home", tmp_path / "home", "--out", tmp_path / "out", "--rehash")
    scales = ("--scale", "vanilla", "--scale", "2m")
    inside("run", "tiny", "--data", benchmark(2), *scales, *where, **mlflow_store).ok()
    assert len(read) == 1
