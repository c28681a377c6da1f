"""Candidates of a search in the main profile: never changed, and what comes of them is what an encoder would make."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import picture
from main_helpers import as_if_large, inside

import imfnb
from imfnb.format.container import Frame
from imfnb.options import EncodeOptions
from imfnb.profiles import candidates, main
from imfnb.profiles.stacks import Analysis, analyse
from imfnb.runtime.run import HostRun

FRAME = Frame("main", 24, 32, 3)
IMAGE = picture(24, 32, 3)

#: In 1/64 gray level.
STEP = 1500


@pytest.fixture(params=[1, 3])
def analysis(request):
    """What is known of the picture, with a runner of one or more threads."""
    with HostRun("cpu", request.param) as run:
        yield run.drive(analyse([IMAGE], FRAME, run))


@pytest.fixture
def base(analysis) -> candidates.Candidate:
    choices = main.first_choices(EncodeOptions(size=500), True, STEP)
    return analysis.run.drive(candidates.try_choices(analysis, choices))


def file_of(analysis: Analysis, candidate: candidates.Candidate) -> bytes:
    complete = analysis.run.drive(candidates.with_bytes(analysis, candidate))
    return main.to_file(candidates.to_coded(complete), FRAME)


def test_no_field_can_be_set(base):
    (part, *_) = base.planes[0].slices
    for value in (base, base.choices, base.planes[0], part, part.factors, part.last_choice):
        for field in dataclasses.fields(value):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(value, field.name, None)
    assert isinstance(base.planes, tuple) and all(isinstance(plane.slices, tuple) for plane in base.planes)


def test_trials_leave_what_they_began_with(analysis, base):
    """So that a search can go on from any earlier candidate, on threads too."""
    drive = analysis.run.drive
    factors = [part.factors for plane in base.planes for part in plane.slices]
    kept = [(inside(f.padded, f.grid).copy(), f.ranks.copy()) for f in factors]

    dear = drive(candidates.with_lambda(analysis, base, 2000))
    spliced = candidates.splice(base, dear, 0.5)
    decided = drive(candidates.with_restoration(analysis, base))
    shown, pixels = drive(candidates.with_pixels(analysis, base))
    complete = drive(candidates.with_bytes(analysis, decided))

    assert all(plane.restoration is None and plane.slices[0].segment is None for plane in base.planes)
    for f, (padded, ranks) in zip(factors, kept, strict=True):
        np.testing.assert_array_equal(inside(f.padded, f.grid), padded)  # the coder fills the guards
        np.testing.assert_array_equal(f.ranks, ranks)
    assert [plane.restoration for plane in decided.planes] == [plane.restoration for plane in shown.planes]
    assert all(part.segment is not None for plane in complete.planes for part in plane.slices)
    np.testing.assert_array_equal(pixels, imfnb.decode(file_of(analysis, shown)))
    files = [file_of(analysis, candidate) for candidate in (base, spliced, dear)]
    assert len(files[0]) > len(files[1]) > len(files[2])
    again = drive(candidates.with_lambda(analysis, base, base.choices.lambda_scale))
    assert file_of(analysis, again) == files[0]
    for candidate, share in ((base, 0.0), (dear, 1.0)):
        assert file_of(analysis, candidates.splice(base, dear, share)) == file_of(analysis, candidate)


def test_a_decision_stands_only_for_its_factors(analysis, base):
    drive = analysis.run.drive
    decided = drive(candidates.with_bytes(analysis, drive(candidates.with_restoration(analysis, base))))
    assert None not in [plane.restoration for plane in decided.planes]
    dear = drive(candidates.with_lambda(analysis, decided, 2000))
    for candidate in (dear, candidates.splice(decided, dear, 0.5)):
        assert {plane.restoration for plane in candidate.planes} == {None}
        assert {part.segment for plane in candidate.planes for part in plane.slices} == {None}


@pytest.mark.parametrize("limits", [{}, {"slices": 200}, {"adapted": 0}])
def test_a_candidate_is_the_file_of_a_plain_encoding(limits, monkeypatch):
    """What passes through slice by slice and what a search keeps are the same; so are large slices with their own V."""
    as_if_large(monkeypatch, **limits)
    run = HostRun("cpu", 1)
    analysis = run.drive(analyse([IMAGE], FRAME, run))
    options = EncodeOptions(step=STEP / 64, subsampling="4:2:0")
    found = run.drive(candidates.try_choices(analysis, main.first_choices(options, True, STEP)))
    decided = run.drive(candidates.with_restoration(analysis, found))
    assert file_of(analysis, decided) == main.encode_image(IMAGE, FRAME, options, run)
    again = run.drive(candidates.with_lambda(analysis, found, found.choices.lambda_scale))
    assert file_of(analysis, run.drive(candidates.with_restoration(analysis, again))) == file_of(analysis, decided)
