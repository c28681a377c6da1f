"""Batches: order, streams, executors, failures, progress, interruption, and finished files that are kept."""

from __future__ import annotations

import io
import itertools
import mmap
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import picture
from PIL import Image, ImageSequence
from spectral_helpers import bands_of

import imfnb
from imfnb import batch
from imfnb.batch import run_batch
from imfnb.cli import main
from imfnb.pictures import Picture

IMAGES = [picture(20 + i, 24, 3) for i in range(5)]
OPTIONS = {"profile": "baseline", "rank": 2}


@cache
def alone() -> list[bytes]:
    return [imfnb.encode(image, **OPTIONS) for image in IMAGES]


@pytest.mark.parametrize("threads", [None, 1, 3, 9])
def test_results_are_in_order(threads):
    files = imfnb.encode_batch(IMAGES, threads=threads, **OPTIONS)
    assert files == alone()
    for image, file in zip(imfnb.decode_batch(files, threads=threads), files, strict=True):
        np.testing.assert_array_equal(image, imfnb.decode(file))


@pytest.mark.jit
def test_arrays_and_stacks():
    """Whatever `encode` takes, beside pictures; options such as a value without data hold for all."""
    floats = bands_of((9, 7, 5)).astype(np.float32)
    floats[2, 3] = -1
    items, options = [picture(9, 7, 3), floats, bands_of((8, 8, 1))], {"nodata": -1, "quality": 60}
    found = imfnb.encode_batch(items[1:2], **options) + list(imfnb.encode_iter(items[::2], quality=60))
    expected = [imfnb.encode(items[1], **options), *(imfnb.encode(item, quality=60) for item in items[::2])]
    assert found == expected
    results = imfnb.decode_batch(found)
    for result, item in zip(results, [items[1], *items[::2]], strict=True):
        assert result.shape == item.shape and result.dtype == item.dtype
    assert (results[0][2, 3] == -1).all() and (results[0] == -1).sum() == 5
    stacks = [np.stack([image[:9, :7]] * count) for count, image in enumerate(IMAGES[:2], 1)]
    files = imfnb.encode_batch(stacks, axes="THWC", quality=60)
    assert files == [imfnb.encode(stack, axes="THWC", quality=60) for stack in stacks]
    assert [image.shape for image in imfnb.decode_iter(files)] == [(1, 9, 7, 3), (2, 9, 7, 3)]


def test_no_images():
    assert imfnb.encode_batch([]) == []
    assert imfnb.decode_batch(iter([])) == []


def test_executor_of_threads():
    with ThreadPoolExecutor(2) as pool:
        assert imfnb.encode_batch(iter(IMAGES), pool, **OPTIONS) == alone()


@pytest.mark.jit
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.thorough
def test_executor_of_processes_after_use(method):
    expected = alone()
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert imfnb.encode_batch(IMAGES, pool, **OPTIONS) == expected
        decoded = imfnb.decode_batch(expected, pool)
    np.testing.assert_array_equal(decoded[3], imfnb.decode(expected[3]))


def test_any_object_with_submit_serves():
    class Immediate:
        def submit(self, function, *args):
            future: Future = Future()
            future.set_result(function(*args))
            return future

    assert imfnb.encode_batch(IMAGES, Immediate(), **OPTIONS) == alone()


def test_paths_and_files(tmp_path):
    names = []
    for i, image in enumerate(IMAGES):
        names.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(names[-1])
    assert imfnb.encode_batch([str(names[0]), *names[1:]], **OPTIONS) == alone()
    target = tmp_path / "a.imf"
    target.write_bytes(alone()[0])
    with target.open("rb") as file:
        first, second = imfnb.decode_batch([target, file])
    np.testing.assert_array_equal(first, second)


def test_a_failure_is_raised_or_returned():
    images = [IMAGES[0], np.zeros((3, 3)), IMAGES[2]]
    with pytest.raises(imfnb.OptionError, match="float64"):
        imfnb.encode_batch(images, **OPTIONS)
    first, error, third = imfnb.encode_batch(images, errors="return", **OPTIONS)
    assert [first, third] == [alone()[0], alone()[2]]
    assert isinstance(error, imfnb.OptionError)
    with pytest.raises(imfnb.OptionError, match="'raise' or 'return'"):
        imfnb.encode_batch(images, errors="ignore")


