"""Files of arrays that somebody or something has changed: samples or an ImfError, in bounded time and memory."""

from __future__ import annotations

import functools
import math
import struct
import tracemalloc

import format_decoder
import numpy as np
import pytest
from array_helpers import HOSTS, apart, header_of, layered, scene, segments_of
from helpers import assemble, header, signed, varint
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples, seeds

import imfnb
from imfnb import FormatError, LimitError
from imfnb.entropy.maps.reference import encode_map
from imfnb.entropy.residual import cpu
from imfnb.entropy.spectral_basis import encode_spectral_basis
from imfnb.format.samples import ArrayFields
from imfnb.frames import pack_frames

pytestmark = pytest.mark.thorough

SIZE = 9, 12

#: A segment of a plane of 9 x 12 samples that says: all residuals of component 0 are zero.
QUIET = bytes([0]) + bytes([255]) * 12


def columns(bands: int = 3, count: int = 1, offset: int = 500) -> bytes:
    """The segment of V."""
    return encode_spectral_basis(np.full(bands, offset, np.int32), np.ones((bands, count), np.int32))


def residuals(value: int = 0, bands: int = 3, masked: bool = False) -> bytes:
    """The segment of a residual layer of one value, with the mask of `holes` or without one."""
    valid = np.arange(SIZE[0])[:, None] >= np.full(SIZE, 2) if masked else None
    return cpu.encode_residual(np.full((bands, *SIZE), value, np.int32), valid)


def holes(parts: int = 1) -> bytes:
    """The segment of a mask: the first two rows of a band have no data."""
    symbols = np.zeros((parts, *SIZE), np.uint8)
    symbols[:, :2] = 1
    return encode_map(symbols.reshape(-1, SIZE[1]), 2)


def crafted(**changes) -> bytes:
    """A file of an array whose fields may be anything; by default one plane for three bands of uint16.

    A part of the header is there if its first field is not None.
    """
    fields = {"profile": 1, "size": SIZE, "arrangement": 5, "features": None, "kind": 2, "low": 0, "high": 65535,
              "scale": None, "offset": 0.0, "bands": 3, "frames": None, "together": 0, "mask": None, "nodata": 0.0,
              "bound": None, "columns": 1, "shift": 0, "step": 640, "codings": None, "segments": None, "count": -1,
              "more": b""}  # fmt: skip
    assert not set(changes) - set(fields)
    f = fields | changes
    names = ("kind", "bands", "frames", "mask", "bound")
    bits = sum(1 << bit for bit, name in enumerate(names) if f[name] is not None)
    out = varint(bits if f["features"] is None else f["features"])
    if f["kind"] is not None:
        out += bytes([f["kind"]]) + signed(f["low"]) + signed(f["high"])
        if f["scale"] is not None:
            out += struct.pack("<dd", f["scale"], f["offset"])
    if f["bands"] is not None:
        out += varint(f["bands"])
    if f["frames"] is not None:
        out += varint(f["frames"]) + bytes([f["together"]])
    if f["mask"] is not None:
        out += bytes([f["mask"]]) + struct.pack("<d", f["nodata"])
    if f["bound"] is not None:
        out += varint(2 * f["bound"] + 1)
    parameters = varint(f["columns"])
    if f["columns"]:
        parameters += bytes([f["shift"]]) + varint(f["step"])
        parameters += bytes(f["codings"] or [0] * min(f["columns"], 1100))
    bands = f["bands"] or max(1, f["arrangement"])
    segments = f["segments"]
    if segments is None:
        segments = [QUIET] * f["columns"] + [columns(bands, f["columns"])] * bool(f["columns"])
        segments += [holes(bands if f["mask"] else 1)] * (f["mask"] is not None)
        segments += [residuals(1, bands, f["mask"] is not None)] * (f["bound"] is not None)
    head = header(*f["size"], f["arrangement"], out + parameters + f["more"], segments, f["profile"], f["count"], b"")
    return assemble(head, segments)


def outcome(data: bytes, **options) -> np.ndarray | None:
    """What both backends decode alike, None for an ImfError of both; `info` raises nothing else either."""
    found = []
    for device in HOSTS:
        try:
            found.append(imfnb.decode(data, device=device, **options))
        except imfnb.ImfError:
            found.append(None)
    assert (found[0] is None) == (found[1] is None)
    if found[0] is not None:
        assert found[0].tobytes() == found[1].tobytes()
    try:
        imfnb.info(data, **{name: value for name, value in options.items() if name == "max_pixels"})
    except imfnb.ImfError:
        assert found[0] is None
    return found[0]


