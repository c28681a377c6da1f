"""The main profile: rate-distortion IMF with a lapped filter, context coding and a restoration filter.

image -> centred planes with four fractional bits -> lapped filter -> X ~ 2^-s U V^T -> context-coded bytes, and back.
Everything after entropy decoding is integer arithmetic, so the pixels are the same on every backend.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import entropy, lapped, restoration
from ._backend import keep_freed_memory, map_threads
from .bytestream import Reader, put_varint
from .color import half, join_fine, split_fine
from .container import Container, Frame, pack
from .errors import FormatError
from .factorization import rd
from .metrics import psnr
from .options import STEP_RANGE, EncodeOptions
from .rate import search_step
from .stripes import Stripe, cut

__all__ = ["MainCoder", "Parameters", "decode_image", "describe", "parse"]

#: A step is the length of a column of V in 1/64 gray level.
STEP_UNIT = 64
STEP_MIN, STEP_MAX = round(STEP_RANGE[0] * STEP_UNIT), round(STEP_RANGE[1] * STEP_UNIT)

# Step of chroma as a share of luma's, with full and with half resolution. BD-rates on every fifth image of bsd34
# against half resolution with 0.55: full resolution with 0.55, 0.75, 0.95 and 1.2 between steps of 3 and 6.5 gray
# levels -0.1, -3.0, -3.7 and -3.2%, between 4.5 and 9 +1.5, -1.3, -2.2 and -1.5%, between 9 and 18 +4.1, +0.9, +0.2 and
# +1.1%.
_CHROMA_STEP = {True: 0.55, False: 0.95}

# Below this step of luma (in gray levels) chroma keeps its full resolution.
_FULL_CHROMA_BELOW = 11.0

# A PSNR target this many dB below what 4:2:0 allows, or higher, has 4:4:4 from the start.
_SUBSAMPLING_MARGIN = 1.0

# Below this step (in 1/64 gray level) 16 x 16 patches never won on bsd34: at 46 gray levels on luma 0 of 17, at 25 on
# chroma 10 of 17 with 1.2% to gain, at 11 on chroma 1 of 17.
_LONG_PATCH_STEP = 18 * STEP_UNIT

# Samples of a plane that are coded in one go; larger planes are cut into bands of patch rows.
_BAND_SAMPLES = 1 << 22

# Choices are made by the quarter in the middle of every so many rows of a plane.
_STRIPE = 256

# Bytes of a file beside its segments, about.
_HEADER_BYTES = 60

# In bands of at least this many samples V may leave the prior. The gain hardly depends on the size (forced on bsd34:
# -0.07%); small pictures are spared the search.
_MIXED_SAMPLES = 1 << 20

# Samples of such a plane by which V is found for all of its bands, in stripes of so many rows. BD-rate over steps of 20
# to 140 gray levels against the prior: four pictures of bsd34 enlarged and stacked to 10 megapixels -0.75% with 2**20
# and -1.02% with 2**21, one enlarged to 13.5 megapixels -4.90 and -5.14%. The latter with 64, 32 and 16 rows -4.90,
# -4.84 and -5.08%, a photograph of 3.4 megapixels -0.47, -0.40 and -0.46%. With a V for every band, found from its own
# U: -0.89, -5.56 and -0.53%, for up to twice the time.
_SEARCHED_SAMPLES = 1 << 20
_LINES = 16

# Alpha planes with at most this many values are stored losslessly.
_FEW_VALUES = 16

_PATCH_SIZES = (8, 16)


@dataclass(frozen=True)
class PlaneParameters:
    """How one plane is coded.

    Attributes
    ----------
    step : int
        Length of the columns of V in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    restore : bool
        Whether the restoration filter is on.
    """

    step: int
    patch_size: int
    restore: bool


@dataclass(frozen=True)
class Parameters:
    """Fields of the header that only this profile has.

    Attributes
    ----------
    subsample : bool
        Whether chroma has half the size.
    planes : tuple of PlaneParameters
        One for each plane that is coded lossily: gray or Y, Cb, Cr, and alpha unless it is lossless.
    lossless_alpha : bool
        Whether alpha is stored as it is.
    """

    subsample: bool
    planes: tuple[PlaneParameters, ...]
    lossless_alpha: bool


def _plane_shape(frame: Frame, index: int, subsample: bool) -> tuple[int, int]:
    """Height and width of a plane."""
    if subsample and frame.channels >= 3 and index in (1, 2):
        return half(frame.height), half(frame.width)
    return frame.height, frame.width


def _bands(shape: tuple[int, int], patch_size: int) -> list[tuple[int, int]]:
    """Rows of patches (start, stop) of each band of a plane."""
    rows, columns = -(-shape[0] // patch_size), -(-shape[1] // patch_size)
    count = -(-rows * columns * patch_size * patch_size // _BAND_SAMPLES)
    size = -(-rows // min(count, rows))
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]


def _extend(plane: np.ndarray, patch_size: int) -> np.ndarray:
    """The plane with its last row and column repeated up to whole patches."""
    height, width = plane.shape
    if height % patch_size == width % patch_size == 0:
        return plane
    return np.pad(plane, ((0, -height % patch_size), (0, -width % patch_size)), mode="edge")


def _sampled_rows(height: int) -> tuple[int, int, int]:
    """The rows of a plane by which choices are made: from the first up to the second number in every so many."""
    return (3 * _STRIPE // 8, 5 * _STRIPE // 8, _STRIPE) if height >= _STRIPE else (0, height, height)


def _samples(height: int) -> list[slice]:
    """The same as slices."""
    first, last, period = _sampled_rows(height)
    return [slice(top + first, min(top + last, height)) for top in range(0, height - first, period)]


def _is_chroma(frame: Frame, index: int) -> bool:
    return frame.channels >= 3 and index in (1, 2)


def _fixed_step(name: str, value: float) -> int | None:
    """The step of luma that a target asks for in 1/64 gray level; None where it has to be searched."""
    if name not in ("quality", "step"):
        return None
    gray_levels = 2.0 ** (8.0 - 0.07 * value) if name == "quality" else value
    return min(max(round(gray_levels * STEP_UNIT), STEP_MIN), STEP_MAX)


def _chroma_step(luma: int, subsample: bool) -> int:
    return min(max(round(luma * _CHROMA_STEP[subsample]), STEP_MIN), STEP_MAX)


def _subsamples(options: EncodeOptions, frame: Frame, luma: int) -> bool:
    """Whether chroma has half the size at this step of luma."""
    if frame.channels < 3:
        return False
    if options.subsampling is not None:
        return options.subsampling == "4:2:0"
    return luma >= _FULL_CHROMA_BELOW * STEP_UNIT


def _restoration_pays(before: int, after: int) -> bool:
    """Whether a plane should be restored, by the squared errors of the sampled rows: unless that costs 1% or more.

    On bsd34 and eight drawings and gray pictures, at seven steps, restoration is best on in 97% of the planes, and 9 of
    784 are decided differently than by all rows, at a mean price of 0.03 dB of the plane. (Without the 1% a picture
    whose sampled rows are not like the others lost 0.1 to 0.2 dB of luma.) Where it changes nothing it is off.
    """
    return after != before and 100 * after < 101 * before


def _long_patches_pay(short: int, long: int) -> bool:
    """Whether a plane is better coded in patches of 16 than of 8 samples, by the estimates of both costs."""
    return 100 * long < 98 * short


def _searched_rows(height: int, width: int) -> list[slice]:
    """The rows of a filtered plane by which V is found; none where it stays at the prior."""
    size = height * width
    if size < _MIXED_SAMPLES:
        return []
    period = max(1, round(size / _SEARCHED_SAMPLES))
    return [slice(top, min(top + _LINES, height)) for top in range(0, height, period * _LINES)]


def _find_v(
    stripes: list[np.ndarray], shape: tuple[int, int], step: int, patch_size: int, device: str
) -> np.ndarray | None:
    """How V of the bands of a large plane of this shape differs from the prior; None where it does not."""
    sample = np.concatenate(stripes)
    # Each band has V's bits.
    weight = max(1, shape[0] // len(sample) // len(_bands(shape, patch_size)))
    return rd.find_v(sample, step, patch_size, device, weight)


@dataclass
class _Band:
    """Rows of patches of a plane.

    Attributes
    ----------
    start, stop : int
        First row of patches, and first that is not in the band.
    factors : Factors
        U and V, once they are found and for as long as they are needed.
    segment : bytes
        The same as bytes, once they are made.
    draft : Draft
        What a search has use for, unless the band is large.
    """

    start: int
    stop: int
    factors: rd.Factors | None = None
    segment: bytes | None = None
    draft: rd.Draft | None = None


@dataclass
class _Job:
    """A plane between its stages; each sets to None what no later one needs, since planes are large.

    Attributes
    ----------
    index, step, patch_size : int
        Number of the plane, its step in 1/64 gray level and the side of its patches.
    plane : ndarray of int32 or int16, shape (H, W)
        Its samples.
    filtered : ndarray of int32
        The same after the lapped filter, extended to whole patches.
    mixing : ndarray of int32 or None
        How V of large bands differs from the prior, once it is found.
    bands : list of _Band
        Its bands.
    stripes : list of Stripe
        What decides on restoration, where nothing else is decoded.
    decoded : ndarray of int32, shape (H, W)
        What the decoder will make of it, where a search wants to know.
    restore : bool
        Whether the restoration filter is on; None until that is decided.
    """

    index: int
    step: int
    patch_size: int
    plane: np.ndarray | None
    filtered: np.ndarray | None
    bands: list[_Band]
    stripes: list[Stripe] = field(default_factory=list)
    decoded: np.ndarray | None = None
    restore: bool | None = None
    mixing: np.ndarray | None = None


@dataclass(frozen=True)
class _Attempt:
    """An image with its factors, on its way to a file.

    Attributes
    ----------
    subsample : bool
        Whether chroma has half the size.
    jobs : list of _Job
        Its planes.
    """

    subsample: bool
    jobs: list[_Job]

    @property
    def bands(self) -> list[tuple[_Job, _Band]]:
        """All bands in the order of the file."""
        return [(job, band) for job in self.jobs for band in job.bands]


# Whether chroma has half the size, and the patch size of every plane; None: still to be chosen.
_Choice = tuple[bool, tuple[int | None, ...]]


class MainCoder:
    """One image on its way to a file; a search tries several steps on the same filtered planes.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        The image.
    frame : Frame
        Its description.
    options : EncodeOptions
        The validated options.
    device : {"cpu", "reference"}
        Which kernels to use.
    threads : int
        Largest number of threads.
    """

    def __init__(self, image: np.ndarray, frame: Frame, options: EncodeOptions, device: str, threads: int) -> None:
        self.image, self.frame, self.options, self.device, self.threads = image, frame, options, device, threads
        self._alpha = _encode_alpha(image[:, :, 3]) if frame.channels == 4 else None
        self._patch_size = None if options.patch_size == "auto" else options.patch_size
        self._keep = options.target[0] not in ("quality", "step")  # a search comes back to the same planes
        keep_freed_memory()
        self._planes: dict[bool, list[np.ndarray]] = {}
        self._filtered: dict[tuple[bool, int, int], np.ndarray] = {}

    def encode(self, name: str, value: float) -> bytes:
        """Encode for a target: quality, step, bpp, size or psnr."""
        fixed = _fixed_step(name, value)
        if fixed is not None:
            return self._file(self._try(fixed))
        trials = _Trials(self, name, self._first_choice(name, value))
        pixels = self.frame.height * self.frame.width
        return self._file(search_step(trials, STEP_MIN, STEP_MAX, pixels, name, value))

    def _first_choice(self, name: str, value: float) -> _Choice | None:
        """4:4:4 for a PSNR to which chroma of half the size, even uncoded, comes too close; else None."""
        if name != "psnr" or self.frame.channels < 3 or self.options.subsampling is not None:
            return None
        out = np.empty_like(self.image)
        join_fine([np.asarray(plane, np.int32) for plane in self._split(True)[:3]], out, self.device)
        if psnr(self.image[:, :, :3], out[:, :, :3]) >= value + _SUBSAMPLING_MARGIN:
            return None
        self._planes.clear()
        return False, (self._patch_size,) * 4

    def _curves(self, subsample: bool, name: str) -> list[np.ndarray]:
        """What a search for `name` would measure at each of rd.SPECTRUM_STEPS of luma, by each model of the spectra."""
        known = _HEADER_BYTES + (len(self._alpha) if self._alpha is not None else 0)
        curves = []
        for model in rd.SPECTRUM_MODELS:
            total = np.zeros(len(rd.SPECTRUM_STEPS))
            for index, counts in enumerate(self._spectra(subsample)):
                part = model.error(counts) if name == "psnr" else model.bits(counts)
                if _is_chroma(self.frame, index):
                    part = np.interp(rd.SPECTRUM_STEPS * _CHROMA_STEP[subsample], rd.SPECTRUM_STEPS, part)
                total += part
            if name == "psnr":
                curves.append(10 * np.log10(255**2 * self.image.size / np.maximum(total, 1e-3)))
            else:
                curves.append(np.log2(known + total / 8))
        return curves

    def _spectra(self, subsample: bool) -> list[np.ndarray]:
        """Counts of the coefficients of every plane by magnitude."""

        def count(index: int) -> np.ndarray:
            plane = self._split(subsample)[index]
            if plane.size <= _BAND_SAMPLES:
                return rd.spectrum(self._filter(subsample, index, rd.SPECTRUM_PATCH), self.device)
            stripes = self._sample(subsample, index, rd.SPECTRUM_PATCH)
            counts = sum(rd.spectrum(stripe, self.device) for stripe in stripes)
            return counts * plane.size // counts.sum()

        return map_threads(count, range(len(self._split(subsample))), self.threads)

    def _try(self, luma: int, choice: _Choice | None = None) -> _Attempt:
        """Factorize with a step of luma, STEP_MIN to STEP_MAX, and, unless they are to be made, choices."""
        subsample = _subsamples(self.options, self.frame, luma) if choice is None else choice[0]
        chroma = _chroma_step(luma, subsample)

        def prepare(index: int) -> _Job:
            patch_size = self._patch_size if choice is None else choice[1][index]
            job = self._prepare(subsample, index, chroma if _is_chroma(self.frame, index) else luma, patch_size)
            stripes = [job.filtered[rows] for rows in _searched_rows(*job.filtered.shape)]
            if stripes:
                job.mixing = _find_v(stripes, job.filtered.shape, job.step, job.patch_size, self.device)
            return job

        attempt = _Attempt(subsample, map_threads(prepare, range(len(self._split(subsample))), self.threads))
        map_threads(lambda band: self._factorize(*band), attempt.bands, self.threads)
        return attempt

    def _vary(self, attempt: _Attempt, thrift: int) -> _Attempt:
        """The same with another thrift, see :func:`imfnb.factorization.rd.factorize`."""
        new = self._again(attempt)
        drafts = [band.draft for _, band in attempt.bands]
        work = [(*band, draft, thrift) for band, draft in zip(new.bands, drafts, strict=True)]
        map_threads(lambda arguments: self._factorize(*arguments), work, self.threads)
        return new

    def _blend(self, one: _Attempt, other: _Attempt, share: float) -> _Attempt:
        """A share of the patches from the other of two attempts that differ in thrift."""
        new = self._again(one)
        for (_, band), (_, first), (_, second) in zip(new.bands, one.bands, other.bands, strict=True):
            band.factors = rd.blend(first.factors, second.factors, share)
            for source in (first, second):
                if band.factors is source.factors:
                    band.segment = source.segment
        return new

    def _again(self, attempt: _Attempt) -> _Attempt:
        """The planes of an attempt and V, yet without U."""
        jobs = []
        for job in attempt.jobs:
            new = self._prepare(attempt.subsample, job.index, job.step, job.patch_size)
            new.mixing = job.mixing
            jobs.append(new)
        return _Attempt(attempt.subsample, jobs)

    def _choice(self, attempt: _Attempt) -> _Choice:
        """What an attempt chose."""
        return attempt.subsample, tuple(job.patch_size for job in attempt.jobs)

    def _size(self, attempt: _Attempt) -> int:
        """Length of the file in bytes."""
        return len(self._pack(attempt))

    def _psnr(self, attempt: _Attempt) -> float:
        """PSNR of the image that the decoder will make."""
        map_threads(lambda job: self._decide(job, True), attempt.jobs, self.threads)
        out = np.empty_like(self.image)
        join_fine([job.decoded for job in attempt.jobs], out, self.device)
        for job in attempt.jobs:
            job.decoded = None
        if self._alpha is not None:
            out[:, :, 3] = self.image[:, :, 3]
        return psnr(self.image, out)

    def _file(self, attempt: _Attempt) -> bytes:
        """The file, for which a search may have left something to do."""
        map_threads(lambda job: self._decide(job, False), attempt.jobs, self.threads)
        return self._pack(attempt)

    def _pack(self, attempt: _Attempt) -> bytes:
        """The file; its length does not depend on `_decide`."""
        segments = map_threads(lambda band: self._segment(*band), attempt.bands, self.threads)
        planes = tuple(PlaneParameters(job.step, job.patch_size, bool(job.restore)) for job in attempt.jobs)
        parameters = Parameters(attempt.subsample, planes, self._alpha is not None)
        if self._alpha is not None:
            segments.append(self._alpha)
        return pack(self.frame, _serialize(parameters, self.frame), segments)

    def _split(self, subsample: bool) -> list[np.ndarray]:
        """The planes to be coded lossily."""
        if subsample not in self._planes:
            planes = split_fine(self.image, subsample, self.device)
            if self.frame.channels == 4 and self._alpha is None:
                planes += split_fine(self.image[:, :, 3:], False, self.device)
            for index, plane in enumerate(planes):
                if plane.size > _BAND_SAMPLES:  # samples are within +-2048; the copy halves the memory
                    planes[index] = plane.astype(np.int16)
            self._planes[subsample] = planes
        return self._planes[subsample]

    def _key(self, subsample: bool, index: int, patch_size: int) -> tuple[bool, int, int]:
        """Where a filtered plane is kept."""
        return subsample and _is_chroma(self.frame, index), index, patch_size

    def _filter(self, subsample: bool, index: int, patch_size: int) -> np.ndarray:
        """A plane after the lapped filter; kept, since it does not depend on the step."""
        key = self._key(subsample, index, patch_size)
        if key not in self._filtered:
            plane = _extend(self._split(subsample)[index], patch_size)
            self._filtered[key] = lapped.forward(plane, patch_size, self.device)
        return self._filtered[key]

    def _prepare(self, subsample: bool, index: int, step: int, patch_size: int | None) -> _Job:
        """Filter a plane; None stands for the patch size that is likely to cost least."""
        if patch_size is None:
            patch_size = self._choose_patch_size(subsample, index, step)
        plane = self._split(subsample)[index]
        filtered = self._filter(subsample, index, patch_size)
        if not self._keep:
            for size in _PATCH_SIZES:  # its own only: other threads have theirs there
                self._filtered.pop(self._key(subsample, index, size), None)
        bands = [_Band(*rows) for rows in _bands(plane.shape, patch_size)]
        job = _Job(index, step, patch_size, plane, filtered, bands)
        if not self._keep:
            job.stripes = self._stripes(job, _samples(len(plane)))
        return job

    def _stripes(self, job: _Job, parts: list[slice]) -> list[Stripe]:
        """Rows of a plane that decide on its restoration."""
        return [Stripe(rows, job.plane.shape, job.step, job.patch_size, self.device) for rows in parts]

    def _factorize(
        self, job: _Job, band: _Band, draft: rd.Draft | None = None, thrift: int = rd.PLAIN_THRIFT
    ) -> None:
        """Find the factors of a band; without a search, turn them into bytes and what is wanted of their product."""
        filtered = _rows_of(job.filtered, band, job.patch_size)
        large = _may_mix(filtered.shape)
        if draft is None:
            draft = rd.draft(filtered, job.step, job.patch_size, self.device, job.mixing if large else None)
        band.factors = rd.finish(draft, self.device, thrift)
        if self._keep and not large:
            band.draft = draft
        del draft  # larger than the band
        if not self._keep:
            self._segment(job, band)
            for stripe in job.stripes:
                stripe.fill(band.factors, band.start)
            band.factors = None

    def _segment(self, job: _Job, band: _Band) -> bytes:
        """The bytes of a band."""
        if band.segment is None:
            band.segment = _encode_factors(band.factors, job.patch_size, self.device)
        return band.segment

    def _decide(self, job: _Job, keep: bool) -> None:
        """Decide on the restoration filter of a plane; `keep`: what it decodes to."""
        if job.restore is not None:
            return
        if self._keep:
            height = len(job.plane)
            job.stripes = self._stripes(job, [slice(0, height)] if keep else _samples(height))
            for stripe in job.stripes:
                for band in job.bands:
                    stripe.fill(band.factors, band.start)
        plane, job.plane, job.filtered = job.plane, None, None
        errors = []
        for stripe in job.stripes:
            stripe.smooth()
            decoded, restored = stripe.decoded(), stripe.restored(_is_chroma(self.frame, job.index), False)
            if keep:
                errors += [self._errors(decoded[rows], restored[rows], plane[rows]) for rows in _samples(len(plane))]
            else:
                errors.append(self._errors(decoded, restored, plane[stripe.rows]))
        job.stripes = []
        job.restore = _restoration_pays(*map(sum, zip(*errors, strict=True)))
        if keep:
            job.decoded = restored if job.restore else decoded

    def _errors(self, decoded: np.ndarray, restored: np.ndarray, plane: np.ndarray) -> tuple[int, int]:
        """Squared errors before and after restoration."""
        return _squared_error(decoded, plane, self.device), _squared_error(restored, plane, self.device)

    def _sample(self, subsample: bool, index: int, patch_size: int) -> Iterator[np.ndarray]:
        """The sampled rows of a large plane, filtered for this purpose only."""
        plane = self._split(subsample)[index]
        for rows in _samples(len(plane)):
            yield lapped.forward(_extend(plane[rows], patch_size), patch_size, self.device)

    def _sample_cost(self, subsample: bool, index: int, step: int, patch_size: int) -> int:
        """Estimate of the cost of a part of a large plane. (For planes of bsd34 the sample is too small: +0.4%.)"""
        stripes = self._sample(subsample, index, patch_size)
        return sum(rd.estimate_cost(stripe, step, patch_size, self.device) for stripe in stripes)

    def _choose_patch_size(self, subsample: bool, index: int, step: int) -> int:
        """The patch size, 8 or 16, that is likely to code a plane best.

        Compares estimates. Against trying both, in rate-distortion cost on bsd34: luma at steps of 46, 76, 120, 170
        gray levels +0.03, +0.22, -0.22, -1.63% where the best choice gives 0, -0.05, -0.54, -1.95%; chroma at 25, 42
        and 66 -1.07, -2.70, -7.70% where the best gives -1.17, -3.05, -7.74%. The bias of 2% towards 8 is part of that.
        """
        if step < _LONG_PATCH_STEP:
            return 8
        if self._split(subsample)[index].size <= _BAND_SAMPLES:
            short, long = (
                rd.estimate_cost(self._filter(subsample, index, size), step, size, self.device) for size in _PATCH_SIZES
            )
        else:
            short, long = (self._sample_cost(subsample, index, step, size) for size in _PATCH_SIZES)
        return 16 if _long_patches_pay(short, long) else 8


@dataclass
class _Trials:
    """What a search can try; see :class:`imfnb.rate.Trials`."""

    coder: MainCoder
    name: str
    choice: _Choice | None
    curves: dict[bool, list[np.ndarray]] = field(default_factory=dict)

    def step(self, step: int) -> tuple[Any, float]:
        # What the first trial chose serves for the others, since bytes and PSNR jump where a choice changes; at the
        # ends of the range nothing may be lost.
        attempt = self.coder._try(step, None if step in (STEP_MIN, STEP_MAX) else self.choice)
        if self.choice is None or None in self.choice[1]:
            self.choice = self.coder._choice(attempt)
        return self._measured(attempt)

    def thrift(self, attempt: Any, thrift: int) -> tuple[Any, float]:
        return self._measured(self.coder._vary(attempt, thrift))

    def blend(self, one: Any, other: Any, share: float) -> tuple[Any, float]:
        return self._measured(self.coder._blend(one, other, share))

    def predict(self, step: int) -> list[float]:
        coder = self.coder
        subsample = self.choice[0] if self.choice else _subsamples(coder.options, coder.frame, step)
        if subsample not in self.curves:
            self.curves[subsample] = coder._curves(subsample, self.name)
        octave, octaves = math.log2(step), np.log2(rd.SPECTRUM_STEPS)
        return [float(np.interp(octave, octaves, curve)) for curve in self.curves[subsample]]

    def _measured(self, attempt: Any) -> tuple[Any, float]:
        return attempt, self.coder._psnr(attempt) if self.name == "psnr" else self.coder._size(attempt)


def _rows_of(plane: np.ndarray, band: _Band, patch_size: int) -> np.ndarray:
    """The rows of a plane that are in a band."""
    return plane[band.start * patch_size : band.stop * patch_size]


def _squared_error(samples: np.ndarray, plane: np.ndarray, device: str) -> int:
    """Sum of squared differences of the samples and a plane of int16 or int32."""
    stripes = (slice(top, top + _STRIPE) for top in range(0, len(plane), _STRIPE))
    return sum(
        restoration.squared_error(samples[rows], np.asarray(plane[rows], np.int32), device) for rows in stripes
    )


def _may_mix(shape: tuple[int, ...]) -> bool:
    """Whether a band is large enough for a V of its own; its segment then begins with the length of that."""
    return shape[0] * shape[1] >= _MIXED_SAMPLES


def _encode_factors(factors: rd.Factors, patch_size: int, device: str) -> bytes:
    """One segment: V where it may leave the prior, then U."""
    coded = entropy.encode_factors(factors.padded, factors.ranks, *factors.grid, patch_size, device)
    if not _may_mix((factors.grid[0] * patch_size, factors.grid[1] * patch_size)):
        return coded
    mixing = b"" if factors.mixing is None else entropy.encode_mixing(factors.mixing, patch_size)
    out = bytearray()
    put_varint(out, len(mixing))
    return bytes(out) + mixing + coded


def _read_mixing(segment: Reader, shape: tuple[int, ...], patch_size: int) -> np.ndarray | None:
    """How V differs from the prior in a band, None where it does not."""
    if not _may_mix(shape):
        return None
    data = bytes(segment.take(segment.varint()))
    return entropy.decode_mixing(data, patch_size) if data else None


def _encode_alpha(alpha: np.ndarray) -> bytes | None:
    """Alpha as its palette and deflated indices, or None if it has many values."""
    values, indices = np.unique(alpha, return_inverse=True)
    if len(values) > _FEW_VALUES:
        return None
    packed = indices.astype(np.uint8).reshape(alpha.shape)
    return bytes([len(values)]) + values.tobytes() + zlib.compress(packed.tobytes(), 9)


def _decode_alpha(reader: Reader, out: np.ndarray) -> None:
    """The inverse of :func:`_encode_alpha`."""
    count = reader.byte()
    if not 1 <= count <= _FEW_VALUES:
        raise FormatError(f"damaged alpha plane: {count} values; expected 1 to {_FEW_VALUES}")
    values = np.zeros(256, np.uint8)
    values[:count] = np.frombuffer(reader.take(count), np.uint8)
    coder = zlib.decompressobj()
    try:
        raw = coder.decompress(reader.take(reader.left), out.size)
        complete = len(raw) == out.size and not coder.decompress(coder.unconsumed_tail, 1) and coder.eof
    except zlib.error as error:
        raise FormatError(f"damaged alpha plane: {error}") from None
    if not complete or coder.unused_data:
        raise FormatError(f"damaged alpha plane: expected {out.size} samples in one stream; the file is corrupt")
    out[...] = values[np.frombuffer(raw, np.uint8)].reshape(out.shape)


def _serialize(parameters: Parameters, frame: Frame) -> bytes:
    """The profile's header fields as bytes."""
    out = bytearray([parameters.subsample | parameters.lossless_alpha << 1])
    put_varint(out, parameters.planes[0].step)
    if frame.channels >= 3:
        put_varint(out, parameters.planes[1].step)
    for plane in parameters.planes:
        out.append(_PATCH_SIZES.index(plane.patch_size) | plane.restore << 1)
    return bytes(out)