def test_progress_counts_every_image():
    seen = []
    imfnb.encode_batch(IMAGES, threads=2, progress=lambda done, count: seen.append((done, count)), **OPTIONS)
    assert seen == [(i + 1, 5) for i in range(5)]


def test_a_failure_cancels_what_has_not_begun():
    started = []
    gate = threading.Event()

    def work(item: int) -> None:
        started.append(item)
        if item == 0:
            raise KeyError(item)
        gate.wait(10)

    def release(*_: object) -> None:
        gate.set()

    timer = threading.Timer(0.5, release)
    timer.start()
    with pytest.raises(KeyError):
        run_batch(work, range(100), threads=1)
    timer.cancel()
    gate.set()
    assert len(started) < 10


# ------------------------------------------------------------------------------------------------------------- streams

ITERATORS = [partial(imfnb.encode_iter, **OPTIONS), imfnb.decode_iter]


class Held:
    """An executor that does its work when it is told to, so that nothing depends on the speed of the machine."""

    def __init__(self, at_once: Iterable[int] = ()) -> None:
        self.futures: list[Future] = []
        self.work: list = []
        self.at_once = set(at_once)

    def submit(self, function, *args):
        self.futures.append(Future())
        self.work.append(partial(function, *args))
        if len(self.futures) - 1 in self.at_once:
            self.do(len(self.futures) - 1)
        return self.futures[-1]

    def do(self, index: int) -> None:
        try:
            self.futures[index].set_result(self.work[index]())
        except Exception as error:
            self.futures[index].set_exception(error)


@pytest.fixture
def when_waiting(monkeypatch):
    """Have something happen when a batch can do no more than wait."""

    def arrange(act) -> None:
        real = batch.wait

        def acting(*args, **kwargs):
            act()
            return real(*args, **kwargs)

        monkeypatch.setattr(batch, "wait", acting)

    return arrange


def counted(taken: list) -> Iterator[np.ndarray]:
    """Pictures without an end."""
    for number in itertools.count():
        taken.append(number)
        yield IMAGES[number % len(IMAGES)]


def workers_end() -> bool:
    """Wait for the threads of pools that have been left behind: they end with the item at hand."""
    left = [thread for thread in threading.enumerate() if thread.name.startswith("imfnb")]
    for thread in left:
        thread.join(60)
    return not any(thread.is_alive() for thread in left)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_endless_iterables(threads):
    """A bounded number is taken ahead, results come in order, and whoever leaves the loop leaves no threads."""
    taken: list[int] = []
    files = imfnb.encode_iter(counted(taken), threads=threads, **OPTIONS)
    assert taken == []
    found = []
    for data in files:
        found.append(data)
        assert len(taken) <= len(found) + 2 * threads
        if len(found) == 12:
            break
    files.close()
    assert found == [alone()[number % 5] for number in range(12)]
    assert workers_end()
    assert list(files) == [] and len(taken) <= 12 + 2 * threads


@pytest.mark.parametrize("decoded", [imfnb.decode_iter, imfnb.decode_batch])
def test_streams_in_a_row(decoded):
    """Iterators feed each other, and lists are made of iterators too."""
    images = list(decoded(imfnb.encode_iter(iter(IMAGES), **OPTIONS)))
    for image, data in zip(images, alone(), strict=True):
        np.testing.assert_array_equal(image, imfnb.decode(data))
    assert workers_end()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_takes_what_it_needs(threads):
    """A generator is not read to its end before the first picture is done."""
    taken: list[int] = []
    first: list[int] = []
    images = itertools.islice(counted(taken), 8)
    seen = []

    def progress(done: int, count: int) -> None:
        seen.append((done, count))
        first.append(len(taken))

    files = imfnb.encode_batch(images, threads=threads, progress=progress, **OPTIONS)
    assert files == [alone()[number % 5] for number in range(8)]
    assert first[0] <= 2 * threads
    assert [done for done, _ in seen] == list(range(1, 9)) and seen[-1] == (8, 8)
    assert all(done <= count <= done + 2 * threads for done, count in seen)