def by_the_text(data: bytes) -> np.ndarray | None:
    """The same by the independent decoder."""
    try:
        return format_decoder.decode(data)
    except format_decoder.Malformed:
        return None


def agree(data: bytes) -> np.ndarray | None:
    """The same by both, which must be equal."""
    one, two = outcome(data), by_the_text(data)
    assert (one is None) == (two is None)
    if one is not None:
        assert one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    return one


# ------------------------------------------------------------------------------------------------------ fields' ranges

REAL = {"kind": 4, "low": -9, "high": 9, "scale": 0.5}
ONLY = {"columns": 0, "bound": 0}

ALLOWED = {
    "plain": {},
    "int8 at its ends": {"kind": 1, "low": -128, "high": 127},
    "int16 at its ends": {"kind": 3, "low": -32768, "high": 32767},
    "one value": {"low": 77, "high": 77},
    "floats at their ends": {**REAL, "low": -(1 << 24), "high": 1 << 24},
    "the least scale": {**REAL, "kind": 5, "scale": 5e-324},
    "the largest scale": {**REAL, "kind": 5, "low": -(1 << 24), "high": 1 << 24, "scale": 1.7e308, "offset": -1.7e308},
    "too large for float32": {**REAL, "scale": 1e300, "offset": -1e308},
    "no type": {"kind": None},
    "no type, but a mask": {"kind": None, "mask": 1, "nodata": 255.0},
    "no type, but residuals": {"kind": None, "bound": 3},
    "one band": {"bands": 1},
    "many bands": {"bands": 1024, "size": (3, 2), "segments": [QUIET, columns(1024)]},
    "gray": {"arrangement": 0, "bands": None},
    "gray with an axis": {"arrangement": 1, "bands": None},
    "two channels": {"arrangement": 2, "bands": None, "columns": 2},
    "three channels": {"arrangement": 3, "bands": None, "columns": 3, "codings": [0, 2, 0]},
    "four channels": {"arrangement": 4, "bands": None},
    "frames of one band": {"frames": 3, "together": 2},
    "one frame": {"frames": 1, "together": 1},
    "the largest bound": {"bound": 1 << 24},
    "residuals alone": ONLY,
    "residuals alone with a mask": {**ONLY, "mask": 0},
    "base above high": {**ONLY, "bound": 1 << 24},
    "NaN in floats": {**REAL, "mask": 0, "nodata": math.nan},
    "too large for its type": {**REAL, "mask": 1, "nodata": -1e300},
    "most fractional bits": {"shift": 30},
    "shortest step": {"step": 64},
    "longest step": {"step": 16384},
    "restoration": {"codings": [2]},
}  # fmt: skip