def parse(reader: Reader, frame: Frame) -> tuple[Parameters, int, int]:
    """Read and check the profile's header fields; see :func:`imfnb.container.unpack`."""
    flags = reader.byte()
    subsample, lossless_alpha = bool(flags & 1), bool(flags & 2)
    if flags > 3 or (subsample and frame.channels < 3) or (lossless_alpha and frame.channels != 4):
        raise FormatError(f"damaged file: flags {flags} do not fit {frame.channels} channels")
    luma = reader.varint()
    chroma = reader.varint() if frame.channels >= 3 else luma
    if not (STEP_MIN <= luma <= STEP_MAX and STEP_MIN <= chroma <= STEP_MAX):
        raise FormatError(f"damaged file: steps {luma} and {chroma}; expected {STEP_MIN} to {STEP_MAX}")
    planes = []
    segments = factors = stripes = largest = 0
    height = max(rows.stop - rows.start for rows in cut(frame.height, frame.width, 1))
    for index in range(max(1, frame.channels) - lossless_alpha):
        coding = reader.byte()
        if coding > 3:
            raise FormatError(f"damaged file: coding {coding} of plane {index}")
        patch_size = _PATCH_SIZES[coding & 1]
        planes.append(PlaneParameters(chroma if _is_chroma(frame, index) else luma, patch_size, bool(coding & 2)))
        shape = _plane_shape(frame, index, subsample)
        bands = len(_bands(shape, patch_size))
        segments += bands
        # The int16 factors with guards, and their magnitudes in bytes while a band is decoded.
        factors += (3 if bands == 1 else 2) * (shape[0] + 4 * patch_size) * (shape[1] + 5 * patch_size)
        # A stripe of int32 samples of every plane, and a copy of one that is cut to size.
        stripe = 4 * (min(height + 3 * patch_size, shape[0]) + patch_size) * (shape[1] + patch_size)
        stripes, largest = stripes + stripe, max(largest, stripe)
    return Parameters(subsample, tuple(planes), lossless_alpha), segments + lossless_alpha, factors + stripes + largest


