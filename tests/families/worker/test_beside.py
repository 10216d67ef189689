"""Whether the next checkpoint may be loaded beside a model that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from vlmprobe.families import LoadOptions
from vlmprobe.families.worker.wire.beside import fits_beside

if TYPE_CHECKING:
    from pathlib import Path

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "size", "fits"), [(100, 8, True), (45, 8, True), (44, 8, False), (100, 60, False)]
)
def test_its_files_must_fit_with_room_to_spare(
    free: int, size: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 139 GiB a quarter is left to the other model: what is free now its next batch may need."""
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(size * GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free * GIB, 139 * GIB))
    assert fits_beside(LoadOptions(str(tmp_path), device="cuda:0")) is fits


def test_of_a_hub_id_nothing_is_known() -> None:
    """It may have to be downloaded first."""
    assert not fits_beside(LoadOptions("me/my-model", device="cuda:0"))
