"""The baseline profile on the device: files and pixels are those of the reference, whatever way they take."""

from __future__ import annotations

import gc
import io
import itertools
import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
from helpers import encode, picture
from PIL import Image

import imfnb
from imfnb import _device_batch as batch
from imfnb.pictures import Picture
from imfnb.profiles import baseline
from imfnb.runtime import gpu as runner
from imfnb.runtime import memory, streams
from imfnb.runtime.cuda import SIMULATED, cuda, tiles

#: Small patches and few sweeps: a thread of the simulator takes a microsecond for every addition.
FAST = {"patch_size": 4, "iterations": 2}

CASES = [
    ((7, 9), 3, {"rank": 3, **FAST}),
    ((6, 5), 0, {"rank": 2, **FAST}),
    ((5, 6), 1, {"quality": 100, **FAST}),
    ((9, 7), 4, {"rank": (2, 1, 2), **FAST}),
    ((9, 7), 4, {"rank": 2, "subsampling": "4:4:4", **FAST}),
    ((8, 5), 3, {"rank": 2, "color_space": "RGB", **FAST}),
    ((6, 7), 3, {"rank": 2, "color_space": "RGB", "patch_size": None, "iterations": 2}),
    ((7, 5), 3, {"rank": 2, "patch_size": None, "iterations": 2}),
    ((9, 6), 3, {"rank": 2, "bounds": (-1000, 1000), **FAST}),
    ((6, 6), 0, {"rank": 2, "bounds": (0, 31), **FAST}),
    ((1, 1), 3, {"rank": 1, **FAST}),
    ((10, 11), 0, {"rank": 2, "iterations": 1}),
]


@pytest.mark.parametrize(("shape", "channels", "options"), CASES)
def test_one_image(shape, channels, options):
    image = picture(*shape, channels)
    data = encode(image, device="reference", **options)
    assert encode(image, device="cuda", **options) == data
    expected = imfnb.decode(data, device="reference")
    np.testing.assert_array_equal(imfnb.decode(data, device="cuda"), expected)
    preview = imfnb.decode(data, device="cuda", max_rank=1)
    np.testing.assert_array_equal(preview, imfnb.decode(data, device="reference", max_rank=1))


@pytest.mark.parametrize(
    ("target", "resident"), [({"bpp": 24.0}, False), ({"size": 130}, True), ({"psnr": 24.0}, True)]
)
def test_targets(target, resident):
    image = picture(8, 7, 3)
    data = encode(image, device="reference", **target, **FAST)
    assert encode(cuda.to_device(image) if resident else image, device="cuda", **target, **FAST) == data


def test_target_that_cannot_be_met():
    with pytest.raises(imfnb.OptionError, match="cannot be met"):
        encode(picture(8, 8), size=10, device="cuda", **FAST)


# ------------------------------------------------------------------------------------------- arrays that lie on the GPU


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_arrays_on_the_device(channels, device):
    image = picture(6, 7, channels)
    data = encode(cuda.to_device(image), rank=2, device=device, **FAST)
    assert data == encode(image, rank=2, device="reference", **FAST)
    out = cuda.to_device(np.zeros_like(image))
    assert imfnb.decode(data, out, device=device) is out
    np.testing.assert_array_equal(out.copy_to_host(), imfnb.decode(data, device="reference"))


def test_batch_of_arrays_on_the_device():
    images = [picture(6, 5, 3, seed) for seed in range(3)]
    mixed = [cuda.to_device(images[0]), images[1], cuda.to_device(images[2])]
    files = [encode(image, rank=1, device="reference", **FAST) for image in images]
    assert imfnb.encode_batch(mixed, profile="baseline", rank=1, device="cuda", **FAST) == files


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_arrays_on_the_device_are_not_copied_silently(device):
    array = cuda.to_device(picture(6, 5))
    data = encode(picture(6, 5), rank=1, **FAST)
    for call in (lambda: encode(array, rank=1, device=device), lambda: imfnb.decode(data, array, device=device)):
        with pytest.raises(imfnb.OptionError, match="array on the GPU; copy it to the host"):
            call()