def decode_image(container: Container, out: np.ndarray, device: str, threads: int, max_rank: int | None = None) -> None:
    """Decode the segments of a file into an image.

    Parameters
    ----------
    container : Container
        The file.
    out : ndarray of uint8, shape (H, W, C)
        Receives the image.
    device : {"cpu", "reference"}
        Which kernels to use.
    threads : int
        Largest number of threads.
    max_rank : int, optional
        Use only the first components of every plane.

    Raises
    ------
    FormatError
        If a segment is damaged.
    """
    frame, p = container.frame, container.parameters
    shapes = [_plane_shape(frame, index, p.subsample) for index in range(len(p.planes))]
    bands = [(index, *rows) for index, q in enumerate(p.planes) for rows in _bands(shapes[index], q.patch_size)]

    def factors(number: int) -> rd.Factors:
        index, start, stop = bands[number]
        patch_size = p.planes[index].patch_size
        grid = stop - start, -(-shapes[index][1] // patch_size)
        segment = container.segment(number)
        mixing = _read_mixing(segment, (grid[0] * patch_size, grid[1] * patch_size), patch_size)
        padded, ranks = entropy.decode_factors(bytes(segment.take(segment.left)), *grid, patch_size, max_rank, device)
        return rd.Factors(padded, ranks, grid, mixing)

    decoded = map_threads(factors, range(len(bands)), threads)

    def samples(index: int, rows: slice) -> np.ndarray:
        coding = p.planes[index]
        stripe = Stripe(rows, shapes[index], coding.step, coding.patch_size, device)
        for (owner, start, _), band in zip(bands, decoded, strict=True):
            if owner == index:
                stripe.fill(band, start)
        stripe.smooth()
        return stripe.restored(_is_chroma(frame, index), True) if coding.restore else stripe.decoded()

    def pixels(rows: slice) -> None:
        # Chroma of half the size is interpolated between its rows: one more of them at either end.
        above = 2 if p.subsample and rows.start else 0
        inner = slice((rows.start - above) // 2, min(half(rows.stop) + 1, half(frame.height)))
        planes = [
            samples(index, inner if p.subsample and _is_chroma(frame, index) else rows) for index in range(len(shapes))
        ]
        join_fine(planes, out[rows], device, above)

    map_threads(pixels, cut(frame.height, frame.width, threads), threads)
    if p.lossless_alpha:
        _decode_alpha(container.segment(len(bands)), out[:, :, 3])


def describe(container: Container) -> dict[str, object]:
    """The profile's part of :func:`imfnb.info`."""
    frame, p = container.frame, container.parameters
    names = ["gray"] if frame.channels < 3 else ["Y", "Cb", "Cr", "alpha"]
    sizes = list(container.sizes)
    segments, components, ranks, free_bands, number = {}, {}, [], [], 0
    for index, coding in enumerate(p.planes):
        shape = _plane_shape(frame, index, p.subsample)
        columns = -(-shape[1] // coding.patch_size)
        bands = _bands(shape, coding.patch_size)
        segments[names[index]] = sum(sizes[number : number + len(bands)])
        total, free, rank = np.zeros(coding.patch_size**2 + 1, np.int64), 0, 1
        for start, stop in bands:
            segment = container.segment(number)
            _read_mixing(segment, ((stop - start) * coding.patch_size, columns * coding.patch_size), coding.patch_size)
            total[0] += segment.position
            free += segment.position > 1
            data = bytes(segment.take(segment.left))
            rank = max(rank, data[0] + 1 if data else 1)  # a segment begins with its largest rank
            total += entropy.component_bytes(data, stop - start, columns, coding.patch_size)
            number += 1
        last = int(np.flatnonzero(total)[-1]) + 1 if total.any() else 1
        components[names[index]] = total[:last].tolist()
        ranks.append(rank)
        free_bands.append(free)
    if p.lossless_alpha:
        segments["alpha"] = sizes[-1]
    return {
        "color_space": "YCbCr" if frame.channels >= 3 else "gray",
        "subsampling": "4:2:0" if p.subsample else "4:4:4",
        "steps": tuple(plane.step / STEP_UNIT for plane in p.planes),
        "patch_sizes": tuple(plane.patch_size for plane in p.planes),
        "restoration": tuple(plane.restore for plane in p.planes),
        "segments": segments,
        "ranks": tuple(ranks),
        "free_v": tuple(free_bands),
        "components": components,
    }
