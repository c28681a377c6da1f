"""The choices of the main profile's encoder: which rows they look at, and what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imfnb.format.constants import STEP_MAX, STEP_MIN
from imfnb.profiles import decide
from imfnb.profiles.tuning import PSNR


@given(st.floats(0, 100), st.floats(0, 100))
def test_quality_is_a_step_within_the_format(one, other):
    steps = [decide.step_for("quality", quality) for quality in sorted((one, other))]
    assert STEP_MIN <= steps[1] <= steps[0] <= STEP_MAX
    assert steps[0] == round(64 * 2 ** (8 - 0.07 * min(one, other)))


@given(st.floats(1, 256))
def test_a_step_is_itself_in_64ths(step):
    assert decide.step_for("step", step) == round(64 * step)


@given(st.integers(STEP_MIN, STEP_MAX), st.booleans())
def test_step_of_chroma_stays_within_the_format(luma, subsample):
    found = decide.chroma_step(luma, subsample)
    assert STEP_MIN <= found <= luma
    assert found == max(STEP_MIN, round(luma * (0.55 if subsample else 0.95)))


@pytest.mark.parametrize("luma", [STEP_MIN, 255, 256, STEP_MAX])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_resolution_of_chroma_that_needs_no_look_at_the_picture(luma, channels):
    assert decide.known_subsampling("4:2:0", channels, luma) == (channels >= 3)
    assert decide.known_subsampling("4:4:4", channels, luma) is False
    assert decide.known_subsampling(None, channels, luma) is (False if channels < 3 or luma < 256 else None)


costs = st.lists(st.integers(0, 2**40), min_size=2, max_size=2)


@given(costs, costs, st.integers(256, STEP_MAX))
def test_half_chroma_pays_where_it_costs_less(whole, half, luma):
    assert decide.half_chroma_pays([0, 0, 0], whole, [0, 0], luma, PSNR)
    assert not decide.half_chroma_pays([1, 1, 1], [0, 0], half, luma, PSNR)
    once = decide.half_chroma_pays([9, 9, 9], whole, half, luma, PSNR)
    assert once or not decide.half_chroma_pays([10, 9, 9], whole, half, luma, PSNR)
    assert once or not decide.half_chroma_pays([9, 9, 9], whole, [half[0], half[1] + 1], luma, PSNR)
    # Some choice would be kept at least if it were the cheaper one.
    assert decide.half_chroma_pays([9, 9, 9], whole, half, luma, PSNR, once) == once


def test_a_resolution_is_given_up_for_a_clear_gain_only():
    def choices(share: float) -> list[bool]:
        """By what was kept, where half resolution costs this share of full resolution."""
        half = round(share * 0.95**2 / 0.55**2 / 3 * 10**6)
        return [
            decide.half_chroma_pays([0, 0, 0], [10**6, 0], [half, 0], 6400, PSNR, kept) for kept in (None, False, True)
        ]

    assert choices(0.85) == [True, True, True]
    assert choices(0.95) == [True, False, True]
    assert choices(1.05) == [True, False, True]
    assert choices(1.08) == [False, False, True]
    assert choices(1.2) == [False, False, False]


@given(st.integers(1, 2000), st.data())
def test_rows_around_those_that_tell_the_resolution(height, data):
    """They begin where a sample of half-size chroma does, and hold all that upsampling to the rows reads."""
    start = data.draw(st.integers(0, height - 1))
    stop = data.draw(st.integers(start + 1, height))
    part = decide.resampled_part(slice(start, stop), height)
    assert part.start % 2 == 0 and 0 <= part.start <= start < stop <= part.stop <= height
    read = {min(max(row // 2 + (1 if row % 2 else -1), 0), (height - 1) // 2) for row in range(start, stop)}
    assert all(part.start <= 2 * row and min(2 * row + 2, height) <= part.stop for row in read)


def test_patch_sizes():
    assert [decide.known_patch_size(step) for step in (STEP_MIN, 1151, 1152, STEP_MAX)] == [8, 8, None, None]
    assert not decide.long_patches_pay(1000, 980) and decide.long_patches_pay(1000, 979)
    assert not decide.long_patches_pay(0, 0)


def test_restoration():
    assert decide.restoration_pays(1000, 999) and decide.restoration_pays(1000, 1009)
    assert not decide.restoration_pays(1000, 1010) and not decide.restoration_pays(1000, 1000)
    assert decide.restoration_pays(5, 0) and not decide.restoration_pays(0, 0)


@given(st.integers(1, 3000))
def test_sampled_rows_are_a_quarter_in_the_middle_of_each_period(height):
    first, last, period = decide.sampled(height)
    inside = [row for row in range(height) if first <= row % period < last]
    assert inside and [row for rows in decide.sampled_rows(height) for row in range(rows.start, rows.stop)] == inside
    if height < 256:
        assert len(inside) == height
    elif height % 256 == 0:
        assert 4 * len(inside) == height
        assert inside == [row for row in range(height) if 96 <= row % 256 < 160]


@given(st.integers(1, 9000), st.sampled_from([1, 500, 4000]))
def test_rows_that_tell_the_patch_size(height, width):
    expected = [slice(0, height)] if height * width <= 1 << 22 else decide.sampled_rows(height)
    assert decide.estimated_rows((height, width)) == expected


@given(st.integers(1, 700), st.sampled_from([8, 1024, 4096]))
def test_rows_that_v_is_found_by(height, width):
    """About a megapixel, in strips of 16 rows of whole patches, evenly spread."""
    height *= 16
    rows = decide.searched_rows((height, width))
    if height * width < 1 << 20:
        assert rows == []
        return
    assert all(part.start % 16 == 0 and part.stop - part.start == 16 for part in rows)
    distances = np.diff([part.start for part in rows])
    assert not distances.size or (distances == distances[0]).all()
    assert rows[-1].stop <= height and rows[0].start == 0
    samples = sum(part.stop - part.start for part in rows) * width
    assert samples == height * width or (1 << 20) / 1.5 <= samples <= 1.5 * (1 << 20) + 16 * width
