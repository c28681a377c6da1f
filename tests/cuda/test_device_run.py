"""The runner of the device: what a pipeline is promised, with memory that is used again and copies that are queued."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import imfnb.color.cpu
import imfnb.color.cuda
from imfnb.runtime.cuda import cuda
from imfnb.runtime.gpu import DeviceRun
from imfnb.runtime.memory import Slot
from imfnb.runtime.run import Run

few = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def run() -> Iterator[DeviceRun]:
    with ThreadPoolExecutor(2) as pool:
        yield DeviceRun(Slot(), pool)


def numbered(count: int, *shape: int, dtype=np.int32) -> list[np.ndarray]:
    """Arrays that all differ."""
    return [np.arange(np.prod(shape), dtype=dtype).reshape(shape) + dtype(50 * number) for number in range(count)]


def test_it_has_all_that_a_pipeline_may_ask_for(run):
    for name in [*(name for name in vars(Run) if not name.startswith("_")), *Run.__annotations__]:
        assert hasattr(run, name), name
    assert run.kernels("color") is imfnb.color.cuda and run.host_kernels("color") is imfnb.color.cpu
    assert run.alone() is run


@few
@given(st.integers(1, 4), st.booleans())
def test_upload_and_fetch(run, count, resident):
    parts = numbered(count, 3, 4)
    there = run.upload("parts", [cuda.to_device(part) for part in parts] if resident else parts)
    assert there.shape == (count, 3, 4)
    more = run.constant("constant", np.arange(5.0))
    found, constant = run.drive(run.fetch("found", there, more))
    np.testing.assert_array_equal(found, np.stack(parts))
    np.testing.assert_array_equal(constant, np.arange(5.0))


def test_memory_of_a_name_is_used_again_and_zeros_are_zero(run):
    array = run.upload("memory", numbered(2, 8))
    zeros = run.zeros("memory", (4, 2), np.int64)
    assert not run.drive(run.fetch("found", zeros))[0].any()
    assert not run.drive(run.fetch("found", array))[0].any()


@few
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_gather_puts_arrays_together(run, rows):
    parts = [part[:count] for part, count in zip(numbered(len(rows), 5, 3), rows, strict=True)]
    found = run.drive(run.gather("gathered", [cuda.to_device(part) for part in parts]))
    np.testing.assert_array_equal(found, np.concatenate(parts))


@few
@given(st.lists(st.booleans(), min_size=1, max_size=5))
def test_select_takes_each_entry_from_one_of_two(run, flags):
    yes, no = np.stack(numbered(len(flags), 2, 3)) + 1000, np.stack(numbered(len(flags), 2, 3))
    found = run.select(flags, run.upload("yes", list(yes)), run.upload("no", list(no)))
    (found,) = run.drive(run.fetch("selected", found))
    np.testing.assert_array_equal(found, np.where(np.array(flags)[:, None, None], yes, no))


@few
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_stack_has_the_rows_of_the_longest(run, rows):
    parts = [part[:count] for part, count in zip(numbered(len(rows), 6, 4, dtype=np.int16), rows, strict=True)]
    (found,) = run.drive(run.fetch("found", run.drive(run.stack("stack", parts))))
    assert found.shape == (len(rows), max(rows), 4) and found.dtype == np.int16
    for part, each in zip(parts, found, strict=True):
        np.testing.assert_array_equal(each[: len(part)], part)


def test_what_is_lasting_outlives_the_next_fetch(run):
    """A fetch is valid until the next of its name, which writes to the same memory."""
    first, second = numbered(2, 4, 4)
    (fetched,) = run.drive(run.fetch("name", run.constant("array", first)))
    kept, part = run.drive(run.lasting([fetched, fetched[1:3, 2]]))
    (again,) = run.drive(run.fetch("name", run.constant("array", second)))
    assert np.shares_memory(fetched, again)
    np.testing.assert_array_equal(kept, first)
    np.testing.assert_array_equal(part, first[1:3, 2])
    np.testing.assert_array_equal(fetched, second)


def test_a_copy_stays_when_the_array_changes(run):
    array = run.constant("array", numbered(1, 6)[0])
    copied = run.copy("copy", array)
    run.zeros("array", (6,), np.int32)
    changed, found = run.drive(run.fetch("found", array, copied))
    assert not changed.any()
    np.testing.assert_array_equal(found, numbered(1, 6)[0])


@few
@given(st.lists(st.booleans(), min_size=1, max_size=4))
def test_pictures_reach_their_outputs_wherever_these_are(run, resident):
    shape = (len(resident), 3, 4, 1)
    pixels = np.stack(numbered(len(resident), 3, 4, 1, dtype=np.uint8))
    blank = np.zeros(shape[1:], np.uint8)
    outs = [cuda.to_device(blank) if there else blank.copy() for there in resident]
    images = run.canvas(outs, shape)
    images.copy_to_device(pixels)
    run.drive(run.deliver(images, outs))
    for out, expected in zip(outs, pixels, strict=True):
        np.testing.assert_array_equal(out if isinstance(out, np.ndarray) else out.copy_to_host(), expected)


def test_a_single_output_on_the_device_is_written_to_in_place(run):
    out = cuda.to_device(np.zeros((3, 4), np.uint8))
    run.canvas([out], (1, 3, 4, 1)).copy_to_device(np.full((1, 3, 4, 1), 9, np.uint8))
    assert (out.copy_to_host() == 9).all()
    assert not run.slot._device  # no memory beside it


def test_tasks_go_one_after_the_other_on_the_stream(run):
    order = []

    def task(value):
        order.append(("begin", value))
        yield None
        (found,) = yield from run.wait([run.submit(lambda: value + 1)])
        order.append(("end", value))
        return found

    assert run.drive(run.together(map(task, range(3)))) == [1, 2, 3]
    assert order == [(what, value) for value in range(3) for what in ("begin", "end")]
    assert run.each(lambda value: 2 * value, range(3)) == [0, 2, 4]
    assert [future.result() for future in run.submit_all(lambda value: 3 * value, range(3))] == [0, 3, 6]


def test_what_is_done_is_not_waited_for(run):
    done: Future[int] = Future()
    done.set_result(5)
    with pytest.raises(StopIteration) as end:
        next(run.wait([done]))
    assert end.value.value == [5]
    pending: Future[int] = Future()
    task = run.wait([done, pending])
    assert next(task) == [done, pending]
    pending.set_result(6)
    with pytest.raises(StopIteration) as end:
        next(task)
    assert end.value.value == [5, 6]


def test_errors_reach_the_caller(run):
    def task():
        yield None
        yield from run.wait([run.submit(lambda: 1 // 0)])

    with pytest.raises(ZeroDivisionError):
        run.drive(run.together([task()]))
    assert run.drive(run.together([])) == []