@pytest.mark.parametrize("function", ITERATORS)
def test_nothing_is_taken_before_it_is_asked_for(function):
    def never():
        raise AssertionError
        yield

    class Untouched:
        def __iter__(self):
            raise AssertionError

    for items in (never(), Untouched()):
        function(items).close()
    before = threading.active_count()
    function(never())
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (imfnb.encode_iter, {"quality": 101}, "quality is 101"),
        (imfnb.encode_iter, {"profile": "best"}, "profile is 'best'"),
        (imfnb.encode_iter, {"step": 3, "bpp": 1}, "step|bpp"),
        (imfnb.encode_iter, {"device": "tpu"}, "device is 'tpu'"),
        (imfnb.encode_iter, {"threads": 0}, "threads is 0"),
        (imfnb.encode_iter, {"errors": "ignore"}, "errors is 'ignore'"),
        (imfnb.encode_iter, {"executor": 4}, r"executor is 4; expected an object with the submit\(\)"),
        (imfnb.decode_iter, {"max_rank": 0}, "max_rank is 0"),
        (imfnb.decode_iter, {"reduce": 3}, "reduce is 3; expected 1, 2, 4 or 8"),
        (imfnb.decode_iter, {"max_pixels": 0.5}, "max_pixels is 0.5"),
        (imfnb.decode_iter, {"device": "tpu"}, "device is 'tpu'"),
        (imfnb.decode_iter, {"threads": True}, "threads is True"),
        (imfnb.decode_iter, {"errors": None}, "errors is None"),
        (imfnb.decode_iter, {"executor": "x"}, "executor is a str"),
    ],
)
def test_wrong_options_are_refused_at_the_call(function, options, message):
    """And not with the first item, or never where there is none."""
    lists = {imfnb.encode_iter: imfnb.encode_batch, imfnb.decode_iter: imfnb.decode_batch}
    for call in (function, lists[function]):
        with pytest.raises(imfnb.OptionError, match=message):
            call(iter([]), **options)


@pytest.mark.parametrize("function", [*ITERATORS, imfnb.encode_batch, imfnb.decode_batch])
def test_unknown_options_are_type_errors(function):
    with pytest.raises(TypeError, match="qualty"):
        function([], qualty=3)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("threads", [1, 3])
def test_one_array_for_a_batch(device, threads):
    """Files go into its items, in order, as they come and from whatever has them; nothing else changes."""
    images = [picture(20, 24, 3, seed=i) for i in range(5)]
    files = [imfnb.encode(image, **OPTIONS) for image in images]
    expected = np.stack([imfnb.decode(data) for data in files])
    room = np.zeros((7, 20, 24, 3), np.uint8)
    for given in (files, iter(files), [io.BytesIO(data) for data in files]):
        room[...] = 7
        out = room[1:6]
        assert imfnb.decode_batch(given, out=out, threads=threads, device=device) is out
        np.testing.assert_array_equal(out, expected)
        assert (room[0] == 7).all() and (room[6] == 7).all()
    backwards = np.empty_like(expected)[::-1, :, ::-1]
    np.testing.assert_array_equal(imfnb.decode_batch(files, out=backwards, device=device), expected)
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(imfnb.decode_batch(files, pool, out=room[:5]), expected)
    small = np.empty((5, 10, 12, 3), np.uint8)
    found = imfnb.decode_batch(files, out=small, reduce=2, device=device)
    np.testing.assert_array_equal(found, np.stack([imfnb.decode(data, reduce=2) for data in files]))


def test_arrays_for_images_of_many_shapes():
    files = alone()
    outs = [np.empty_like(image) for image in IMAGES]
    assert imfnb.decode_batch(files, out=outs) is outs
    for image, data in zip(outs, files, strict=True):
        np.testing.assert_array_equal(image, imfnb.decode(data))
    assert imfnb.decode_batch([], out=np.empty((0, 4, 4), np.uint8)).shape == (0, 4, 4)


@pytest.mark.jit
def test_one_array_for_samples_of_other_types():
    cubes = [bands_of((8, 9, 4)).astype(np.float32) + i for i in range(3)]
    files = imfnb.encode_batch(cubes, quality=60)
    out = np.empty((3, 8, 9, 4), np.float32)
    imfnb.decode_batch(files, out=out, threads=2)
    np.testing.assert_array_equal(out, np.stack(imfnb.decode_batch(files)))


