"""FORMAT.md is complete and right: `format_decoder`, which was written from it, gives the package's pixels."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import pathlib
import re
import zlib

import format_decoder
import numpy as np
import pytest
from helpers import assemble, header, parameters, picture, take_apart, varint

import imfnb
from imfnb import options as accepted
from imfnb.entropy import layout
from imfnb.entropy.columns.reference import encode_factors
from imfnb.entropy.maps.reference import encode_map
from imfnb.format import (
    baseline_header,
    basis,
    column_model,
    constants,
    context_model,
    lapped,
    network,
    neural_model,
    neural_states,
    probability,
    rans_model,
    restoration,
    states,
)
from imfnb.format.main_header import put_values
from imfnb.network import reference

FOLDER = pathlib.Path(__file__).parent / "golden"
TABLE = json.loads((FOLDER / "sha256.json").read_text())
TEXT = (pathlib.Path(__file__).parents[1] / "imfnb" / "format" / "FORMAT.md").read_text()
BORDERS = restoration.STEP_BORDERS


def _golden():
    """Names of the golden files; megapixels take plain Python many seconds."""
    for name in sorted(TABLE):
        large = int(np.prod(TABLE[name]["shape"][:2])) > 100_000
        yield pytest.param(name, marks=[pytest.mark.slow] if large else [])


@pytest.mark.parametrize("name", list(_golden()))
def test_golden_file_decodes_to_the_same_pixels(name):
    pixels = format_decoder.decode((FOLDER / f"{name}.imf").read_bytes())
    assert list(pixels.shape) == TABLE[name]["shape"]
    assert pixels.dtype == TABLE[name].get("dtype", "uint8")
    assert hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest() == TABLE[name]["sha256"]


def test_the_decoder_imports_nothing_of_the_package():
    names = set()
    for node in ast.walk(ast.parse(pathlib.Path(format_decoder.__file__).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names == {
        "__future__",
        "collections",
        "functools",
        "hashlib",
        "importlib",
        "math",
        "numpy",
        "pathlib",
        "zlib",
    }


def _listed():
    """The check values of appendix A: name -> (bytes, SHA-256)."""
    rows = re.findall(r"(?m)^    (\S.*?) +(\d+)  ([0-9a-f]{64})$", TEXT)
    return {name: (int(size), digest) for name, size, digest in rows}


def _digests(found):
    return {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in found.items()}


def test_check_values_of_the_text():
    """Appendix A lists the SHA-256 of tables that a decoder derives."""
    found = {
        "states.bin, as it is": (format_decoder.package() / "format" / "states.bin").read_bytes(),
        "states.bin, inflated": format_decoder.states(),
        "filters.bin": format_decoder.coefficients().astype("<i2").tobytes(),
        "filters_short.bin": format_decoder.short_coefficients().astype("<i2").tobytes(),
        "network.bin": b"".join(
            biases.astype("<i4").tobytes() + weights.astype("i1").tobytes()
            for ranges in format_decoder.networks().values()
            for layers in ranges
            for weights, biases in layers
        ),
        "neural_states.bin, as it is": (format_decoder.package() / "format" / "neural_states.bin").read_bytes(),
        "neural_states.bin, inflated": b"".join(
            array.astype("<u2").tobytes() for array in format_decoder.neural_states().values()
        ),
        "log, of 0 to 16383 (8 bits)": bytes(format_decoder.log(a) for a in range(16384)),
        "rans.bin, as it is": (format_decoder.package() / "format" / "rans.bin").read_bytes(),
        "rans.bin, inflated": b"".join(
            array.astype("<i4" if name in ("b1", "b2") else "<u2").tobytes()
            for name, array in format_decoder.lane_tables().items()
        ),
        "lg, of 0 to 16384 (8 bits)": bytes(format_decoder.lg(a) for a in range(16385)),
        "L of 4.5, of 0 to 2039 (8 bits)": bytes(format_decoder.factor_level(n) for n in range(2040)),
        "c of 4.5 at first, by near (16 bits)": b"".join(
            np.array(format_decoder.AdaptiveTable(near).c).astype("<u2").tobytes() for near in range(12)
        ),
        "SQUASH (16 bits)": np.array(format_decoder.SQUASH).astype("<u2").tobytes(),
        "STRETCH (16 bits)": np.array(format_decoder.STRETCH).astype("<i2").tobytes(),
        "RATE (16 bits)": np.array(format_decoder.RATE).astype("<u2").tobytes(),
        "level, of 0 to 1023 (8 bits)": bytes(format_decoder.level(a) for a in range(1024)),
        "slevel, of -16 to 16 (8 bits)": bytes(format_decoder.slevel(v) for v in range(-16, 17)),
    }
    for p in (8, 16):
        found[f"(i_r, j_r), p = {p} (8 bits)"] = np.array(format_decoder.frequencies(p)).astype("u1").tobytes()
        found[f"relations, p = {p} (8 bits)"] = np.array(format_decoder.relations(p)).astype("u1").tobytes()
        further = np.array(format_decoder.neural_relations(p))
        found[f"relations of 17.1, p = {p} (8 bits)"] = further.astype("u1").tobytes()
        weights = [w for first, a in ((40, 26), (64, 64)) for w in format_decoder.weights(p, first, a)]
        found[f"w of 40, 26 and 64, 64, p = {p} (16 bits)"] = np.array(weights).astype("<u2").tobytes()
    for p, step in ((8, 64), (8, 16384), (16, 1280)):
        found[f"V0, p = {p}, step {step} (16 bits)"] = (
            format_decoder.basis(p, step, format_decoder.weights(p, 64, 0)).astype("<i2").tobytes()
        )
    assert _listed() == _digests(found)


def test_tables_of_the_package_are_those_of_the_text():
    """The same for what the package computes, and the matrices of the lapped filter as they stand there."""
    state = states.initial_state()
    packed = state.probabilities >> 10 << 4 | state.counts // 2
    inflated = [packed.astype("<u2"), (state.weights >> 3).astype("<i2"), state.maps.astype("<u2")]
    filters = [restoration.filter_set(step, chroma)[0] for chroma in (False, True) for step in (1, *BORDERS)]
    short = [restoration.short_filter_set(step, chroma)[0] for chroma in (False, True) for step in (1, *BORDERS)]
    found = {
        "states.bin, as it is": (pathlib.Path(states.__file__).parent / "states.bin").read_bytes(),
        "states.bin, inflated": b"".join(array.tobytes() for array in inflated),
        "filters.bin": np.array(filters).astype("<i2").tobytes(),
        "filters_short.bin": np.array(short).astype("<i2").tobytes(),
        "network.bin": (pathlib.Path(network.__file__).parent / "network.bin").read_bytes(),
        "neural_states.bin, as it is": (pathlib.Path(states.__file__).parent / "neural_states.bin").read_bytes(),
        "neural_states.bin, inflated": b"".join(array.tobytes() for array in neural_states.initial_state()),
        "log, of 0 to 16383 (8 bits)": neural_model.LOGARITHM.tobytes(),
        "rans.bin, as it is": (pathlib.Path(states.__file__).parent / "rans.bin").read_bytes(),
        "rans.bin, inflated": b"".join(array.tobytes() for array in rans_model.networks()),
        "lg, of 0 to 16384 (8 bits)": rans_model.LOG.astype("u1").tobytes(),
        "L of 4.5, of 0 to 2039 (8 bits)": column_model.LEVELS.tobytes(),
        "c of 4.5 at first, by near (16 bits)": column_model.first_tables()[96::8].astype("<u2").tobytes(),
        "SQUASH (16 bits)": probability.SQUASH.astype("<u2").tobytes(),
        "STRETCH (16 bits)": probability.STRETCH.astype("<i2").tobytes(),
        "RATE (16 bits)": probability.RATE.astype("<u2").tobytes(),
        "level, of 0 to 1023 (8 bits)": context_model.LEVEL.astype("u1").tobytes(),
        "slevel, of -16 to 16 (8 bits)": context_model.SIGNED_LEVEL.astype("u1").tobytes(),
    }
    for p in (8, 16):
        found[f"(i_r, j_r), p = {p} (8 bits)"] = context_model.zigzag(p).astype("u1").tobytes()
        found[f"relations, p = {p} (8 bits)"] = context_model.component_table(p).astype("u1").tobytes()
        found[f"relations of 17.1, p = {p} (8 bits)"] = neural_model.relation_table(p).astype("u1").tobytes()
        block = re.search(rf"(?m)^    Q, p = {p}:(( +-?\d+)+\n)+", TEXT).group()
        matrix = np.array(block.partition(":")[2].split(), int).reshape(p // 2, p // 2)
        np.testing.assert_array_equal(lapped.rotation(p), matrix)
        weights = [w for numbers in ((40, 26), (64, 64)) for w in basis.weights_of(p, basis.Weighting(*numbers))]
        found[f"w of 40, 26 and 64, 64, p = {p} (16 bits)"] = np.array(weights).astype("<u2").tobytes()
    for p, step in ((8, 64), (8, 16384), (16, 1280)):
        found[f"V0, p = {p}, step {step} (16 bits)"] = basis.dct_basis(p, step).astype("<i2").tobytes()
    assert _listed() == _digests(found)


@pytest.mark.parametrize("kind", network.STEP_BORDERS)
@pytest.mark.parametrize("step", [64, 1500, 16384])
def test_networks_of_the_text(kind, step):
    """What the text says of networks, which no golden file has yet, is what the package does."""
    rng = np.random.default_rng(step)
    planes = [np.cumsum(rng.integers(-300, 301, (1, 9, 12)), 2, np.int32) for _ in range(1 if kind == "luma" else 3)]
    luma = np.cumsum(rng.integers(-300, 301, (1, 17, 23)), 2, np.int32)
    if kind == "half":
        reference.guide(luma, planes[2])
        np.testing.assert_array_equal(format_decoder.halved(luma[0]), planes[2][0])
    out = [np.empty_like(plane) for plane in planes[: max(len(planes) - 1, 1)]]
    reference.correct(planes, step, *network.network(step, kind), out, [0])
    found = format_decoder.correct([plane[0].astype(np.int64) for plane in planes], step, kind)
    for one, other in zip(found, out, strict=True):
        np.testing.assert_array_equal(one, other[0])


def _constants():
    """The list of appendix B: "module.NAME" -> value."""
    block = re.search(r"(?s)## Appendix B\..*?```\n(.*?)```", TEXT).group(1)
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in ast.parse(block).body}


@pytest.mark.parametrize(("name", "value"), _constants().items())
def test_constants_are_those_of_the_text(name, value):
    module, _, constant = name.partition(".")
    found = getattr(importlib.import_module(f"imfnb.format.{module}"), constant)
    assert found == value
    assert type(found) is type(value)


def test_every_constant_of_the_format_is_in_the_text():
    """But for tables, which appendix A has, and what a decoder may limit by itself."""
    found = set()
    for path in pathlib.Path(imfnb.format.__file__).parent.glob("*.py"):
        body = ast.Module([node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.ClassDef)], [])
        for node in ast.walk(body):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found |= {f"{path.stem}.{node.id}"} if node.id.isupper() and node.id[0] != "_" else set()
    tables = {"probability.SQUASH", "probability.STRETCH", "probability.RATE", "context_model.LEVEL"}
    tables |= {"context_model.SIGNED_LEVEL", "lapped.ROTATION_8", "lapped.ROTATION_16", "basis.PLAIN"}
    tables |= {
        "column_model.LEVELS",
        "neural_model.LOGARITHM",
        "neural_states.LAYOUT",
        "rans_model.LOG",
        "rans_model.LAYOUT",
    }
    assert found == set(_constants()) | tables | {"container.MAX_PIXELS", "container.UNLIMITED"}


def test_what_the_encoder_takes_is_within_the_format():
    assert set(accepted.PATCH_SIZES) <= set(baseline_header.PATCH_SIZES)
    assert accepted.BOUND_LIMIT <= baseline_header.BOUND_LIMIT
    low, high = (round(constants.STEP_UNIT * step) for step in accepted.STEP_RANGE)
    assert constants.STEP_MIN <= low < high <= constants.STEP_MAX
    assert layout.MAGNITUDE_LIMIT // 2 < layout.MAGNITUDE_LIMIT <= context_model.FIRST_LIMIT
    assert context_model.FIRST_LIMIT < context_model.UNARY + 2 ** (context_model.ESCAPE_BITS + 1)
    assert set(constants.PATCH_SIZES) == {8, 16}


# ---- what no encoder writes ------------------------------------------------------------------------------------------


def _column(*values, dtype="i1"):
    """A column of a factor as the baseline profile stores it."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = coder.compress(np.array(values, dtype).tobytes()) + coder.flush()
    return varint(len(stream)) + stream