REFUSED = {
    "type 6": ({"kind": 6}, "samples of type 6"),
    "low above high": ({"low": 5, "high": 4}, "from 5 to 4"),
    "low below the type": ({"low": -1}, "from -1 to 65535"),
    "high above the type": ({"high": 65536}, "from 0 to 65536"),
    "high above int8": ({"kind": 1, "high": 128}, "from 0 to 128"),
    "low below the integers of floats": ({**REAL, "low": -(1 << 24) - 1}, "expected -16777216"),
    "high above the integers of floats": ({**REAL, "high": (1 << 24) + 1}, "expected -16777216"),
    "scale 0": ({**REAL, "scale": 0.0}, "in units of 0"),
    "negative scale": ({**REAL, "scale": -1.0}, "in units of -1"),
    "infinite scale": ({**REAL, "scale": math.inf}, "in units of inf"),
    "scale NaN": ({**REAL, "scale": math.nan}, "in units of nan"),
    "infinite offset": ({**REAL, "offset": -math.inf}, "from -inf"),
    "offset NaN": ({**REAL, "offset": math.nan}, "from nan"),
    "no bands": ({"bands": 0}, "0 bands"),
    "too many bands": ({"bands": 1025, "segments": [QUIET, columns(1025)]}, "1025 bands"),
    "bands without their number": ({"bands": None, "features": 1}, "do not fit arrangement 5"),
    "number of bands of a picture": ({"arrangement": 3}, "do not fit arrangement 3"),
    "arrangement 6": ({"arrangement": 6}, "newer imfnb: arrangement 6"),
    "feature 7": ({"features": 128 + 3}, "newer imfnb: feature 7"),
    "feature 34": ({"features": (1 << 34) + 3}, "newer imfnb: feature 34"),
    "no frames": ({"frames": 0, "together": 1}, "0 frames"),
    "too many frames": ({"frames": (1 << 20) + 1}, "1048577 frames"),
    "frames coded as never before": ({"frames": 3, "together": 3}, "newer imfnb: the coding 3"),
    "frames that do not divide the bands": ({"frames": 2, "together": 1}, "2 frames do not fit 3 bands"),
    "frames of three bands as times": ({"frames": 1, "together": 2}, "1 frames do not fit 3 bands"),
    "frames of a picture together": (
        {"arrangement": 3, "bands": None, "frames": 3, "together": 2}, "3 frames do not fit"
    ),
    "mask of kind 2": ({"mask": 2}, "a mask of kind 2"),
    "nodata between integers": ({"mask": 0, "nodata": 0.5}, "0.5 stands for missing"),
    "nodata above the type": ({"mask": 0, "nodata": 65536.0}, "65536.0 stands"),
    "nodata below the type": ({"mask": 1, "nodata": -1.0}, "-1.0 stands"),
    "nodata NaN": ({"mask": 0, "nodata": math.nan}, "nan stands"),
    "nodata infinite": ({"mask": 0, "nodata": math.inf}, "inf stands"),
    "bound too large": ({"bound": (1 << 24) + 1}, "residuals in units of 33554435"),
    "the baseline profile": ({"profile": 0}, "not expected here"),
    "no layer": ({"columns": 0, "segments": [columns()]}, "0 columns of V"),
    "more columns than bands": ({"columns": 4}, "4 columns of V for 3 bands"),
    "millions of columns": ({"columns": 1 << 30, "segments": [QUIET]}, "columns of V for 3 bands"),
    "31 fractional bits": ({"shift": 31}, "31 fractional bits"),
    "step below 64": ({"step": 63}, "step 63"),
    "step above 16384": ({"step": 16385}, "step 16385"),
    "coding 20": ({"codings": [20]}, "newer imfnb: coding 20"),
    "one segment more": ({"count": 3}, "3 segments; expected 2"),
    "one segment less": ({"count": 1}, "1 segments; expected 2"),
    "bytes left over in the header": ({"more": b"\0"}, "segments"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_fields_at_the_ends_of_their_ranges(name):
    found = agree(crafted(**ALLOWED[name]))
    assert found is not None and found.size


@pytest.mark.parametrize("name", REFUSED)
def test_fields_beyond_their_ranges(name):
    changes, message = REFUSED[name]
    data = crafted(**changes)
    with pytest.raises(FormatError, match=message):
        imfnb.decode(data)
    assert agree(data) is None


def test_every_truncation_of_the_header_is_noticed():
    data = crafted(**REAL, mask=1, bound=2, frames=3, together=1)
    head, segments = header_of(data), segments_of(apart(data))
    assert outcome(assemble(head, segments)) is not None
    for length in range(len(head)):
        with pytest.raises(FormatError):
            imfnb.decode(assemble(head[:length], segments))


# ------------------------------------------------------------------------------------------------------------- mutation


@functools.cache
def sample(name: str) -> bytes:
    """Small files: all layers, frames as bands, frames apart."""
    image = scene((9, 12, 3), "int16", 1)
    if name == "layers":
        mask = np.zeros((9, 12), np.bool_)
        mask[:2] = True
        image[mask] = -32768
        return layered(image, imfnb.encode(image, quality=30, nodata=-32768), 70)
    if name == "together":
        image = np.stack([image[:, :, 0]] * 3)
        return imfnb.encode(image, axes="THW", quality=30)
    return pack_frames([imfnb.encode(image // k, quality=20) for k in (1, 2)])


NAMES = "layers", "together", "apart"


@given(st.sampled_from(NAMES), st.data())
@settings(max_examples=examples(200))
def test_mutated_header_with_a_valid_checksum(name, data):
    """Bytes of the header changed, put in or taken out, then both lengths and checksum repaired."""
    head, segments = bytearray(header_of(sample(name))), segments_of(apart(sample(name)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(head) - 1))
        kind = data.draw(st.sampled_from(["set", "flip", "insert", "delete"]))
        if kind == "set":
            head[place] = data.draw(st.integers(0, 255))
        elif kind == "flip":
            head[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "insert":
            head.insert(place, data.draw(st.integers(0, 255)))
        elif len(head) > 1:
            del head[place]
    try:
        imfnb.decode(assemble(bytes(head), segments), max_pixels=1000)
    except imfnb.ImfError:
        pass


@pytest.mark.jit
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name != "apart" else name for name in NAMES]
)
def test_every_bit_of_the_header_flipped_and_the_checksum_repaired(name):
    head, segments = header_of(sample(name)), segments_of(apart(sample(name)))
    decoded = 0
    for position in range(len(head)):
        for bit in range(8):
            damaged = bytearray(head)
            damaged[position] ^= 1 << bit
            try:
                imfnb.decode(assemble(bytes(damaged), segments), max_pixels=1000)
                decoded += 1
            except imfnb.ImfError:
                pass
    assert 0 < decoded < 4 * len(head)


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_is_noticed(name):
    data = sample(name)
    for length in range(0, len(data), 3):
        with pytest.raises(FormatError):
            imfnb.decode(data[:length])


#: All layers, one segment each: a plane, V, the mask, residuals.
LAYERS = {"mask": 1, "nodata": 9.0, "bound": 3, "step": 64, "codings": [2], "shift": 9}
SEGMENTS = [QUIET, columns(), holes(3), residuals(1, masked=True)]


@pytest.mark.parametrize("index", range(4))
def test_segments_that_end_too_early(index):
    for length in range(0, len(SEGMENTS[index]), 2):
        segments = list(SEGMENTS)
        segments[index] = SEGMENTS[index][:length]
        agree(crafted(**LAYERS, segments=segments))
    noise = np.random.default_rng(index).bytes(5)  # more than any coder reads ahead, less than a layer takes
    segments = [*SEGMENTS[:index], noise, *SEGMENTS[index + 1 :]]
    if index == 3:
        with pytest.raises(FormatError, match="end too early"):
            imfnb.decode(crafted(**LAYERS, segments=segments))


@given(st.integers(0, 3), st.binary(max_size=60), st.sampled_from([0, 400, 3000]), st.sampled_from([0, 255]))
@settings(max_examples=examples(24))
def test_segments_of_any_bytes_are_the_same_for_all(index, noise, length, tail):
    segments = list(SEGMENTS)
    segments[index] = noise + bytes([tail]) * length
    agree(crafted(**LAYERS, segments=segments))


@given(st.integers(0, 3), st.data())
@settings(max_examples=examples(24))
def test_mutated_segment_with_a_valid_checksum(index, data):
    container = apart(sample("layers"))
    segments = segments_of(container)
    index = len(segments) - 1 - index
    segment = bytearray(segments[index])
    for _ in range(data.draw(st.integers(1, 3))):
        segment[data.draw(st.integers(0, len(segment) - 1))] ^= data.draw(st.integers(1, 255))
    segments[index] = bytes(segment)
    head = header_of(sample("layers"))
    table = header(1, 1, 0, b"", segments, features=b"")[4:]
    found = outcome(assemble(head[: len(head) - len(table)] + table, segments))
    assert found is None or (found.shape == (9, 12, 3) and found.dtype == np.int16)


# --------------------------------------------------------------------------------------------------------------- frames


def stack_of(*frames: bytes, count: int = -1, **changes) -> bytes:
    """A stack of frames apart, which says that they are (9, 12, 3) of uint16."""
    fields = {"frames": len(frames) if count < 0 else count, "segments": list(frames), **changes}
    data = crafted(**fields, columns=0)
    head, segments = header_of(data), list(frames)
    table = header(1, 1, 0, b"", segments, features=b"")[4:]
    assert head.endswith(b"\0" + table)  # K, which a stack has not got
    return assemble(head[: -len(table) - 1] + table, segments)


FRAME = crafted()


def test_frames_may_be_of_any_kind_but_for_shape_and_type():
    others = [FRAME, crafted(arrangement=3, bands=None), crafted(**ONLY), crafted(mask=0), FRAME + b"tail"]
    found = agree(stack_of(*others))
    assert found.shape == (5, 9, 12, 3)
    for number, data in enumerate(others):
        np.testing.assert_array_equal(found[number], imfnb.decode(data))
        np.testing.assert_array_equal(imfnb.decode(stack_of(*others), frame=number), found[number])


WRONG = {
    "a stack": (stack_of(FRAME), "frame 1 has"),
    "a stack as bands": (crafted(frames=3, together=1), "frame 1 has"),
    "another height": (crafted(size=(10, 12)), "frame 1 has uint16 .10, 12, 3."),
    "other bands": (crafted(bands=2), "frame 1 has"),
    "no axis": (crafted(arrangement=0, bands=None), "frame 1 has"),
    "another type": (crafted(kind=3, high=9), "frame 1 has int16"),
    "a picture": (imfnb.encode(np.zeros((9, 12, 3), np.uint8), quality=10), "frame 1 has uint8"),
    "nothing": (b"", "not an .imf file"),
    "cut": (FRAME[:-1], "truncated"),
    "damaged": (FRAME[:-1] + bytes([FRAME[-1] ^ 1]), "the checksum of segment"),
    "damaged header": (FRAME[:12] + bytes([FRAME[12] ^ 1]) + FRAME[13:], "the checksum of the header"),
    "of a later version": (FRAME[:4] + b"\3" + FRAME[5:], "format version 3"),
    "of another size": (crafted(size=(1 << 34, 1 << 34)), "max_pixels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_frames_that_are_refused(name):
    frame, message = WRONG[name]
    data = stack_of(FRAME, frame)
    with pytest.raises(FormatError, match=message):
        imfnb.decode(data)
    assert imfnb.decode(data, frame=0).shape == (9, 12, 3)  # which is whole
    if "size" not in name:
        assert by_the_text(data) is None


def test_numbers_of_frames_must_fit():
    for count in (1, 3, 1 << 20):
        with pytest.raises(FormatError, match=f"2 segments; expected {count}"):
            imfnb.decode(stack_of(FRAME, FRAME, count=count))


# --------------------------------------------------------------------------------------------------------------- limits


def peak_of(data: bytes, message: str, function=imfnb.decode, error=FormatError, **options) -> int:
    """Bytes that were allocated at most while `data` was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=message):
            function(data, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("function", [imfnb.decode, imfnb.info])
@pytest.mark.parametrize(
    "changes",
    [
        {"size": (1 << 14, 1 << 13), "bands": 12},
        {"size": (1 << 14, (1 << 14) + 1)},
        {"size": (1, 1 << 34), "bands": 1024},
        {"size": (1 << 34, 1 << 34), **ONLY},
        {"size": (1 << 12, 1 << 12), "frames": 1024, "together": 2, "bands": 1024},
        {"size": (1 << 14, 1 << 13), "frames": 3},
        {"size": (1 << 11, 1 << 12), "frames": 1 << 20},
    ],
)
def test_huge_arrays_are_refused_without_memory(changes, function):
    assert peak_of(crafted(**{"segments": [QUIET], **changes}), "max_pixels", function, LimitError) < 1 << 20


def test_every_four_bands_and_every_frame_count_as_a_picture():
    for changes, pictures in (({}, 1), ({"bands": 4}, 1), ({"bands": 5}, 2), ({"bands": 1024}, 256)):
        data = crafted(**changes, segments=[QUIET, columns(changes.get("bands", 3))])
        with pytest.raises(LimitError, match="max_pixels"):
            imfnb.decode(data, max_pixels=108 * pictures - 1)
        assert imfnb.decode(data, max_pixels=108 * pictures).shape[:2] == SIZE
    data = stack_of(FRAME, FRAME, FRAME)
    with pytest.raises(LimitError, match="3 frames"):
        imfnb.decode(data, max_pixels=323)
    assert imfnb.decode(data, max_pixels=324).shape[0] == 3


@pytest.mark.parametrize("size", [(1, 1 << 27), (1 << 27, 1)])
@pytest.mark.parametrize("codings", [[0], [1]])
def test_lines_that_grow_to_patches_are_refused(size, codings):
    data = crafted(size=size, codings=codings * 3, columns=3, segments=[QUIET] * 3)
    assert peak_of(data, "decoding needs .* bytes", error=LimitError) < 1 << 20


@pytest.mark.jit
@pytest.mark.parametrize("changes", [{"bound": 0, "columns": 0}, {"bound": 5}, {"mask": 1}, {"columns": 3}])
def test_a_few_bytes_do_not_take_more_than_the_array(changes):
    """A large array of a few bytes is refused or decoded in some times the size of its samples."""
    side, segments = 512, [b"\xff" * 9]
    if changes.get("columns", 1):
        segments = [b"\xff" * 9] * changes.get("columns", 1) + [columns(3, changes.get("columns", 1))]
    segments += [b"\xff" * 9] * (("mask" in changes) + ("bound" in changes) * bool(changes.get("columns", 1)))
    data = crafted(size=(side, side), segments=segments, **changes)
    tracemalloc.start()
    try:
        try:
            imfnb.decode(data)
        except imfnb.ImfError:
            pass
        assert tracemalloc.get_traced_memory()[1] < 60 * 3 * side * side
    finally:
        tracemalloc.stop()


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("value", [-(1 << 25), -70000, 70000, 1 << 25])
@pytest.mark.parametrize("bound", [0, 31, 1 << 24])
def test_residuals_beyond_the_range_are_clipped_and_not_wrapped(value, bound):
    for changes in ({"columns": 0}, {}):
        segments = [QUIET, columns()] * (not changes) + [residuals(value)]
        found = agree(crafted(bound=bound, segments=segments, low=5, high=60000, **changes))
        expected = 5 if value < 0 else 60000
        assert (found == expected).all()


def test_a_preview_leaves_the_residuals_out():
    data = sample("layers")
    plain = apart(data)
    lossy = crafted(bound=3, segments=[QUIET, columns(), residuals(1)])
    assert (imfnb.decode(lossy) == 507).all()
    assert (imfnb.decode(lossy, max_rank=1) == 500).all()
    assert (imfnb.decode(crafted(**ONLY), max_rank=1) == 1).all()  # there is nothing else
    assert plain.frame.samples.unit == 141
    assert not np.array_equal(imfnb.decode(data, max_rank=64 * 4), imfnb.decode(data))


def test_samples_that_are_too_large_for_their_type_are_infinite():
    found = agree(crafted(**ALLOWED["too large for float32"]))
    assert np.isinf(found).all()
    found = agree(crafted(**ALLOWED["too large for its type"]))
    assert (found[:2] == -math.inf).all() and np.isfinite(found[2:]).all()


@given(seeds)
@settings(max_examples=examples(40))
def test_arrays_of_any_bytes_are_the_same_by_the_text(seed):
    rng = np.random.default_rng(seed)
    kind = int(rng.integers(6))
    real = kind > 3
    low, high = (
        (-(1 << 24), 1 << 24) if real else (int(v) for v in (np.iinfo(NAME[kind]).min, np.iinfo(NAME[kind]).max))
    )
    bands, mask, bound = int(rng.integers(1, 4)), rng.choice([None, 0, 1]), rng.choice([None, 0, 2, 1 << 24])
    count = int(rng.integers(bound is None, bands + 1))
    segments = [rng.bytes(30) + bytes([int(rng.choice([0, 255]))]) * 600 for _ in range(count)]
    segments += [rng.bytes(int(rng.integers(60))) + bytes(400)] * (count > 0)
    segments += [rng.bytes(20) + bytes(300)] * (mask is not None) + [rng.bytes(40) + bytes(1200)] * (bound is not None)
    changes = {"kind": kind, "low": low, "high": high, "bands": bands, "mask": mask, "bound": bound, "columns": count,
               "shift": int(rng.integers(31)), "step": int(rng.choice([64, 1000, 16384])), "size": (5, 7),
               "codings": rng.integers(0, 4, count).tolist()}  # fmt: skip
    changes = {
        name: value if value is None or isinstance(value, list | tuple) else int(value)
        for name, value in changes.items()
    }
    if real:
        changes |= {"scale": float(10.0 ** rng.uniform(-40, 40)), "offset": float(rng.normal())}
    agree(crafted(**changes, nodata=1.0, segments=segments))


NAME = ("uint8", "int8", "uint16", "int16")


def test_fields_without_a_file_are_those_of_a_picture():
    assert (ArrayFields().dtype, ArrayFields().low, ArrayFields().high) == ("uint8", 0, 255)
