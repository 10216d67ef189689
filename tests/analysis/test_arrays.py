"""Stored states become float32 without loss."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.arrays import to_float32


def test_bfloat16_bits_are_the_upper_half_of_a_float32():
    """1.0, -2.0, the largest finite value and infinity."""
    bits = np.array([[0x3F80, 0xC000], [0x7F7F, 0x7F80]], np.uint16)
    expected = np.array([[1.0, -2.0], [3.3895314e38, np.inf]], np.float32)
    np.testing.assert_array_equal(to_float32(bits, "bfloat16"), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_keep_their_value(dtype):
    """NumPy's own formats are only widened."""
    found = to_float32(np.array([1.5, -0.25], dtype), dtype)
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, -0.25]


def test_a_wrong_format_is_an_error():
    """Bits taken for numbers would be silently wrong."""
    with pytest.raises(ValueError, match="bfloat16 states are stored as uint16, not float32"):
        to_float32(np.zeros(2, np.float32), "bfloat16")
    with pytest.raises(ValueError, match="unknown dtype 'int8'; known: float32, float16, bfloat16"):
        to_float32(np.zeros(2, np.int8), "int8")