def _baseline(
    flags=0,
    patch_size=0,
    low=-16,
    high=15,
    ranks=(1,),
    channels=0,
    size=(2, 1),
    segments=None,
    profile=0,
    count=-1,
    features=b"\0",
    version=2,
    chunks=(),
):
    """A file of the baseline profile; by default two gray pixels without patches."""
    segments = [_column(5, 7) + _column(9)] if segments is None else segments
    fields = parameters(flags, patch_size, low, high, ranks)
    return assemble(header(*size, channels, fields, segments, profile, count, features), [*segments, *chunks], version)


def _adaptive(segment, **changes):
    """The same with adaptive tables of the factors."""
    return _baseline(**{"segments": [segment], "features": varint(64), **changes})


def _chunk(kind, data):
    """What the header says of a chunk."""
    return kind + varint(len(data)) + zlib.crc32(data).to_bytes(4, "little")


#: A segment of the main profile that says: all residuals of component 0 are zero.
QUIET = bytes([0]) + bytes([255]) * 12

#: Factors with adaptive tables of two gray pixels without patches, of small entries: one state, no words, raw bits.
ADAPTIVE = encode_factors([np.array([[5, 7]], np.int16), np.array([[9]], np.int16)], [(2, 1), (1, 1)])

#: The same in parallel lanes: one state, no words.
LANES = bytes([0, 0, 0]) + (1 << 31).to_bytes(4, "little")