def test_arrays_that_do_not_fit():
    """Errors name the item; what can be told at once is, and nothing is written then."""
    files, shape = alone()[:1] * 3, IMAGES[0].shape
    out = np.zeros((3, *shape), np.uint8)
    unknown = SimpleNamespace(__cuda_array_interface__={})
    for wrong, executor, message in [
        (out[:2], None, "out has 2 items and files 3; expected as many of both"),
        (np.uint8(3), None, r"out is .*; expected an array of shape \(N, H, W\)"),
        (bytearray(9), None, "out is the contents of a file.*list of N arrays"),
        (unknown, None, "on the GPU; expected an array of the host"),
        (out, Held(), "executor is .*Held.*expected a ThreadPoolExecutor or None"),
    ]:
        with pytest.raises(imfnb.OptionError, match=message):
            imfnb.decode_batch(files, executor, out=wrong)
    assert not out.any()
    for wrong, message in [
        (np.zeros((3, *shape), np.int16), r"^files\[0\]: out is int16 .*expected an array of uint8 with shape"),
        ([out[0], out[1, 1:], out[2]], r"^files\[1\]: out is uint8 .*expected an array of uint8 with shape"),
        ([*out[:2], None], r"^out\[2\] is None; expected an array"),
        (out[0, 0, :3, 0], r"^out\[0\] is .*; expected an array"),
        (np.broadcast_to(out[:1], out.shape), r"^files\[0\]: out is read-only"),
    ]:
        with pytest.raises(imfnb.OptionError, match=message):
            imfnb.decode_batch(files, out=wrong, threads=1)
    with pytest.raises(imfnb.OptionError, match=r"^files\[2\]|more items than out, 2"):
        imfnb.decode_batch(iter(files), out=out[:2])
    with pytest.raises(imfnb.OptionError, match="out has 3 items and files 2"):
        imfnb.decode_batch(iter(files[:2]), out=out)
    with pytest.raises(TypeError, match="out"):
        imfnb.decode_iter(files, out=out)


def test_failures_beside_one_array():
    files, out = [alone()[0], b"no file", alone()[0]], np.zeros((3, *IMAGES[0].shape), np.uint8)
    first, error, third = imfnb.decode_batch(files, out=out, errors="return")
    assert isinstance(error, imfnb.FormatError) and str(error).startswith("files[1]")
    assert np.shares_memory(first, out) and not out[1].any()
    np.testing.assert_array_equal(third, imfnb.decode(files[2]))
    np.testing.assert_array_equal(out[2], third)


def test_nothing_is_written_to_an_array_after_its_call(monkeypatch):
    """A failure waits for the pictures that other threads are at."""
    begun, ended = threading.Event(), threading.Event()

    def work(item, place, out, **options):
        if place == "files[0]":
            assert begun.wait(60)
            raise KeyError(place)
        begun.set()
        time.sleep(0.1)
        ended.set()

    monkeypatch.setattr(batch, "_decode_item", work)
    with pytest.raises(KeyError):
        imfnb.decode_batch(alone()[:2], out=[np.empty(0), np.empty(0)], threads=2)
    assert ended.is_set()


def test_iterables_are_consumed_in_the_thread_of_the_caller():
    """Cursors of databases and generators are not made for several threads."""
    threads = set()

    def images():
        for image in IMAGES * 3:
            threads.add(threading.get_ident())
            yield image

    assert len(list(imfnb.encode_iter(images(), threads=3, **OPTIONS))) == 15
    assert threads == {threading.get_ident()}


def test_results_come_as_soon_as_they_are_there(when_waiting):
    """The first is given out while those behind it are on their way, of which there are twice as many as workers."""
    pool, taken = Held(at_once=[0, 1, 2]), []
    files = imfnb.encode_iter(counted(taken), pool, threads=3, **OPTIONS)
    assert [next(files) for _ in range(3)] == alone()[:3]
    assert len(taken) <= 4
    pool.at_once = {5, 7}
    when_waiting(partial(pool.do, 3))
    assert next(files) == alone()[3]
    assert len(taken) == 3 + 6  # what is done behind it is not given out, and has to be kept
    files.close()


def test_closing_cancels_what_has_not_begun(when_waiting):
    pool = Held(at_once=[0, 4])
    files = imfnb.encode_iter(counted([]), pool, threads=3, **OPTIONS)
    assert next(files) == alone()[0]
    when_waiting(partial(pool.do, 1))
    assert next(files) == alone()[1]
    files.close()
    assert [future.cancelled() for future in pool.futures] == [False, False, True, True, False, True, True]