def test_wrong_arrays_on_the_device():
    data = encode(picture(6, 5), rank=1, **FAST)
    with pytest.raises(imfnb.OptionError, match=r"uint8 \(5, 6, 3\); expected .* shape \(6, 5, 3\)"):
        imfnb.decode(data, cuda.to_device(np.zeros((5, 6, 3), np.uint8)))
    with pytest.raises(imfnb.OptionError, match="dtype float32; expected uint8"):
        encode(cuda.to_device(np.zeros((5, 6), np.float32)), rank=1)
    with pytest.raises(imfnb.OptionError, match="not C-contiguous"):
        encode(cuda.to_device(np.zeros((5, 6), np.uint8, order="F")), rank=1)


@pytest.mark.gpu
@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_other_libraries(library):
    """No copy: the arrays of CuPy and PyTorch are read and written where they lie."""
    module = pytest.importorskip(library)
    image = picture(200, 300, 3)
    here = module.asarray(image) if library == "cupy" else module.from_numpy(image).cuda()
    data = encode(here, rank=5)
    assert data == encode(image, rank=5, device="cpu")
    out = module.empty_like(here)
    imfnb.decode(data, out)
    pixels = out.get() if library == "cupy" else out.cpu().numpy()
    np.testing.assert_array_equal(pixels, imfnb.decode(data, device="cpu"))


# ------------------------------------------------------------------------------------------------------------- batches


def expected_files(images: list[np.ndarray], **options) -> list[bytes]:
    return [encode(image, device="reference", **options) for image in images]


@pytest.mark.slow
def test_batch_of_several_shapes():
    """Order, groups of equal shape, progress up to the end."""
    shapes = [(6, 5, 3), (4, 4, 0), (6, 5, 3), (6, 5, 3), (6, 5, 4), (6, 5, 3), (6, 5, 3)]
    images = [picture(*shape, seed=i) for i, shape in enumerate(shapes)]
    files = expected_files(images, rank=2, **FAST)
    seen: list[tuple[int, int]] = []
    options = {"profile": "baseline", "rank": 2, "device": "cuda", **FAST}

    def progress(*counts: int) -> None:
        seen.append(counts)

    assert imfnb.encode_batch(images, progress=progress, **options) == files
    assert seen[-1] == (7, 7) and [done for done, _ in seen] == sorted({done for done, _ in seen})
    decoded = imfnb.decode_batch(files, device="cuda", progress=progress)
    for mine, data in zip(decoded, files, strict=True):
        np.testing.assert_array_equal(mine, imfnb.decode(data, device="reference"))


def test_chunks(monkeypatch):
    """Many more chunks than streams, results in order."""
    monkeypatch.setattr(batch, "CHUNK_PIXELS", 40)
    images = [picture(5, 4, 0, seed) for seed in range(7)]
    files = expected_files(images, rank=1, **FAST)
    assert imfnb.encode_batch(iter(images), profile="baseline", rank=1, device="cuda", threads=2, **FAST) == files
    for mine, data in zip(imfnb.decode_batch(files, device="cuda"), files, strict=True):
        np.testing.assert_array_equal(mine, imfnb.decode(data, device="reference"))


def test_chunks_of_tiny_images(monkeypatch):
    monkeypatch.setattr(batch, "_CHUNK_IMAGES", 2)
    images = [np.full((1, 1), 50 * seed, np.uint8) for seed in range(5)]
    files = expected_files(images, rank=1, **FAST)
    assert imfnb.encode_batch(images, profile="baseline", rank=1, device="cuda", **FAST) == files


def test_planes_beyond_a_grid():
    with pytest.raises(imfnb.DeviceError, match="2 planes of 300000 rows are more than a launch can take"):
        tiles(8, 300000, 2)


def test_batch_with_a_search():
    images = [picture(8, 9, 0, seed) for seed in range(2)]
    files = expected_files(images, bpp=9.0, **FAST)
    assert imfnb.encode_batch(images, profile="baseline", bpp=9.0, device="cuda", **FAST) == files


def test_metadata_of_files(tmp_path):
    """What files carry gets into those that are encoded together, each into its own."""
    for number, dpi in enumerate((100, 200, None)):
        options = {} if dpi is None else {"dpi": (dpi, dpi)}
        Image.fromarray(picture(5, 6, 0)).save(tmp_path / f"{number}.png", **options)
    paths = sorted(tmp_path.iterdir())
    options = {"profile": "baseline", "rank": 1, **FAST}
    files = imfnb.encode_batch(paths, device="cuda", **options)
    assert files == imfnb.encode_batch(paths, device="cpu", **options)
    found = [imfnb.read_metadata(data).dpi for data in files]
    assert [None if dpi is None else round(dpi[0]) for dpi in found] == [100, 200, None]


