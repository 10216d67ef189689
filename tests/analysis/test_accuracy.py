from __future__ import annotations

from math import isnan

import pytest

from vlmprobe.analysis import CategoryValidity, category_validity


def test_a_category_is_reliable_when_both_sides_are_at_least_at_chance():
    """Exactly half is enough; one side below half is not; no pairs give no verdict."""
    validity = category_validity(
        ["left", "left", "far", "far"],
        correct_orig=[True, False, True, True],
        correct_swap=[True, False, False, False],
    )

    assert validity["left"] == CategoryValidity(2, 0.5, 0.5, reliable=True)
    assert validity["far"] == CategoryValidity(2, 1.0, 0.0, reliable=False)
    assert validity["above"].n == 0
    assert isnan(validity["above"].acc_orig)
    assert validity["above"].reliable is None


def test_as_many_flags_as_categories_are_needed():
    """A missing flag is an error, not a shorter list."""
    with pytest.raises(ValueError, match="2 categories need one flag each, got 2 and 1"):
        category_validity(["left", "left"], [True, True], [True])
