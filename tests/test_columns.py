"""The coder of the baseline's factors with adaptive tables, and the option that chooses it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from helpers import assert_stays_inside
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples, seeds

import imfnb
from imfnb.cli import main
from imfnb.codec import open_container
from imfnb.entropy.columns import cpu, reference
from imfnb.format.baseline_header import parse, serialize
from imfnb.format.bytestream import Reader
from imfnb.format.container import pack

pytestmark = pytest.mark.kernels

RAMP = np.arange(1024, dtype=np.uint8).reshape(32, 32)


@st.composite
def factors(draw):
    """U^T and V^T with the shapes of their images and the bounds."""
    random = np.random.default_rng(draw(seeds))
    rank, limit = draw(st.integers(1, 4)), draw(st.sampled_from([1, 15, 300, 32767]))
    grids = [(draw(st.integers(1, 9)), draw(st.integers(1, 9))) for _ in range(2)]
    scale = draw(st.sampled_from([0.05, 0.3, 2.0]))
    values = [
        np.clip(random.laplace(0, scale * limit, (rank, h * w)), -limit, limit).astype(np.int16) for h, w in grids
    ]
    return values, grids, (-limit, limit)


@settings(max_examples=examples(90))
@given(factors())
def test_factors_come_back(case):
    values, grids, bounds = case
    coded = cpu.encode_factors(values, grids)
    assert coded == reference.encode_factors(values, grids)
    for backend in (cpu, reference):
        found, overrun = backend.decode_factors(coded, len(values[0]), grids, bounds)
        assert not overrun
        assert all(np.array_equal(a, b) for a, b in zip(found, values, strict=True))


@settings(max_examples=examples(90))
@given(factors(), st.binary(max_size=60), st.integers(0, 200))
def test_hostile_bytes(case, noise, length):
    values, grids, bounds = case
    for data in (noise, cpu.encode_factors(values, grids)[:length] + noise):
        results = [backend.decode_factors(data, len(values[0]), grids, bounds) for backend in (cpu, reference)]
        assert results[0][1] == results[1][1]
        for found, _ in results:
            assert all(bounds[0] <= part.min() and part.max() <= bounds[1] for part in found)
        if not results[0][1]:
            assert all(np.array_equal(a, b) for a, b in zip(results[0][0], results[1][0], strict=True))


BOUNDS_CHECK = """
    import sys
    import numpy as np
    import numba
    assert numba.config.BOUNDSCHECK == 1
    sys.path[:0] = {folders!r}
    from imfnb.entropy.columns import cpu
    from imfnb.entropy.rans import lanes

    # The check itself works: an index beyond the end raises.
    try:
        lanes._pack(np.zeros(1, np.uint32), 2, np.ones(1, np.uint32), np.zeros(9, np.uint16))
    except IndexError:
        print("checked")
    rng = np.random.default_rng(1)
    for n in range(300):
        grids = [tuple(int(side) for side in rng.integers(1, 12, 2)) for _ in range(2)]
        rank, limit = int(rng.integers(1, 5)), int(rng.choice([15, 300, 32767]))
        if n % 3 == 0:
            data = bytes([n % 4, n % 99]) + rng.bytes(int(rng.integers(0, 800)))
        elif n % 3 == 1:
            data = bytes([n % 4, n % 50]) + bytes([int(rng.integers(256))]) * int(rng.integers(1, 300))
        else:
            factors = [rng.integers(-limit, limit + 1, (rank, h * w)).astype(np.int16) for h, w in grids]
            data = bytearray(cpu.encode_factors(factors, grids))
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        cpu.decode_factors(bytes(data), rank, grids, (-limit, limit))
    print("done")