@pytest.mark.slow
def test_metadata_of_files_count_for_sizes(tmp_path):
    Image.fromarray(picture(5, 6, 0)).save(tmp_path / "a.png", dpi=(100, 100))
    options = {"profile": "baseline", "size": 300, **FAST}
    files = imfnb.encode_batch([tmp_path / "a.png"], device="cuda", **options)
    assert files == imfnb.encode_batch([tmp_path / "a.png"], device="cpu", **options) and len(files[0]) <= 300


def test_batch_of_nothing():
    assert imfnb.encode_batch([], profile="baseline", device="cuda") == []
    assert imfnb.decode_batch([], device="cuda") == []


def test_batch_of_files(tmp_path):
    image = picture(6, 5)
    Image.fromarray(image).save(tmp_path / "a.png")
    data = encode(image, rank=1, device="reference", **FAST)
    options = {"profile": "baseline", "rank": 1, "device": "cuda", **FAST}
    assert imfnb.encode_batch([tmp_path / "a.png"], **options) == [data]
    (tmp_path / "a.imf").write_bytes(data)
    for mine in imfnb.decode_batch([tmp_path / "a.imf", io.BytesIO(data)], device="cuda"):
        np.testing.assert_array_equal(mine, imfnb.decode(data, device="reference"))


def test_failures_stay_with_their_images():
    good = picture(6, 5)
    options = {"profile": "baseline", "rank": (1, 1, 1), "device": "cuda", **FAST}
    items = [good, good.astype(float), picture(6, 5, 0), good]
    files = imfnb.encode_batch(items, errors="return", **options)
    assert files[0] == files[3] == encode(good, rank=(1, 1, 1), device="reference", **FAST)
    assert "dtype float64" in str(files[1]) and "rank has 3 entries" in str(files[2])
    for bad in items[1:3]:
        with pytest.raises(imfnb.OptionError):
            imfnb.encode_batch([good, bad], **options)
    damaged = files[0][:-1] + bytes([files[0][-1] ^ 1])
    images = imfnb.decode_batch([files[0], damaged, files[3], b"no"], device="cuda", errors="return")
    np.testing.assert_array_equal(images[0], images[2])
    assert isinstance(images[1], imfnb.FormatError) and isinstance(images[3], imfnb.FormatError)
    with pytest.raises(imfnb.FormatError):
        imfnb.decode_batch([files[0], damaged], device="cuda")


def test_errors_name_their_files(tmp_path):
    """Those that show when a file is opened, and those that show on the GPU."""
    image, options = picture(6, 5), {"profile": "baseline", "device": "cuda", **FAST}
    data = encode(image, rank=1, device="reference", **FAST)
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    for name, contents in {"good.imf": data, "damaged.imf": damaged, "cut.imf": data[:-1]}.items():
        (tmp_path / name).write_bytes(contents)
    paths = [tmp_path / name for name in ("good.imf", "damaged.imf", "cut.imf", "none.imf")]
    with paths[1].open("rb") as file:
        items = [*paths, file, damaged, data, damaged]
        found = imfnb.decode_batch(items, device="cuda", errors="return")
    kinds = [np.ndarray, imfnb.FormatError, imfnb.FormatError, FileNotFoundError]
    assert [type(result) for result in found[:4]] == kinds
    assert [result.filename for result in found[1:5]] == [str(paths[i]) for i in (1, 2, 3, 1)]
    assert str(found[5]).startswith("files[5]: damaged") and str(found[7]).startswith("files[7]: damaged")
    with pytest.raises(imfnb.FormatError, match=r"damaged.imf: damaged"):
        imfnb.decode_batch(paths, device="cuda")
    Image.fromarray(image[:, :, 0]).save(tmp_path / "gray.png")
    items = [image, tmp_path / "gray.png", image[:, :, 0], tmp_path / "good.imf", image.astype(float)]
    found = imfnb.encode_batch(items, rank=(1, 1, 1), errors="return", **options)
    assert isinstance(found[0], bytes)
    starts = [f"{tmp_path / 'gray.png'}: rank has", "images[2]: rank has", f"{tmp_path / 'good.imf'}: ", "images[4]: "]
    assert [str(error)[: len(start)] for error, start in zip(found[1:], starts, strict=True)] == starts