def _main(flags=0, steps=(640,), codings=(0,), channels=0, size=(3, 5), segments=None, version=2, value=b"", more=b""):
    """A file of the main profile; by default a small gray picture."""
    segments = [QUIET] * len(codings) if segments is None else segments
    fields = bytes([flags]) + b"".join(map(varint, steps)) + value + bytes(codings) + more
    features = b"\0" * (version > 1)
    return assemble(header(*size, channels, fields, segments, profile=1, features=features), segments, version)


def _colour(**changes):
    """The same for a colour picture."""
    return _main(**{"steps": (640, 640), "codings": (0, 0, 0), "channels": 3, **changes})


def _alpha(segment):
    """A picture of 3 x 5 pixels with lossless alpha, in version 1."""
    return _colour(channels=4, flags=2, segments=[QUIET] * 3 + [segment], version=1)


#: Samples that take more bytes than there are of them.
NOISE = np.random.default_rng(0).integers(0, 256, (3, 5)).astype(np.uint8)

#: Factors of 15 x 15 patches, and a map of their steps.
LONG = bytes([0]) + bytes([255]) * 400
BLOCKS = encode_map(np.random.default_rng(1).integers(0, 9, (15, 15)).astype(np.uint8), 9)

#: A map of three symbols, 3 x 5.
CLASSES = encode_map(np.array([[0, 0, 1, 2, 2]] * 3, np.uint8), 3)