@pytest.mark.parametrize("reason", ["close", "consumer", "iterable", "forgotten"])
def test_leaving_early(reason):
    """However a stream ends, what waits is cancelled, nothing is waited for, and no thread stays."""
    gate, begun = threading.Event(), threading.Semaphore(0)

    class Stuck:
        """A picture that is not there before the gate opens."""

        shape, dtype = (4, 4), np.dtype(np.uint8)

        def __array__(self, dtype=None, copy=None):
            begun.release()
            assert gate.wait(60)
            return np.zeros((4, 4), np.uint8)

    def images():
        yield IMAGES[0]
        for _ in range(2):
            yield Stuck()
        if reason == "iterable":
            begun.acquire()  # somebody is at work
            raise KeyError("the iterable's own")
        yield from itertools.repeat(Stuck())

    files = imfnb.encode_iter(images(), threads=2, **OPTIONS)
    try:
        if reason == "iterable":
            with pytest.raises(KeyError, match="the iterable's own"):
                list(files)
        elif reason == "consumer":
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what is left
                for _ in files:
                    raise ZeroDivisionError
        else:
            assert next(files) == alone()[0]
        if reason == "forgotten":
            del files
        else:
            files.close()
        assert not gate.is_set()
    finally:
        gate.set()
    assert workers_end()


@pytest.mark.parametrize("function", [imfnb.encode_batch, imfnb.encode_iter])
def test_the_first_failure_in_order_is_raised(function):
    """Whichever comes first in time."""
    items = [IMAGES[0], np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int64), IMAGES[1]]

    class Backwards(Held):
        def submit(self, function, *args):
            future = super().submit(function, *args)
            if len(self.futures) == len(items):
                for index in reversed(range(len(items))):
                    self.do(index)
            return future

    for kind in (list, iter):
        with pytest.raises(imfnb.OptionError, match=r"^images\[1\]: .*float32"):
            list(function(kind(items), Backwards(), threads=2, **OPTIONS))
        found = list(function(kind(items), Backwards(), threads=2, errors="return", **OPTIONS))
        assert [type(result).__name__ for result in found] == ["bytes", "OptionError", "OptionError", "bytes"]


def test_a_slow_item_of_a_list_does_not_hold_up_the_others(when_waiting):
    """Results of a list are kept anyway: an executor gets all of it, and a pool goes on behind a slow item."""
    gate, done = threading.Event(), []

    def work(item: int) -> int:
        if item:
            done.append(item)
            if len(done) == 19:
                gate.set()
        else:
            assert gate.wait(60)
        return item

    assert run_batch(work, range(20), threads=2) == list(range(20))
    pool, left = Held(), list(range(20))
    when_waiting(lambda: pool.do(left.pop()))
    assert run_batch(str, list(range(20)), pool, threads=1) == list(map(str, range(20)))


def test_executors_that_are_something_else():
    class Client:
        def submit(self, function, *args):
            return function(*args)

    with pytest.raises(imfnb.OptionError, match=r"submit\(\) returned .*; expected a Future of concurrent\.futures"):
        imfnb.encode_batch(IMAGES, Client(), **OPTIONS)


# --------------------------------------------------------------------------------------------------- what is not a list