# ------------------------------------------------------------------------------------------------------------- streams


def endless(images: list[np.ndarray], taken: list[int]) -> Iterator[np.ndarray]:
    for number in itertools.count():
        taken.append(number)
        yield images[min(number, len(images) - 1)]


@pytest.mark.slow
def test_endless_iterables(monkeypatch):
    """Chunks go as they fill; a lone shape does not wait for others of its kind for ever."""
    monkeypatch.setattr(batch, "CHUNK_PIXELS", 40)
    images = [picture(5, 5, 3), picture(5, 4, 0), picture(4, 5, 0, 1)]
    files = expected_files(images, rank=1, **FAST)
    taken: list[int] = []
    options = {"profile": "baseline", "rank": 1, "device": "cuda", "threads": 2, **FAST}
    coded = imfnb.encode_iter(endless(images, taken), **options)
    assert taken == []
    for number, data in enumerate(itertools.islice(coded, 9)):
        assert data == files[min(number, 2)]
        assert len(taken) <= number + 20  # chunks of two images: two wait, two are at work, three are being coded
    coded.close()
    taken.clear()
    decoded = imfnb.decode_iter(endless(files, taken), device="cuda", threads=2)
    expected = [imfnb.decode(data, device="reference") for data in files]
    for number, image in enumerate(itertools.islice(decoded, 9)):
        np.testing.assert_array_equal(image, expected[min(number, 2)])
        assert len(taken) <= number + 20
    decoded.close()
    assert imfnb.encode_batch(images, **options) == files  # what was left behind is in nobody's way


def test_endless_iterables_of_searches_and_failures():
    """What is not done in chunks is given out image by image."""
    image, taken = picture(8, 9, 0), []
    options = {"profile": "baseline", "bpp": 9.0, "device": "cuda", **FAST}
    coded = imfnb.encode_iter(endless([image], taken), **options)
    assert next(coded) == encode(image, device="reference", bpp=9.0, **FAST) and taken == [0]
    coded.close()
    found = imfnb.decode_iter(itertools.repeat(b"no"), device="cuda", errors="return")
    assert all(isinstance(error, imfnb.FormatError) for error in itertools.islice(found, 5))
    found.close()
    good = encode(image, rank=1, device="reference", **FAST)
    mixed = imfnb.decode_iter(itertools.chain([good], itertools.repeat(b"no", 30)), device="cuda", errors="return")
    assert [type(result).__name__ for result in mixed] == ["ndarray"] + ["FormatError"] * 30


def test_errors_of_the_device_in_a_stream(monkeypatch):
    class CudaAPIError(Exception):
        pass

    def fail(*_):
        raise CudaAPIError("[700] CUDA_ERROR_ILLEGAL_ADDRESS")
        yield

    monkeypatch.setattr(baseline, "encode_stack", fail)
    coded = imfnb.encode_iter([picture(5, 4)], profile="baseline", rank=1, device="cuda", **FAST)
    with pytest.raises(imfnb.DeviceError, match=r"the GPU failed: .*ILLEGAL_ADDRESS"):
        next(coded)


def test_what_is_not_kept_is_told(monkeypatch):
    """On behalf of the caller; where filters make an error of it, it is that of its item."""
    monkeypatch.setattr(imfnb.batch, "read_picture", lambda source: Picture(picture(5, 4), ("EXIF",)))
    options = {"profile": "baseline", "rank": 1, "device": "cuda", **FAST}
    (data,) = expected_files([picture(5, 4)], rank=1, **FAST)
    with pytest.warns(imfnb.MetadataWarning, match="EXIF is not kept") as caught:
        assert list(imfnb.encode_iter(["a.png"], **options)) == [data]
    assert caught[0].filename == __file__
    error, last = imfnb.encode_batch(["a.png", picture(5, 4)], errors="return", **options)
    assert isinstance(error, imfnb.MetadataWarning) and last == data


# ----------------------------------------------------------------------------------------- memory that does not suffice


class OutOfMemoryError(Exception):
    """What CUDA says: error 2."""

    code = 2