def _lossy(classes):
    """A picture of 3 x 5 pixels with lossy alpha."""
    changes = {"steps": (640, 640, 16384), "codings": (0, 0, 0, 2)}
    return _colour(channels=4, segments=[QUIET] * 4 + [classes], **changes)


def _mapped(values, count, symbols=None):
    """The same with lossless alpha of version 2."""
    symbols = encode_map(np.arange(15, dtype=np.uint8).reshape(3, 5) % count, count) if symbols is None else symbols
    return _colour(channels=4, flags=2, segments=[QUIET] * 3 + [values + symbols])


def _palette(count, values, indices, wrap=zlib.compress):
    return bytes([count, *values]) + wrap(bytes(indices))


GOOD = _baseline()
INDICES = [0, 1, 2] * 5

ALLOWED = {
    "baseline": GOOD,
    "bounds at their ends": _baseline(
        low=-32767, high=32767, segments=[_column(-32767, 32767, dtype="<i2") + _column(1, dtype="<i2")]
    ),
    "int8 at its ends": _baseline(low=-128, high=127, segments=[_column(-128, 127) + _column(1)]),
    "adaptive factors": _adaptive(ADAPTIVE),
    "adaptive factors in more lanes than symbols": _adaptive(b"\5\0" + LANES[3:] * 32),
    "words and bits left over behind adaptive factors": _adaptive(b"\5\4" + LANES[3:] * 32 + bytes(9)),
    "adaptive factors and a chunk": _adaptive(
        ADAPTIVE, features=varint(96) + varint(1) + _chunk(b"none", b"ab"), chunks=(b"ab",)
    ),
    "main": _main(),
    "least step": _main(steps=(64,)),
    "largest step": _main(steps=(16384,)),
    "least and largest step of chroma": _colour(steps=(16384, 64)),
    "all flags": _colour(flags=1, codings=(3, 2, 1)),
    "rank beyond the side of a patch": _main(segments=[bytes([255]) + QUIET[1:] + bytes([255]) * 40]),
    "lanes": _main(codings=(48,), segments=[LANES]),
    "more lanes than symbols": _main(codings=(16,), segments=[LANES[:1] + b"\5" + LANES[2:3] + LANES[3:] * 32]),
    "words and bits left over behind lanes": _main(codings=(16,), segments=[LANES[:2] + b"\3" + LANES[3:] + bytes(9)]),
    "bytes left over behind the coded data": _main(segments=[QUIET + bytes(100)]),
    "a palette of 16": _alpha(_palette(16, range(16), [15] * 15)),
    "an index beyond the palette": _alpha(_palette(2, (40, 50), INDICES)),
    "long varints": assemble(
        bytes([0, 0x82, 0x80, 0x80, 0x80, 0, 0x81, 0, 0, 0x80, 0]) + take_apart(GOOD)[0][5:], take_apart(GOOD)[1]
    ),
    "version 1 of the baseline profile": _baseline(version=1, features=b""),
    "version 1 of the main profile": _colour(version=1, flags=1, codings=(3, 2, 1)),
    "lossy alpha of version 1": _colour(channels=4, codings=(0, 0, 0, 2), version=1),
    "lossy alpha": _lossy(CLASSES),
    "lossy alpha of any classes": _lossy(bytes(30)),
    "lossless alpha": _mapped(bytes([2, 0, 7, 255]), 3),
    "lossless alpha of one value": _mapped(bytes([0, 9]), 1, b""),
    "lossless alpha of many values": _mapped(bytes([254]) + bytes([254]) + bytes([255]) * 31, 255),
    "bytes behind a map": _mapped(bytes([2, 0, 7, 255]), 3, CLASSES + bytes(9)),
    "constant alpha": _colour(channels=4, flags=4, value=b"\x4d"),
    "local steps": _main(flags=16, more=b"\3", size=(120, 120), segments=[LONG, BLOCKS]),
    "weights": _colour(flags=9, codings=(3, 2, 1), more=bytes([40, 64, 64, 0])),
    "chunks": _baseline(
        features=varint(32) + varint(2) + _chunk(b"XMP ", b"<x/>") + _chunk(b"none", b""), chunks=(b"<x/>",)
    ),
}  # fmt: skip

