"""What the encoder of the main profile may choose, each number with what was measured. No decoder needs any of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..format.basis import PLAIN, Weighting
from ..format.constants import ADAPTED_SAMPLES, STEP_UNIT
from ..format.main_header import CODERS, Restoration

__all__ = [
    "ALPHA_STEP",
    "BEST",
    "CHROMA_HYSTERESIS",
    "COMPACT_SAMPLES",
    "DIRECT_BITS",
    "DIRECT_MARGIN",
    "DIRECT_SAMPLES",
    "DIRECT_TRIALS",
    "EFFORTS",
    "ERRATIC_OCTAVES",
    "ERRATIC_PSNR",
    "FAST",
    "FINE_UNIT",
    "FLAT_TONES",
    "FLOAT_LEVELS",
    "FULL_CHROMA_BELOW",
    "FULL_CHROMA_GAIN",
    "HALF_CHROMA_WEIGHT",
    "HEADER_BYTES",
    "LARGE_BLOCKS_FROM",
    "LAYERED_BITS",
    "LAYERED_STEPS",
    "LONG_PATCH_STEP",
    "NEARBY_STEPS",
    "NORMAL",
    "PSNR",
    "RESAMPLING_WEIGHT",
    "RGB_ERRORS",
    "SAMPLED_PERIOD",
    "SEARCHED_FROM",
    "SEARCHED_LINES",
    "SEARCHED_SAMPLES",
    "SPLIT_SAMPLES",
    "TRACE_LARGEST",
    "TRACE_SHARE",
    "TRACE_SMALLEST",
    "TRACE_STRENGTH",
    "TUNES",
    "VISUAL",
    "WHOLE_SAMPLES",
    "Effort",
    "Tune",
]

#: Longest step of alpha, in 1/64 gray level, where it has no quality of its own: that of quality 60. Edges of cutouts
#: show sooner than errors of colours.
ALPHA_STEP = 891

#: Step of chroma as a share of luma's, with half (True) and with full resolution. BD-rates on every fifth image of
#: bsd34 against half resolution with 0.55: full resolution with 0.55, 0.75, 0.95 and 1.2 between steps of 3 and 6.5
#: gray levels -0.1, -3.0, -3.7 and -3.2%, between 4.5 and 9 +1.5, -1.3, -2.2 and -1.5%, between 9 and 18 +4.1, +0.9,
#: +0.2 and +1.1%.
_CHROMA_STEP = {True: 0.55, False: 0.95}


@dataclass(frozen=True)
class Tune:
    """What errors are to be small for.

    Attributes
    ----------
    luma, chroma : Weighting
        Weights of the columns of V.
    chroma_step : mapping from bool to float
        Step of chroma as a share of luma's, with half (True) and with full resolution.
    local : bool
        Whether patches have steps of their own, by what their surroundings mask.
    finer : float
        Step of luma at a quality as a share of that of PSNR, so that both take about the same bytes from quality 50 on.
    plain : float
        Step of PSNR that takes about the same bytes as a share of the step of luma.
    """

    luma: Weighting
    chroma: Weighting
    chroma_step: Mapping[bool, float]
    local: bool
    finer: float
    plain: float


#: The squared error of all samples.
PSNR = Tune(PLAIN, PLAIN, _CHROMA_STEP, False, 1.0, 1.0)

#: What the eye sees. benchmarks/RESULTS.md, "For the eye", has what each part is worth and what was tried beside it.
VISUAL = Tune(Weighting(40, 16), Weighting(52, 24), _CHROMA_STEP, True, 0.66, 1.45)

#: The same by the names of the option.
TUNES = {"psnr": PSNR, "visual": VISUAL}


@dataclass(frozen=True)
class Effort:
    """What a file may cost to encode and to decode.

    Attributes
    ----------
    coder : {"context", "neural", "rans"}
        Entropy coder of U.
    restorations : tuple of Restoration
        What may restore planes, where that pays: the best of them does.
    sweeps : int or None
        How often factors are chosen at most; None for as often as is best. With the coder in lanes the second time
        gains less than 0.1% (every fourth picture of bsd34), and takes a twelfth of the encoder's time.
    """

    coder: str
    restorations: tuple[Restoration, ...]
    sweeps: int | None = None


#: As fast as it gets.
FAST = Effort(CODERS[2], (Restoration.SHORT,), sweeps=1)

#: Few bits in little time.
NORMAL = Effort(CODERS[0], (Restoration.FILTER,))

#: The fewest bits.
BEST = Effort(CODERS[1], (Restoration.FILTER, Restoration.NETWORK))

#: The same by the names of the option.
EFFORTS = {"fast": FAST, "normal": NORMAL, "best": BEST}

#: From this step of luma on, in 1/64 gray level, blocks with steps of their own have 32 x 32 samples instead of 16 x
#: 16: their map takes a quarter to a third of the bytes.
LARGE_BLOCKS_FROM = 40 * STEP_UNIT

#: Below this step of luma, in 1/64 gray level, chroma keeps its full resolution without a look at the picture: at steps
#: of 1 to 3 gray levels half resolution was better for none of 60 photographs and for one of 20 drawings and stains, by
#: 2.9% of the bits; at 4.5 the gain would be 0.03 and 0.4% on average.
FULL_CHROMA_BELOW = 4 * STEP_UNIT

#: Half resolution must cost at least this many percent more before full resolution is taken, which takes up to half as
#: much time again. With 0, 3, 5 and 7 wrong choices cost 0.047, 0.046, 0.043 and 0.037% of the bits of bsd34, and 26,
#: 19, 15 and 11% of its pictures take full resolution at steps of 11 to 60 gray levels; 74 to 69% of those of cid22.
FULL_CHROMA_GAIN = 6

#: What the squared error of Y, Cb and Cr adds to that of R, G and B together, in 1/1000: sums of squares of the columns
#: of the matrix to RGB.
RGB_ERRORS = (3000, 3258, 2476)

#: What the estimated cost of a sample of half-size chroma weighs in the picture, where an error of it counts 1.56 times
#: (white noise) to 4 times. And what the squared error of taking a picture to half-size chroma and back weighs: more
#: than once, since coding adds errors where the estimate for full resolution has none. Wrong choices cost bsd34, cid22
#: and drawings 0.05, 0.06 and 0.27% of their bits with 3 and 2, 0.06, 0.06 and 0.28% with 3.2 and 2, 0.08, 0.10 and
#: 0.69% with 3.5 and 1.
HALF_CHROMA_WEIGHT = 3
RESAMPLING_WEIGHT = 2

#: A search that ends at another step than was expected begins again with chroma's other resolution if that promises at
#: least so many percent of chroma's cost, a tenth of that in all bits.
CHROMA_HYSTERESIS = 10

#: Below this step, in 1/64 gray level, 16 x 16 patches never won on bsd34: at 46 gray levels on luma 0 of 17, at 25 on
#: chroma 10 of 17 with 1.2% to gain, at 11 on chroma 1 of 17.
LONG_PATCH_STEP = 18 * STEP_UNIT

#: Planes of at most so many samples are looked at whole for the choice of patches, larger ones by sampled rows.
#: (For planes of bsd34 the sample is too small: +0.4%.)
WHOLE_SAMPLES = 1 << 22

#: Planes of more samples are kept in 16 bits, which halves their memory.
COMPACT_SAMPLES = 1 << 22

#: Samples of an array that become planes at a time.
SPLIT_SAMPLES = 1 << 22

#: Choices are made by the quarter in the middle of every so many rows of a plane.
SAMPLED_PERIOD = 256

#: Where a picture has at most so many tones, or where the errors of every model spread over the trials of a search by
#: more than so many dB, or octaves of bytes, others are tried, so many in an octave, from half an octave below what
#: was found to two above. So do 1% of the searches in photographs, a tenth of those in charts and coloured text,
#: and nine tenths of those in two-tone drawings. (With 4 in an octave, of 255 searches for a PSNR in 17 such drawings
#: 6 took more bytes, up to 5%, than one for a higher PSNR; with 6 it was 3, up to 2%; without it 20, up to 43%.)
FLAT_TONES = 16
ERRATIC_PSNR = 1.0
ERRATIC_OCTAVES = 0.1
NEARBY_STEPS = 4

#: A picture counts as decoded from a file of the main profile where the cosines of its patches' first components, for a
#: period of the step, add up to at least this share of their number, and to so many standard deviations of what chance
#: gives; and between which steps in gray levels that is looked for.
TRACE_SHARE = 0.6
TRACE_STRENGTH = 8.0
TRACE_SMALLEST = 4
TRACE_LARGEST = 128

#: Bytes of a file beside its segments, about.
HEADER_BYTES = 60

#: Samples of a plane by which V is found for all of its slices, in strips of SEARCHED_LINES rows. BD-rate over steps of
#: 20 to 140 gray levels against the DCT basis: four pictures of bsd34 enlarged and stacked to 10 megapixels -0.75% with
#: 2**20 and -1.02% with 2**21, one enlarged to 13.5 megapixels -4.90 and -5.14%. The latter with 64, 32 and 16 rows
#: -4.90, -4.84 and -5.08%, a photograph of 3.4 megapixels -0.47, -0.40 and -0.46%. With a V for every slice, found from
#: its own U: -0.89, -5.56 and -0.53%, for up to twice the time. Smaller planes are spared the search, although the gain
#: hardly depends on the size (forced on bsd34: -0.07%).
SEARCHED_SAMPLES = 1 << 20
SEARCHED_LINES = 16
SEARCHED_FROM = ADAPTED_SAMPLES

#: Without a bound of the error, floats are coded in so many levels. Rounding to these leaves an error 107 dB below the
#: range of the samples; what the finest step leaves of it is about 68 dB below.
FLOAT_LEVELS = 1 << 16

#: Arrays are tried without a lossy layer from so many bits a sample on; after an estimate by so many samples, unless
#: that is above the bytes with one by this factor; and so often for a target of bytes.
DIRECT_BITS = 0.7
DIRECT_SAMPLES = 1 << 18
DIRECT_MARGIN = 1.05
DIRECT_TRIALS = 4

#: With a bound of the error there may be a lossy layer below the residuals where they take fewer bits a sample than
#: this without one; its steps in units of the residuals that are tried; and what of integers of floats is a unit then.
#: Bits a sample without and with one, at steps of 0.7, 1, 1.5, 2.5 and 4 units: a photograph of bsd34 with bounds of 2,
#: 8 and 32 1.42 (1.66 1.54 1.51 1.59 1.59), 0.82 (0.79 0.69 0.68 0.73 0.77), 0.29 (0.28 0.23 0.21 0.24 0.26); Landsat
#: 8 with 128 and 512 1.62 (2.30 2.13 2.13 2.10 2.02), 0.83 (0.75 0.69 0.66 0.80 0.88).
LAYERED_BITS = 1.4
LAYERED_STEPS = (1.0, 1.5)
FINE_UNIT = 17