@pytest.fixture
def small_memory(monkeypatch):
    """Devices with room for batches of at most so many images."""

    def limit(images: int) -> list[int]:
        asked: list[int] = []
        original = memory.Slot.array

        def array(self, name, shape, dtype):
            asked.append(shape[0])
            if shape[0] > images:
                raise OutOfMemoryError("CUDA_ERROR_OUT_OF_MEMORY")
            return original(self, name, shape, dtype)

        monkeypatch.setattr(memory.Slot, "array", array)
        return asked

    return limit


@pytest.mark.slow
def test_a_full_memory_splits_the_batch(small_memory):
    images = [picture(4, 4, 0, seed) for seed in range(10)]
    files = expected_files(images, rank=1, **FAST)
    asked = small_memory(2)
    assert imfnb.encode_batch(images, profile="baseline", rank=1, device="cuda", **FAST) == files
    assert max(asked) == 5 and 2 in asked
    for mine, data in zip(imfnb.decode_batch(files, device="cuda"), files, strict=True):
        np.testing.assert_array_equal(mine, imfnb.decode(data, device="reference"))


@pytest.mark.slow
def test_a_full_memory_splits_a_stack(small_memory):
    x = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
    expected = imfnb.factorize(x, 2, iterations=2, device="reference")
    small_memory(2)
    for mine, naive in zip(imfnb.factorize(x, 2, iterations=2, device="cuda"), expected, strict=True):
        np.testing.assert_array_equal(mine, naive)


def test_a_memory_too_small_for_one_image(small_memory):
    image = picture(5, 4)
    data = encode(image, rank=1, device="reference", **FAST)
    small_memory(0)
    for call in (
        lambda: encode(image, rank=1, device="cuda", **FAST),
        lambda: imfnb.decode(data, device="cuda"),
        lambda: imfnb.encode_batch([image] * 3, profile="baseline", rank=1, device="cuda", **FAST),
        lambda: imfnb.factorize(image[:, :, 0], 1, device="cuda"),
    ):
        with pytest.raises(imfnb.DeviceError, match=r"memory is too small even for one image.*device='cpu'"):
            call()


def test_single_items_wait_for_the_memory(monkeypatch):
    """Two items that fit the memory one at a time only."""
    running: list[object] = []

    def task(chunk, slot):
        running.append(chunk)
        if len(running) > 1:
            running.remove(chunk)
            raise OutOfMemoryError
        yield None
        running.remove(chunk)
        return [10 * item for item in chunk]

    results: dict[int, int] = {}
    streams.run([[1], [2], [3, 4]], task, lambda chunk, found: results.update(zip(chunk, found, strict=True)), 1)
    assert results == {1: 10, 2: 20, 3: 30, 4: 40}


# ------------------------------------------------------------------------------------------------------ the rest of it


def test_auto_takes_the_device_above_the_crossover(monkeypatch):
    """With a crossover, the same call takes the one or the other; both give the same bytes."""
    from imfnb.runtime import devices

    image = picture(6, 5)
    data = encode(image, rank=1, device="reference", **FAST)
    used: list[str] = []
    original = runner.device_run
    monkeypatch.setattr(runner, "device_run", lambda *arguments: used.append("cuda") or original(*arguments))
    monkeypatch.setattr(devices, "_compiled", lambda: True)
    for pixels, expected in ((31, []), (30, ["cuda"])):
        monkeypatch.setitem(devices.CROSSOVER, "encode baseline", pixels)
        assert encode(image, rank=1, **FAST) == data
        assert used == expected
    monkeypatch.delitem(devices.CROSSOVER, "encode baseline")
    batches = batch.encode_items
    monkeypatch.setattr(batch, "encode_items", lambda *arguments: used.append("batch") or batches(*arguments))
    for pixels, expected in ((61, ["cuda"]), (60, ["cuda", "batch"])):
        monkeypatch.setitem(devices.CROSSOVER, "encode baseline batch", pixels)
        assert imfnb.encode_batch([image, image], profile="baseline", rank=1, **FAST) == [data, data]
        assert used == expected


def test_a_batch_for_another_objective():
    """The chunks of a batch know one objective; the others go image by image, and give the files of the CPU."""
    images = [picture(9, 8, 0), picture(8, 9, 0)]
    options = {"profile": "baseline", "size": 120, "objective": "svd", **FAST}
    expected = [imfnb.encode(image, device="cpu", **options) for image in images]
    assert imfnb.encode_batch(images, device="cuda", **options) == expected


