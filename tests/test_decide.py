"""The choices of the main profile's encoder: which rows they look at, and what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from main_helpers import inside

from imfnb.format.constants import STEP_MAX, STEP_MIN
from imfnb.format.container import Frame
from imfnb.options import EncodeOptions
from imfnb.profiles import decide, main
from imfnb.runtime.run import HostRun


@given(st.floats(0, 100), st.floats(0, 100))
def test_quality_is_a_step_within_the_format(one, other):
    steps = [decide.fixed_step("quality", quality) for quality in sorted((one, other))]
    assert STEP_MIN <= steps[1] <= steps[0] <= STEP_MAX
    assert steps[0] == round(64 * 2 ** (8 - 0.07 * min(one, other)))


@given(st.floats(1, 256))
def test_a_step_is_itself_in_64ths(step):
    assert decide.fixed_step("step", step) == round(64 * step)


@pytest.mark.parametrize("name", ["bpp", "size", "psnr", "rank"])
def test_other_targets_have_no_step(name):
    assert decide.fixed_step(name, 1.0) is None


@given(st.integers(STEP_MIN, STEP_MAX), st.booleans())
def test_step_of_chroma_stays_within_the_format(luma, subsample):
    found = decide.chroma_step(luma, subsample)
    assert STEP_MIN <= found <= luma
    assert found == max(STEP_MIN, round(luma * (0.55 if subsample else 0.95)))


@pytest.mark.parametrize("luma", [STEP_MIN, 703, 704, STEP_MAX])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_subsampling(luma, channels):
    assert decide.subsamples("4:2:0", channels, luma) == (channels >= 3)
    assert not decide.subsamples("4:4:4", channels, luma)
    assert decide.subsamples(None, channels, luma) == (channels >= 3 and luma >= 704)


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


# ---------------------------------------------------------------------------------------------------------- candidates


def frozen(value: object) -> None:
    """Fail if a field of a dataclass can be set."""
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_candidates_stay_as_they_are():
    """A trial makes a new candidate, so that a search can go on from any earlier one."""
    image = picture(24, 32, 3)
    frame, options = Frame("main", 24, 32, 3), EncodeOptions(size=500)
    run = HostRun("cpu", 1)
    analysis = run.drive(main.analyse([image], frame, run))
    (base,) = run.drive(main.code(analysis, main.first_choices(options, frame, 1500), keep=True))
    factors = [part.factors for plane in base.planes for part in plane.slices]
    kept = [(inside(f.padded, f.grid).copy(), f.ranks.copy()) for f in factors]

    wanted = dataclasses.replace(base.choices, lambda_scale=2000)
    (dear,) = run.drive(main.code(analysis, wanted, keep=True, base=base))
    spliced = main.splice(base, dear, 0.5)
    decided = run.drive(main.with_restoration(analysis, base))
    shown, _ = run.drive(main.with_pixels(analysis, base))
    complete = run.drive(main.with_bytes(analysis, decided))

    assert all(plane.restore is None and plane.slices[0].segment is None for plane in base.planes)
    for f, (padded, ranks) in zip(factors, kept, strict=True):
        np.testing.assert_array_equal(inside(f.padded, f.grid), padded)  # the coder fills the guards
        np.testing.assert_array_equal(f.ranks, ranks)
    assert [plane.restore for plane in decided.planes] == [plane.restore for plane in shown.planes]
    assert all(part.segment is not None for plane in complete.planes for part in plane.slices)
    files = [
        main.to_file(run.drive(main.with_bytes(analysis, candidate)), frame) for candidate in (base, spliced, dear)
    ]
    assert len(files[0]) > len(files[1]) > len(files[2])
    (again,) = run.drive(main.code(analysis, base.choices, keep=True, base=dear))
    assert main.to_file(run.drive(main.with_bytes(analysis, again)), frame) == files[0]
    for value in (base, base.choices, base.planes[0], base.planes[0].slices[0], base.planes[0].slices[0].factors):
        frozen(value)
