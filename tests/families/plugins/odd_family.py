"""A plug-in whose model does what models should not: it prints, hangs, breaks, fills the memory, lacks a package."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from vlmprobe.families.worker import BatchOutput, Family, ModelFault, ModelInfo, OutOfMemoryError

__all__ = ["Lacking", "Modern", "Odd"]


class Odd(Family):
    """Does what the checkpoint's name says."""

    @classmethod
    def resolve(cls, options):
        return options

    @classmethod
    def load(cls, options):
        if options.checkpoint == "broken":
            raise ModelFault("broken: this is no checkpoint; give another")
        family = cls()
        family.does = options.checkpoint
        family.info = ModelInfo(1, (0,), 2, "float32", "cpu", {})
        return family

    def run_batch(self, items):
        print("a library says hello")
        if self.does == "hang":
            time.sleep(600)
        if self.does == "full":
            raise OutOfMemoryError("too many")
        if self.does == "raise":
            raise RuntimeError("shapes do not match")
        if self.does == "die":
            os.write(2, b"Segmentation fault, or so\n")
            os._exit(9)
        if self.does.startswith("die once "):
            # Whoever finds the file first; the others go on, and so does its successor.
            try:
                Path(self.does.removeprefix("die once ")).unlink()
            except FileNotFoundError:
                time.sleep(0.05)
            else:
                os._exit(9)
        if self.does == "environment":
            raise RuntimeError(f"USE_TF={os.environ['USE_TF']} USE_FLAX={os.environ['USE_FLAX']}")
        states = np.arange(4 * len(items), dtype=np.float32).reshape(1, len(items), 2, 2)
        sizes = tuple((str(item.image.size), item.image.mode) for item in items)
        if self.does == "say who":
            time.sleep(0.05)
            sizes = tuple((str(os.getpid()), str(item.pair_id)) for item in items)
        return BatchOutput(
            tuple(i.pair_id for i in items), states, "float32", sizes, np.full((len(items), 2), np.nan)
        )

    run_plain = run_batch


class Lacking(Odd):
    """Says that it needs what nobody has."""

    requires = ("a_package_of_nobody.part",)


class Modern(Odd):
    """Wants a transformers that does not exist yet."""

    least_transformers = (99, 0)