def test_memory_is_kept_for_the_next_call_and_released():
    encode(picture(6, 5), rank=1, device="cuda", **FAST)
    assert any(slot._device for slot in memory._idle)
    memory.release()
    gc.collect()
    assert not memory._idle


def test_memory_of_a_name_serves_every_shape_that_fits():
    slot = memory.Slot()
    large = slot.pinned("a", (4, 6), np.int32)
    large[:] = np.arange(24).reshape(4, 6)
    slot.synchronize()
    small = slot.pinned("a", (3, 2), np.int16)
    np.testing.assert_array_equal(small, large.view(np.int16).reshape(-1)[:6].reshape(3, 2))
    slot.synchronize()
    assert slot.pinned("a", (4, 6), np.int32) is large
    for size in range(1, 2 * memory._VIEWS):  # shapes that nobody asks for any more are forgotten
        slot.array("b", (size,), np.uint8)
        assert len(slot._device["b"][1]) <= memory._VIEWS
    assert slot.array("b", (5, 3), np.float32).shape == (5, 3)
    np.testing.assert_array_equal(slot.zeros("b", (5, 3), np.float32).copy_to_host(), np.zeros((5, 3)))


def test_an_error_waits_for_the_other_copies(monkeypatch):
    """An array for each of four threads; one cannot be written, the others take a while."""
    sources = [np.ones(memory._COPY_BYTES, np.uint8) for _ in range(4)]
    targets = [np.zeros_like(source) for source in sources]
    targets[1].flags.writeable = False
    copy = np.copyto

    def slow(target, source):
        if target.flags.writeable:
            time.sleep(0.2)
        copy(target, source)

    monkeypatch.setattr(np, "copyto", slow)
    with pytest.raises(ValueError, match="read-only"):
        memory.copy_now(targets, sources, 4)
    assert [bool(target.all()) for target in targets] == [True, False, True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="takes a fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_child_has_threads_of_its_own():
    sources = [np.ones(2**21) for _ in range(4)]
    memory.copy_now([np.zeros(2**21) for _ in sources], sources, 4)
    child = os.fork()
    if child == 0:  # no way out of here but this one
        targets = [np.zeros(2**21) for _ in sources]
        memory.copy_now(targets, sources, 4)
        os._exit(0 if all(target.all() for target in targets) else 1)
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done and os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_copies_by_threads(threads):
    """Few large arrays, many small ones, rows that lie apart, large arrays in a single row, arrays of no dimension."""
    sources = [np.arange(3 * 2**20).reshape(3, -1), np.arange(5.0), np.arange(2**21).reshape(-1, 2)[:, :1], np.array(7)]
    sources += [np.full(3, k) for k in range(200)] + [np.arange(2**22).reshape(1, 1, -1), np.arange(2**21)[None, ::-1]]
    targets = [np.zeros(source.shape, source.dtype) for source in sources]
    memory.copy_now(targets, sources, threads)
    for target, source in zip(targets, sources, strict=True):
        np.testing.assert_array_equal(target, source)


def test_staging_is_not_overwritten_while_a_copy_needs_it(monkeypatch):
    """The second upload under a name waits; other names, and the first after a synchronization, do not."""
    slot = memory.Slot()
    waits: list[int] = []
    monkeypatch.setattr(slot, "synchronize", lambda: waits.append(1) or memory.Slot.synchronize(slot))
    found = []
    for name, expected in (("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2)):
        found.append(slot.upload(name, [np.full(3, len(found))]))
        assert len(waits) == expected
    slot.synchronize()
    slot.upload("b", [np.zeros(3)])
    assert len(waits) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(6))
def test_random_pictures(seed):
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, 1500)), int(rng.integers(1, 1500))
    images = [picture(*shape, (0, 1, 3, 4)[seed % 4], i) for i in range(5)]
    options = {"rank": int(rng.integers(1, 25)), "patch_size": (4, 8, 16, 32, None, 8)[seed]}
    files = [encode(image, device="cpu", **options) for image in images]
    assert imfnb.encode_batch(images, profile="baseline", device="cuda", **options) == files
    for mine, data in zip(imfnb.decode_batch(files, device="cuda"), files, strict=True):
        np.testing.assert_array_equal(mine, imfnb.decode(data, device="cpu"))
    assert not SIMULATED