REFUSED = {
    "empty": b"",
    "magic": b"\x88" + GOOD[1:],
    "version 0": assemble(b"", [], version=0),
    "version 3": assemble(b"", [], version=3),
    "empty header": assemble(b"", []),
    "header longer than the file": GOOD[:5] + varint(10**6) + GOOD[6:],
    "length of the payload": assemble(*take_apart(GOOD), payload=3),
    "header's CRC": GOOD[:8] + bytes([GOOD[8] ^ 1]) + GOOD[9:],
    "segment's CRC": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "truncated segment": GOOD[:-1],
    "profile 2": _baseline(profile=2),
    "no rows": _baseline(size=(0, 1)),
    "no columns": _baseline(size=(2, 0)),
    "two channels in version 1": _baseline(channels=2, version=1, features=b""),
    "gray and alpha in the baseline profile": _baseline(channels=2),
    "bands without their number": _baseline(channels=5),
    "arrangement 6": _baseline(channels=6),
    **{f"feature {bit}": _baseline(features=varint(1 << bit)) for bit in range(35) if bit != 5},
    "no chunks": _baseline(features=varint(32) + varint(0)),
    "too many chunks": _baseline(features=varint(32) + varint(1025) + _chunk(b"none", b"") * 1025),
    "truncated chunk": _baseline(features=varint(32) + varint(1) + _chunk(b"none", b"ab"), chunks=(b"a",)),
    "chunks of version 1": _baseline(features=varint(32) + varint(1) + _chunk(b"none", b""), version=1),
    "six bytes of a varint": assemble(
        bytes([0, 0x82, 0x80, 0x80, 0x80, 0x80, 0]) + take_apart(GOOD)[0][2:], take_apart(GOOD)[1]
    ),
    "number of segments": _baseline(count=2),
    "left over in the header": assemble(header(2, 1, 0, parameters(0, 0, -16, 15, (1,)), [b""]) + b"\0", [b""]),
    "baseline flags of a gray picture": _baseline(flags=1),
    "baseline flags 3": _baseline(flags=3, channels=3, ranks=(1, 1, 1), segments=[b""] * 3),
    "patch size 2": _baseline(patch_size=2),
    "patch size 64": _baseline(patch_size=64),
    "equal bounds": _baseline(low=3, high=3),
    "low bound": _baseline(low=-32768),
    "high bound": _baseline(high=32768),
    "rank 0": _baseline(ranks=(0,)),
    "rank above min(M, N)": _baseline(ranks=(2,), segments=[_column(5, 7) * 2 + _column(9) * 2]),
    "entry below the bounds": _baseline(segments=[_column(5, -17) + _column(9)]),
    "entry above the bounds": _baseline(segments=[_column(5, 16) + _column(9)]),
    "short column": _baseline(segments=[_column(5) + _column(9)]),
    "long column": _baseline(segments=[_column(5, 7, 7) + _column(9)]),
    "incomplete stream": _baseline(segments=[varint(2) + _column(5, 7)[1:3] + _column(9)]),
    "bytes behind a stream": _baseline(segments=[varint(len(_column(5, 7))) + _column(5, 7)[1:] + b"\0" + _column(9)]),
    "no deflate stream": _baseline(segments=[varint(2) + b"\xff\xff" + _column(9)]),
    "left over in a segment": _baseline(segments=[_column(5, 7) + _column(9) + b"\0"]),
    "adaptive factors without a segment of theirs": _adaptive(b""),
    "64 lanes of adaptive factors": _adaptive(b"\6\0" + LANES[3:] * 64),
    "too few words of adaptive factors": _adaptive(bytes(6)),
    "too few raw bits of adaptive factors": _adaptive(b"\0\0" + b"\xff" * 4),
    "states beyond the segment of adaptive factors": _adaptive(b"\5\0" + LANES[3:] * 31),
    "words beyond the segment of adaptive factors": _adaptive(b"\5\1" + LANES[3:] * 32),
    "adaptive factors in the main profile": assemble(
        header(3, 5, 0, bytes([0]) + varint(640) + b"\0", [QUIET], profile=1, features=varint(64)), [QUIET]
    ),
    "adaptive factors in a stack": _adaptive(ADAPTIVE, features=varint(68) + varint(1) + b"\0", segments=[GOOD]),
    "main flags of a gray picture, chroma": _main(flags=1),
    "main flags of a gray picture, alpha": _main(flags=2),
    "lossless alpha without alpha": _colour(flags=2),
    "constant alpha without alpha": _colour(flags=4, value=b"\0"),
    "main flags 4 of version 1": _main(flags=4, version=1),
    "main flags 6": _colour(flags=6, channels=4),
    "main flags 32": _main(flags=32),
    "no weights": _main(flags=8),
    "first weight below 40": _main(flags=8, more=bytes([39, 0])),
    "first weight above 64": _main(flags=8, more=bytes([65, 0])),
    "strength of weights above 64": _main(flags=8, more=bytes([40, 65])),
    "no weights of chroma": _colour(flags=8, more=bytes([40, 20])),
    "blocks of 4 samples": _main(flags=16, more=b"\2", segments=[QUIET, b""]),
    "blocks of 512 samples": _main(flags=16, more=b"\x09", segments=[QUIET, b""]),
    "no map of local steps": _main(flags=16, more=b"\4", segments=[QUIET]),
    "map of local steps ends too early": _main(flags=16, more=b"\3", size=(120, 120), segments=[LONG, BLOCKS[:12]]),
    "step of alpha below 64": _colour(channels=4, steps=(640, 640, 63), codings=(0,) * 4),
    "step of alpha above 16384": _colour(channels=4, steps=(640, 640, 16385), codings=(0,) * 4),
    "step below 64": _main(steps=(63,)),
    "step above 16384": _main(steps=(16385,)),
    "step of chroma below 64": _colour(steps=(640, 63)),
    "step of chroma above 16384": _colour(steps=(640, 16385)),
    "coding 10": _main(codings=(10,)),
    "coding 64": _main(codings=(64,)),
    "coding 20": _main(codings=(20,)),
    "planes of different coders": _colour(codings=(0, 4, 0)),
    "planes of lanes and of networks": _colour(codings=(16, 4, 16), segments=[LANES] * 3),
    "lanes without a segment of theirs": _main(codings=(16,), segments=[b"\0"]),
    "64 lanes": _main(codings=(16,), segments=[LANES[:1] + b"\6" + LANES[2:] * 64]),
    "too few words of lanes": _main(codings=(16,), segments=[LANES[:3] + bytes(4)]),
    "words beyond the segment of lanes": _main(codings=(16,), segments=[LANES[:2] + b"\1" + LANES[3:]]),
    "states beyond the segment of lanes": _main(codings=(16,), segments=[LANES[:1] + b"\1" + LANES[2:]]),
    "main segment without bytes": _main(segments=[b""]),
    "coded data end too early": _main(segments=[b"\0"]),
    "no classes": _colour(channels=4, steps=(640, 640, 640), codings=(0,) * 4),
    "truncated values of alpha": _mapped(bytes([20, 0, 7, 255]), 3, b""),
    "truncated field of values of alpha": _mapped(bytes([200]) + bytes(31), 3, b""),
    "equal values of alpha": _mapped(bytes([2, 0, 7, 7]), 3),
    "falling values of alpha": _mapped(bytes([2, 0, 8, 7]), 3),
    "fewer values of alpha": _mapped(bytes([254]) + bytes([252]) + bytes([255]) * 31, 255),
    "more values of alpha": _mapped(bytes([254]) + bytes([255]) * 32, 255),
    "map of alpha ends too early": _mapped(b"\xff" * 33, 256, encode_map(NOISE, 256)[:12]),
    "a palette of 0": _alpha(_palette(0, (), INDICES)),
    "a palette of 17": _alpha(_palette(17, range(17), INDICES)),
    "truncated palette": _alpha(bytes([16, 1, 2])),
    "few indices": _alpha(_palette(3, (1, 2, 3), INDICES[1:])),
    "many indices": _alpha(_palette(3, (1, 2, 3), [*INDICES, 0])),
    "indices without checksum": _alpha(_palette(3, (1, 2, 3), INDICES)[:-1]),
    "wrong checksum of the indices": _alpha(_palette(3, (1, 2, 3), INDICES)[:-1] + b"\0"),
    "bytes behind the indices": _alpha(_palette(3, (1, 2, 3), INDICES) + b"\0"),
    "raw deflate": _alpha(_palette(3, (1, 2, 3), INDICES, lambda raw: zlib.compress(raw)[2:-4])),
}


