"""Qwen2.5-VL and the tiny models of the demo, which have its shape."""

from vlmprobe.families.worker.qwen.family import Qwen25, Tiny

__all__ = ["Qwen25", "Tiny"]