@pytest.mark.parametrize(
    ("items", "found", "remedy"),
    [
        ("a.png", "a str (the path 'a.png')", "give [{}] if it is one"),
        (pathlib.Path("b.imf"), "the path 'b.imf'", "give [{}] if it is one"),
        (pathlib.Path(), "the folder '.'", "sorted(pathlib.Path(folder).iterdir())"),
        (b"\x89PNG\r\n\x1a\n", "the contents of a PNG file (8 bytes)", "if it is one"),
        (b"\x89IMF\x01", "the contents of an .imf file (5 bytes)", "if it is one"),
        (bytearray(3), "the contents of a file (3 bytes)", "if it is one"),
        (memoryview(b"\xff\xd8\xff"), "the contents of a JPEG file (3 bytes)", "if it is one"),
        (io.BytesIO(b""), "an open file", "give [{}] if it is one"),
        (IMAGES[0], "an array of uint8 with shape (20, 24, 3)", "give [{}] if it is one"),
        (IMAGES[0][:, :, 0], "an array of uint8 with shape (20, 24)", "give [{}] if it is one"),
        (memoryview(IMAGES[0]), "an array of B with shape (20, 24, 3)", "give [{}] if it is one"),
        (np.zeros(9, np.uint8), "an array of uint8 with shape (9,)", "give [{}] if it is one"),
        (np.float64(3), "an array of float64 with shape ()", "give [{}] if it is one"),
        ({"a": 1}, "a dict", "give list({}.values()) or list({})"),
        (None, "None", ""),
        (7, "7", ""),
        (Image.new("L", (2, 2)), "an object of type PIL.Image.Image", ""),
        (list, "a type", ""),
        (lambda: IMAGES, "a function", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_a_list(items, found, remedy):
    """Named in one sentence, at the call."""
    for name, functions in {
        "images": (imfnb.encode_batch, imfnb.encode_iter),
        "files": (imfnb.decode_batch, imfnb.decode_iter),
    }.items():
        for function in functions:
            with pytest.raises(imfnb.OptionError) as caught:
                function(items)
            text = str(caught.value)
            assert text.startswith(f"{name} is {found}; expected an iterable of ") and "\n" not in text
            assert remedy.format(name, name) in text


def test_the_contents_of_one_picture_are_wrapped():
    with pytest.raises(imfnb.OptionError, match=r"give \[io\.BytesIO\(images\)\]"):
        imfnb.encode_batch(b"\xff\xd8\xff")
    with pytest.raises(imfnb.OptionError, match=r"give \[files\]"):
        imfnb.decode_batch(b"\x89IMF")


def test_stacks_and_arrays_of_objects_are_lists(tmp_path):
    stack = np.stack([IMAGES[0], IMAGES[0][::-1]])
    files = imfnb.encode_batch(stack, **OPTIONS)
    assert files == [imfnb.encode(image, **OPTIONS) for image in stack]
    with pytest.raises(imfnb.OptionError, match=r"files is an array of uint8 with shape \(2, 20, 24, 3\)"):
        imfnb.decode_batch(stack)
    (tmp_path / "a.imf").write_bytes(files[0])
    for paths in (np.array([str(tmp_path / "a.imf")]), np.array([tmp_path / "a.imf"], object), {tmp_path / "a.imf"}):
        np.testing.assert_array_equal(imfnb.decode_batch(paths)[0], imfnb.decode(files[0]))


# ------------------------------------------------------------------------------------------------ items and their names


def failures(tmp_path: pathlib.Path) -> list[tuple[object, str]]:
    """Items of `decode_batch` that fail, and how the text of the error begins."""
    cut = tmp_path / "cut.imf"
    cut.write_bytes(alone()[0][:-1])
    return [
        (cut, f"{cut}: truncated"),
        (str(cut), f"{cut}: truncated"),
        (cut.open("rb"), f"{cut}: truncated"),
        (alone()[0][:-1], "files[3]: truncated"),
        (bytearray(alone()[0][:-1]), "files[4]: truncated"),
        (io.BytesIO(b"GIF89a" * 9), "files[5]: not an .imf file"),
        (IMAGES[0], "files[6]: data is an array of uint8"),
        (None, "files[7]: data is None"),
        (cut.open(encoding="latin-1"), f"{cut}: its read() returned a str; expected bytes"),
        (io.StringIO("text"), "files[9]: its read() returned a str; expected bytes"),
        (tmp_path / "none.imf", f"[Errno 2] No such file or directory: '{tmp_path / 'none.imf'}'"),
        (tmp_path, f"[Errno 21] Is a directory: '{tmp_path}'"),
    ]


@pytest.mark.skipif(os.name != "posix", reason="texts of errors as on POSIX")
def test_errors_name_their_files(tmp_path):
    expected = failures(tmp_path)
    try:
        items = [item for item, _ in expected]
        for (item, text), error in zip(expected, imfnb.decode_batch(items, errors="return"), strict=True):
            assert str(error).startswith(text), item
        for item in expected[0][0], expected[1][0]:
            with pytest.raises(imfnb.FormatError) as caught:
                list(imfnb.decode_iter(iter([alone()[0], item]), threads=1))
            assert caught.value.filename == str(item)
    finally:
        for item in items:
            if hasattr(item, "close"):
                item.close()


def test_errors_of_pictures_name_their_files(tmp_path):
    text, picture = tmp_path / "text.png", io.BytesIO()
    text.write_bytes(b"no picture")
    Image.fromarray(IMAGES[0]).save(picture, "PNG")
    items = [text, os.fsencode(text), text.open("rb"), io.BytesIO(b"no picture"), np.zeros(3), picture.getvalue()]
    with items[2]:
        found = imfnb.encode_batch(items, errors="return", **OPTIONS)
    assert all(str(error).startswith(f"{text}: ") and error.filename == str(text) for error in found[:3])
    assert [str(error).split(":")[0] for error in found[3:]] == ["images[3]", "images[4]", "images[5]"]
    assert "contents of a PNG file" in str(found[5]) and "io.BytesIO" in str(found[5])
    with pytest.raises(imfnb.OptionError, match=r"^images\[1\]: .*float64"):
        imfnb.encode_batch([IMAGES[0], np.zeros((3, 3))], **OPTIONS)


@pytest.mark.jit
def test_names_reach_other_processes(tmp_path):
    """Errors keep their file on their way back, and views of memory can be sent there."""
    data = alone()[0]
    (tmp_path / "cut.imf").write_bytes(data[:-1])
    (tmp_path / "text.png").write_bytes(b"no picture")
    with (tmp_path / "cut.imf").open("rb") as file, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        items = [tmp_path / "cut.imf", file, memoryview(data), bytearray(data), io.BytesIO(data)]
        first, second, *rest = imfnb.decode_batch(items, pool, errors="return")
        (third,) = imfnb.encode_batch([tmp_path / "text.png"], pool, errors="return")
    for error in (first, second):
        assert isinstance(error, imfnb.FormatError) and error.filename == str(tmp_path / "cut.imf")
    assert isinstance(third, imfnb.OptionError) and third.filename == str(tmp_path / "text.png")
    for image in rest:
        np.testing.assert_array_equal(image, imfnb.decode(data))


def test_errors_keep_their_file_when_pickled():
    for kind in (imfnb.OptionError, imfnb.FormatError, imfnb.LimitError, imfnb.DeviceError):
        error = kind("wrong")
        error.filename = "a.imf"
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.filename) == (kind, "a.imf: wrong", "a.imf")


def test_items_that_change_when_the_iterable_goes_on(tmp_path):
    """Files that a generator closes, a buffer that it fills again, a picture that moves to its next frame."""
    expected = alone()
    for number, data in enumerate(expected):
        (tmp_path / f"{number}.imf").write_bytes(data)
        Image.fromarray(IMAGES[number]).save(tmp_path / f"{number}.png")

    def opened(suffix: str) -> Iterator:
        for number in range(5):
            with open(tmp_path / f"{number}{suffix}", "rb") as file:
                yield file

    def refilled() -> Iterator[memoryview]:
        buffer = bytearray(max(map(len, expected)))
        for data in expected:
            buffer[: len(data)] = data
            yield memoryview(buffer)[: len(data)]

    assert list(imfnb.encode_iter(opened(".png"), threads=3, **OPTIONS)) == expected
    for files in (opened(".imf"), refilled()):
        for image, data in zip(imfnb.decode_iter(files, threads=3), expected, strict=True):
            np.testing.assert_array_equal(image, imfnb.decode(data))


def test_frames_of_one_picture(tmp_path):
    """Pillow's sequences give the same object again and again, at another frame."""
    first, *others = (Image.fromarray(image[:20]) for image in IMAGES)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    with Image.open(tmp_path / "a.tif") as picture:
        files = list(imfnb.encode_iter(ImageSequence.Iterator(picture), threads=3, **OPTIONS))
    assert files == [imfnb.encode(image[:20], **OPTIONS) for image in IMAGES]


@pytest.mark.parametrize("function", [imfnb.decode_batch, imfnb.decode_iter])
@pytest.mark.parametrize("cut", [0, 1])
def test_memory_maps_can_be_closed(tmp_path, function, cut):
    """At once, whatever became of their files, with the error still there."""
    (tmp_path / "a.imf").write_bytes(alone()[0][: len(alone()[0]) - cut])
    kept = []
    for view in (lambda memory: memory, memoryview, lambda memory: memoryview(memory)[0:]):
        with open(tmp_path / "a.imf", "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        kept += list(function([view(mapped), view(mapped)], errors="return"))
        try:
            list(function([view(mapped)]))
        except imfnb.FormatError as error:
            kept.append(error)
        try:
            function(view(mapped))
        except imfnb.OptionError as error:
            kept.append(error)
        mapped.close()
    assert len(kept) == 3 * (3 + cut)


# -------------------------------------------------------------------------------------------------- what is not kept


@pytest.fixture
def with_profiles(monkeypatch):
    """Pictures whose files hold more than samples."""

    def read(source, **_):
        return Picture(IMAGES[0], ("ICC profile", "EXIF"))

    monkeypatch.setattr(batch, "read_picture", read)


@pytest.mark.parametrize("function", [imfnb.encode_batch, imfnb.encode_iter])
@pytest.mark.usefixtures("with_profiles")
def test_what_is_not_kept_is_told_once(function):
    """By Python's own filter, on behalf of the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        assert list(function(["a.png", "b.png", "c.png"], threads=2, **OPTIONS)) == [alone()[0]] * 3
    assert [(warning.category, warning.filename) for warning in caught] == [(imfnb.MetadataWarning, __file__)] * 2
    assert "ICC profile" in str(caught[0].message) and "EXIF" in str(caught[1].message)


@pytest.mark.parametrize("function", [imfnb.encode_batch, imfnb.encode_iter])
@pytest.mark.usefixtures("with_profiles")
def test_what_is_not_kept_may_be_an_error(function):
    """Where filters say so, of the one item."""
    items = [IMAGES[0], "a.png", IMAGES[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(imfnb.MetadataWarning, match="ICC profile is not kept"):
            list(function(items, **OPTIONS))
        first, error, third = function(items, errors="return", **OPTIONS)
        assert [first, third] == alone()[:2] and isinstance(error, imfnb.MetadataWarning)
        assert list(function(IMAGES, **OPTIONS)) == alone()


# ----------------------------------------------------------------------------------------------------------- all of it


def test_library_from_several_threads_at_once():
    expected = alone()
    results: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        results[number] = [imfnb.encode(image, threads=2, **OPTIONS) for image in IMAGES]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert not worker.is_alive()
    assert all(results[number] == expected for number in range(4))


def test_finished_files_are_kept_and_skipped(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i}.png")
    out.mkdir()
    (out / "1.imf").write_bytes(b"done before")
    command = ["encode", str(folder), "-o", str(out), "--profile", "baseline", "--rank", "2"]
    assert main([*command, "--skip-existing"]) == 0
    assert (out / "1.imf").read_bytes() == b"done before"
    assert (out / "4.imf").read_bytes() == alone()[4]
    assert main([*command, "--force"]) == 0
    assert (out / "1.imf").read_bytes() == alone()[1]


def test_an_interruption_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i}.png")
    calls = []

    def interrupted(*args, **kwargs):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return batch_wait(*args, **kwargs)

    batch_wait = batch.wait
    monkeypatch.setattr(batch, "wait", interrupted)
    command = ["encode", str(folder), "-o", str(out), "--profile", "baseline", "--rank", "2", "--threads", "1"]
    assert main(command) == 130
    kept = sorted(path.name for path in out.iterdir())
    assert kept and all(name.endswith(".imf") for name in kept)
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.jit
@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.thorough
def test_ctrl_c_in_the_shell(tmp_path):
    """What is finished stays, nothing else is left behind, and a rerun does the rest."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    image = Image.fromarray(np.tile(IMAGES[0][:16, :16], (40, 40) + (1,) * (IMAGES[0].ndim - 2)))
    for i in range(60):
        image.save(folder / f"{i:03}.png")
    command = [sys.executable, "-m", "imfnb", "encode", str(folder), "-o", str(out), "--skip-existing"]
    # Where the tests run in the background, interrupts may be ignored, which a process would inherit.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    while process.poll() is None and not (out.is_dir() and any(out.glob("*.imf"))):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.read() == "imfnb: interrupted\n"
    process.stderr.close()
    finished = sorted(path.name for path in out.iterdir())
    assert {path.suffix for path in out.iterdir()} == {".imf"}
    assert 0 < len(finished) < 60
    times = {name: (out / name).stat().st_mtime_ns for name in finished}
    assert subprocess.run(command, check=False).returncode == 0
    assert len(list(out.glob("*.imf"))) == 60
    assert {name: (out / name).stat().st_mtime_ns for name in finished} == times


@pytest.mark.jit
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
@pytest.mark.thorough
def test_python_threads_under_every_threading_layer(layer):
    """Kernels start none of Numba's own threads, so nothing depends on the layer."""
    code = """
        import threading, numba, numpy as np, imfnb
        image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
        expected = [imfnb.encode(image, profile=p) for p in ("main", "baseline")]
        found = [None] * 8
        def work(i):
            data = imfnb.encode(image, profile=("main", "baseline")[i % 2], threads=2)
            found[i] = data == expected[i % 2] and imfnb.decode(data, threads=2).shape == image.shape
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert all(found), found
        try:
            print(numba.threading_layer())
        except ValueError:
            print("none")
    """
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "none\n"), result.stderr