"""


@pytest.mark.jit
@pytest.mark.slow
def test_kernels_stay_inside_their_arrays(tmp_path):
    """Compiled with bounds checks, the kernels neither trip over random bytes nor over their own."""
    assert_stays_inside(BOUNDS_CHECK, tmp_path)


def test_lanes_side_by_side():
    random = np.random.default_rng(3)
    values, grids = [random.integers(-9, 10, (2, n)).astype(np.int16) for n in (4800, 64)], [(60, 80), (8, 8)]
    coded = cpu.encode_factors(values, grids)
    assert coded[0] == 2
    assert coded == reference.encode_factors(values, grids)
    assert np.array_equal(reference.decode_factors(coded, 2, grids, (-9, 9))[0][0], values[0])


@pytest.mark.parametrize(
    "options", [{}, {"color_space": "RGB"}, {"patch_size": None}, {"bounds": (-1000, 1000)}, {"patch_size": 16}]
)
def test_files_give_the_same_pixels(options):
    image = np.random.default_rng(1).integers(0, 256, (37, 45, 3), np.uint8)
    files = [imfnb.encode(image, profile="baseline", rank=3, coder=coder, **options) for coder in ("deflate", "fast")]
    assert files[0] == imfnb.encode(image, profile="baseline", rank=3, **options)
    assert [imfnb.info(file)["coder"] for file in files] == ["deflate", "fast"]
    assert np.array_equal(*map(imfnb.decode, files))
    assert np.array_equal(*(imfnb.decode(file, max_rank=1, reduce=2) for file in files))
    metadata = imfnb.Metadata(text={"a": "b"})
    with_text = imfnb.encode(image, profile="baseline", rank=3, coder="fast", metadata=metadata)
    assert imfnb.info(with_text)["coder"] == "fast"


def test_a_target_counts_these_bytes():
    image = np.random.default_rng(1).integers(0, 256, (24, 32), np.uint8)
    file = imfnb.encode(image, profile="baseline", bpp=3.0, coder="fast")
    assert len(file) <= 3 * 24 * 32 / 8
    assert imfnb.info(file)["coder"] == "fast"


def test_a_batch_is_its_images():
    images = np.random.default_rng(2).integers(0, 256, (3, 24, 32, 3), np.uint8)
    files = imfnb.encode_batch(list(images), profile="baseline", rank=2, coder="fast")
    assert files == [imfnb.encode(image, profile="baseline", rank=2, coder="fast") for image in images]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"coder": "fast"}, "belongs to profile='baseline'"), ({"profile": "baseline", "coder": "zip"}, "coder is 'zip'")],
)
def test_options_that_do_not_fit(options, words):
    with pytest.raises(imfnb.OptionError, match=words):
        imfnb.encode(np.zeros((8, 8), np.uint8), **options)


def test_truncated_factors():
    container = open_container(imfnb.encode(RAMP, profile="baseline", coder="fast"))
    whole = container.segment(0)
    short = pack(container.frame, serialize(container.parameters), [bytes(whole.data)[:10]])
    with pytest.raises(imfnb.FormatError, match="end too early"):
        imfnb.decode(short)


@pytest.mark.jit
@pytest.mark.parametrize(
    ("shape", "options"),
    [((400, 300), {}), ((200, 90), {"patch_size": None}), ((400, 300), {"bounds": (-1000, 1000)})],
)
def test_memory_is_what_the_header_announces(shape, options):
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    container = open_container(imfnb.encode(image, profile="baseline", rank=20, coder="fast", iterations=1, **options))
    (spec,) = container.parameters.matrices(container.frame)
    _, _, working = parse(Reader(memoryview(serialize(container.parameters))), container.frame)
    data, rank, bounds = bytes(container.segment(0).data), container.parameters.ranks[0], container.parameters.bounds
    cpu.decode_factors(data, rank, spec.images, bounds)  # what is loaded at first counts for nothing
    tracemalloc.start()
    try:
        factors, _ = cpu.decode_factors(data, rank, spec.images, bounds)
        kept = [factor.astype(container.parameters.dtype, copy=False) for factor in factors]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(kept) == 2
    assert peak < working - image.size + 3 * len(data) + 2**15


def test_command(tmp_path):
    np.save(tmp_path / "a.npy", RAMP)
    command = ["encode", str(tmp_path / "a.npy"), "-o", str(tmp_path / "a.imf"), "--profile", "baseline"]
    assert main([*command, "--coder", "fast"]) == 0
    assert imfnb.info(tmp_path / "a.imf")["coder"] == "fast"