def _package(data):
    """The package's pixels, None for a malformed file."""
    try:
        return imfnb.decode(data, device="reference")
    except imfnb.FormatError:
        return None


def _text(data):
    """The same by the text."""
    try:
        return format_decoder.decode(data)
    except format_decoder.Malformed:
        return None


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_text_allows_decodes_alike(name):
    pixels = _text(ALLOWED[name])
    assert pixels is not None
    np.testing.assert_array_equal(_package(ALLOWED[name]), pixels)


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_text_excludes_is_refused(name):
    assert _text(REFUSED[name]) is None
    assert _package(REFUSED[name]) is None


def test_bytes_behind_the_end_are_ignored():
    np.testing.assert_array_equal(_text(GOOD + b"\0"), _text(GOOD))


def _any_bytes(seed, coder=0):
    """A file of the main profile whose segments are noise: values, steps and ranks at their limits are likely.

    `coder` is the bit of the coding of planes that says how U is coded.
    """
    rng = np.random.default_rng(seed)
    channels, version = int(rng.choice([0, 1, 3, 4])), 2 if coder else 1 + seed % 2
    flags = int(rng.integers(2)) * (channels >= 3) + 2 * int(rng.integers(2)) * (channels == 4)
    steps = [int(s) for s in rng.choice([64, 65, 1000, 1023, 1024, 2047, 2048, 8000, 16384], 2 if channels >= 3 else 1)]
    size = tuple(int(n) for n in rng.integers(1, 26, 2))
    codings, segments = [], []
    for _ in range(max(1, channels) - (flags >> 1)):
        restored = int(rng.choice([0, 2, 8, 32])) if coder else 2 * int(rng.integers(2))
        codings.append(int(rng.integers(2)) + coder + restored)
        low, high = ((0, 256), (0, 2), (252, 256))[rng.integers(3)]
        noise = rng.integers(low, high, int(rng.choice([3, 30, 300, 1000])))
        rank = int(rng.choice([0, 1, 2, 9, 12, 63, 64, 255]))
        # In lanes the number of words follows that of the lanes; what is left over are raw bits.
        counts = bytes([int(rng.integers(4))]) + varint(int(rng.choice([0, 9, 99, 999]))) if coder == 16 else b""
        filled = bytes(int(rng.choice([0, 0, 3000]))) if coder != 16 else rng.bytes(int(rng.choice([0, 3000, 9000])))
        segments.append(bytes([rank]) + counts + bytes(noise.tolist()) + filled)
    if flags & 2:
        if version == 1:
            segments.append(_palette(3, (1, 20, 255), rng.integers(0, 4, size[0] * size[1]).tolist()))
        else:
            count = int(rng.choice([1, 2, 3, 32, 33, 256]))
            values = put_values(np.sort(rng.permutation(256)[:count]).tolist())
            segments.append(values + rng.integers(0, 256, 300).astype(np.uint8).tobytes() + bytes(1500))
    elif channels == 4 and version > 1:
        steps.append(int(rng.choice([64, 1024, 16384])))
        segments.append(rng.integers(0, 256, 300).astype(np.uint8).tobytes() + bytes(1500))
    return _main(flags, steps, codings, channels, size, segments, version)


def _decode_alike(files):
    """Compare both decoders' pixels; return how many of the files are not malformed."""
    decoded = 0
    for number, data in enumerate(files):
        package, text = _package(data), _text(data)
        assert (package is None) == (text is None), f"file {number}"
        if package is not None:
            np.testing.assert_array_equal(package, text, err_msg=f"file {number}")
            decoded += 1
    return decoded


def test_any_bytes_decode_alike():
    assert 15 < _decode_alike(_any_bytes(seed) for seed in range(40)) < 40


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 100), marks=pytest.mark.slow)])
def test_any_bytes_of_networks_decode_alike(seeds):
    assert 0 < _decode_alike(_any_bytes(seed, 4) for seed in seeds) < len(seeds)


@pytest.mark.parametrize("seeds", [range(24), pytest.param(range(24, 150), marks=pytest.mark.slow)])
def test_any_bytes_of_lanes_decode_alike(seeds):
    assert 0 < _decode_alike(_any_bytes(seed, 16) for seed in seeds) < len(seeds)


def _any_factors(seed):
    """A file of the baseline profile with adaptive tables, whose segments are noise."""
    rng = np.random.default_rng(seed)
    size, p = tuple(int(n) for n in rng.integers(1, 30, 2)), int(rng.choice([0, 4, 8]))
    low, high = ((-16, 15), (0, 255), (-32767, 32767), (7, 8))[rng.integers(4)]
    largest = size if not p else (-(-size[0] // p) * -(-size[1] // p), p * p)
    lanes, words = int(rng.integers(4)), int(rng.choice([0, 9, 99]))
    states = rng.integers(0, 1 << int(rng.choice([4, 32])), 1 << lanes).astype("<u4").tobytes()
    filled = rng.choice([bytes(1), b"\xff", b"\x0f"]) * 20 + rng.bytes(int(rng.choice([0, 30, 900])))
    segment = bytes([lanes]) + varint(words) + states + rng.bytes(2 * words) + filled
    rank = int(rng.integers(1, min(largest) + 1)) % 5 or 1
    return _adaptive(segment, size=size, patch_size=p, low=low, high=high, ranks=(rank,))


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(30, 300), marks=pytest.mark.slow)])
def test_any_bytes_of_adaptive_factors_decode_alike(seeds):
    assert 0 < _decode_alike(_any_factors(seed) for seed in seeds) < len(seeds)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 1, 0), {}),
        ((19, 23, 0), {"patch_size": None, "bounds": (-32767, 32767)}),
        ((19, 23, 3), {"patch_size": 4, "bounds": (0, 31)}),
        ((18, 25, 4), {"color_space": "RGB"}),
        ((18, 25, 3), {"color_space": "RGB", "patch_size": None}),
        ((33, 40, 3), {"patch_size": 16, "subsampling": "4:4:4", "bounds": (-1000, 1000)}),
        pytest.param((120, 130, 3), {"rank": 20}, marks=pytest.mark.slow),
    ],
)
def test_adaptive_factors_decode_alike(shape, options):
    data = imfnb.encode(picture(*shape, seed=4), profile="baseline", coder="fast", **{"rank": 3, **options})
    np.testing.assert_array_equal(imfnb.decode(data), _text(data))


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 200), marks=pytest.mark.slow)])
def test_damaged_adaptive_factors_decode_alike(seeds):
    """Single bits of a segment, and its end, are changed; the checksum is that of what is left."""
    image = picture(18, 20, seed=1)
    _, segments = take_apart(imfnb.encode(image, profile="baseline", coder="fast", rank=3, bounds=(-99, 99)))
    files = []
    for seed in seeds:
        rng, damaged = np.random.default_rng(seed), bytearray(segments[0])
        damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
        if seed % 3 == 0:
            del damaged[int(rng.integers(len(damaged))) :]
        several = [bytes(damaged), *segments[1:]]
        fields = parameters(2, 8, -99, 99, (3, 1, 1))
        files.append(assemble(header(18, 20, 3, fields, several, 0, features=varint(64)), several))
    assert 0 < _decode_alike(files) < len(files)


def test_colours_of_the_baseline_profile_decode_alike():
    """Every colour of chroma at the ends of the range, where rounding and clipping matter."""
    image = np.stack(np.meshgrid([0, 1, 85, 128, 170, 254, 255], [0, 60, 255], indexing="ij"), axis=-1)
    image = np.concatenate([image, image[:, ::-1, :1]], axis=2).astype(np.uint8)
    for options in ({"subsampling": "4:4:4"}, {"subsampling": "4:2:0"}, {"color_space": "RGB"}):
        given = {"profile": "baseline", "quality": 100, "patch_size": 4, "bounds": (-255, 255), "device": "reference"}
        data = imfnb.encode(image, **given, **options)
        np.testing.assert_array_equal(_package(data), _text(data))


@pytest.mark.parametrize("shape", [(12, 25, 3), (17, 8, 4), (33, 9, 0)])
def test_pictures_decode_alike(shape):
    image = picture(*shape, seed=3)
    for options in ({"step": 1.5}, {"step": 9, "patch_size": 16}, {"step": 256}):
        data = imfnb.encode(image, device="reference", **options)
        np.testing.assert_array_equal(_package(data), _text(data))


#: Shapes, options and numbers of seeds of what is coded with networks: the dearest stand last.
BEST = [
    ((1, 1, 3), {"step": 1}),
    ((13, 21, 0), {"step": 3, "patch_size": 8}),
    ((33, 40, 0), {"step": 20, "patch_size": 16}),
    ((17, 33, 3), {"step": 12, "patch_size": 8, "subsampling": "4:4:4"}),
    ((40, 33, 3), {"step": 16, "patch_size": 16, "subsampling": "4:2:0", "tune": "visual"}),
    ((24, 24, 4), {"step": 60, "tune": "visual"}),
]
BEST_MORE = [
    ((height, width, channels), {"step": step, "patch_size": p, "tune": tune, **more})
    for height, width in [(1, 1), (2, 37), (40, 33), (33, 40)]
    for channels, more in [(0, {}), (3, {"subsampling": "4:2:0"}), (3, {"subsampling": "4:4:4"})]
    for p in (8, 16)
    for step, tune in [(1, "psnr"), (5, "visual"), (30, "psnr"), (256, "visual")]
]


@pytest.mark.parametrize(("shape", "options"), [*BEST, *(pytest.param(*c, marks=pytest.mark.slow) for c in BEST_MORE)])
def test_pictures_of_the_best_effort_decode_alike(shape, options):
    data = imfnb.encode(picture(*shape, seed=5), effort="best", device="cpu", **options)
    np.testing.assert_array_equal(imfnb.decode(data, device="cpu"), _text(data))


@pytest.mark.parametrize(("shape", "options"), [*BEST, *(pytest.param(*c, marks=pytest.mark.slow) for c in BEST_MORE)])
def test_pictures_of_the_fast_effort_decode_alike(shape, options):
    data = imfnb.encode(picture(*shape, seed=5), effort="fast", device="cpu", **options)
    np.testing.assert_array_equal(imfnb.decode(data, device="cpu"), _text(data))


def test_passes_of_several_runs_decode_alike():
    """Of more than 256 patches of a colour; slices are too small for as many along the wave front."""
    image = np.random.default_rng(1).integers(0, 4, (250, 210)).astype(np.uint8) * 40
    image[40:] = np.minimum(image[40:], 2)
    data = imfnb.encode(image, effort="fast", step=20, patch_size=8, device="cpu")
    np.testing.assert_array_equal(imfnb.decode(data, device="cpu"), _text(data))


@pytest.mark.parametrize(
    "step", [40, pytest.param(1, marks=pytest.mark.slow), pytest.param(400, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("patch_size", [8, 16])
@pytest.mark.parametrize("effort", ["fast", "best"])
def test_arrays_of_other_efforts_decode_alike(effort, step, patch_size):
    array = 60 * picture(15, 18, 5, seed=6).astype(np.uint16)
    data = imfnb.encode(array, effort=effort, step=step, patch_size=patch_size, device="cpu")
    np.testing.assert_array_equal(imfnb.decode(data, device="cpu"), _text(data))


def test_a_companion_has_the_components_that_its_patches_have():
    """Ranks beyond the highest of a patch, which no encoder writes, do not give a companion more components."""
    options = {"step": 10, "patch_size": 8, "subsampling": "4:4:4", "tune": "psnr", "device": "cpu"}
    data = imfnb.encode(picture(20, 20, seed=2), effort="best", **options)
    head, segments = take_apart(data)
    fewer, more = segments[1][0], 2 ** segments[1][0].bit_length() - 1  # with which ranks are decoded alike
    assert fewer < min(more, segments[2][0])
    head = head[: head.index(varint(len(segments[0])) + zlib.crc32(segments[0]).to_bytes(4, "little")) - 1]
    segments[1] = bytes([more]) + segments[1][1:]
    head += varint(3) + b"".join(varint(len(s)) + zlib.crc32(s).to_bytes(4, "little") for s in segments)
    changed = assemble(head, segments)
    pixels = imfnb.decode(data, device="cpu")
    assert changed != data
    np.testing.assert_array_equal(_text(changed), pixels)
    np.testing.assert_array_equal(_package(changed), pixels)


@pytest.mark.slow
def test_slices_of_networks_decode_alike():
    """Two slices a plane, which a V of its own may begin and each of which has the companion of its number."""
    image = np.repeat(np.repeat(picture(130, 130, 3, seed=7), 16, axis=0), 16, axis=1)
    data = imfnb.encode(image, effort="best", step=256, patch_size=16, subsampling="4:4:4", tune="psnr", device="cpu")
    assert image[:, :, 0].size > constants.SLICE_SAMPLES
    np.testing.assert_array_equal(imfnb.decode(data, device="cpu"), _text(data))
