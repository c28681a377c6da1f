"""The runner of the host: what a pipeline is promised, whatever the number of threads."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import imfnb.color.cpu
import imfnb.color.reference
from imfnb.runtime.run import HostRun, Run, finish

THREADS = [1, 2, 5]


@pytest.fixture(params=THREADS)
def run(request):
    with HostRun("cpu", request.param) as run:
        yield run


def later(value):
    """A task that waits for something first."""
    future: Future[int] = Future()
    future.set_result(value)
    yield [future]
    yield None
    return future.result()


def test_the_runner_of_the_host_has_all_that_a_pipeline_may_ask_for(run):
    names = [name for name in vars(Run) if not name.startswith("_")]
    fields = {"device", "host", "threads", "in_place", "retains", "merges"}
    assert len(names) > 15 and set(Run.__annotations__) == fields
    for name in [*names, *Run.__annotations__]:
        assert hasattr(run, name), name


def test_kernels_are_the_modules_of_the_device():
    assert HostRun("cpu", 1).kernels("color") is imfnb.color.cpu
    reference = HostRun("reference", 3)
    assert reference.kernels("color") is reference.host_kernels("color") is imfnb.color.reference
    assert reference.device == reference.host == "reference" and reference.threads == 3


def test_a_task_runs_to_its_end_and_gives_its_result(run):
    assert run.drive(later(7)) == finish(later(7)) == 7


@given(st.lists(st.integers(), max_size=30), st.sampled_from(THREADS))
def test_results_come_in_order(values, threads):
    with HostRun("cpu", threads) as run:
        assert run.each(lambda value: value + 1, values) == [value + 1 for value in values]
        assert run.each(lambda value: value + 1, iter(values)) == [value + 1 for value in values]
        assert run.drive(run.together(map(later, values))) == values
        futures = run.submit_all(lambda value: 2 * value, values)
        assert all(future.done() for future in futures)
        assert run.drive(run.wait(futures)) == [2 * value for value in values]
    assert run.submit(divmod, 7, 2).result() == (3, 1)


@pytest.mark.parametrize("threads", [2, 3])
def test_tasks_go_side_by_side(threads):
    """As many as there are threads: each waits here until all have begun."""
    barrier = threading.Barrier(threads, timeout=60)

    def task():
        barrier.wait()
        return threading.get_ident()
        yield

    with HostRun("cpu", threads) as run:
        assert len(set(run.drive(run.together(task() for _ in range(threads))))) == threads


def test_one_thread_stays_in_the_callers():
    with HostRun("cpu", 1) as run:
        assert run.each(lambda _: threading.get_ident(), range(5)) == [threading.get_ident()] * 5
    with HostRun("cpu", 4) as run:
        assert run.each(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]


def test_nested_calls_do_not_wait_for_each_other(run):
    """Every task of a pool that is full asks for more work of the same pool, and that for more again."""

    def inner(value):
        return sum(run.each(lambda other: 10 * value + other, range(4)))

    def middle(value):
        found = yield from run.together(later(inner(3 * value + k)) for k in range(3))
        more = yield from run.wait(run.submit_all(inner, range(2)))
        return found, more

    def outer(value):
        return (yield from run.together(middle(2 * value + k) for k in range(2)))

    def expected(value):
        return 40 * value + 6

    found = run.drive(run.together(outer(value) for value in range(9)))
    more = [expected(0), expected(1)]
    assert found == [[([expected(6 * v + 3 * k + j) for j in range(3)], more) for k in range(2)] for v in range(9)]


def test_the_first_error_in_order_is_raised_and_the_runner_goes_on(run):
    def work(value):
        if value in (3, 7):
            raise LookupError(value)
        return value

    def task(value):
        yield None
        return work(value)

    for call in (
        lambda: run.each(work, range(9)),
        lambda: run.drive(run.together(map(task, range(9)))),
        lambda: run.submit_all(work, range(9)),
        lambda: run.submit(work, 3),
    ):
        with pytest.raises(LookupError, match="3"):
            call()
        assert run.each(work, [0, 1, 2]) == [0, 1, 2]


def test_an_error_of_a_nested_call_reaches_the_caller(run):
    def work(value):
        return run.each(lambda other: 1 // (value - other), range(4))

    with pytest.raises(ZeroDivisionError):
        run.each(work, range(4))


def test_a_runner_alone_has_one_thread(run):
    alone = run.alone()
    assert (alone.threads, alone.device) == (1, run.device)
    assert run.each(lambda _: len(set(alone.each(lambda _: threading.get_ident(), range(6)))), range(4)) == [1] * 4


def test_threads_end_with_the_runner():
    before = threading.active_count()
    with HostRun("cpu", 3) as run:
        run.each(lambda value: value, range(9))
        assert threading.active_count() > before
    assert threading.active_count() == before


# -------------------------------------------------------------------------------------------------------------- memory


def test_memory(run):
    assert run.array("a", (2, 3), np.int16).shape == (2, 3)
    zeros = run.zeros("a", (2, 3), np.int64)
    assert zeros.dtype == np.int64 and not zeros.any()
    assert run.zeros("a", (2, 3), np.int64) is not zeros  # an array lives as long as it is referred to
    array = np.arange(6)
    assert run.constant("a", array) is array
    copied = run.copy("a", array)
    copied[0] = 9
    assert array[0] == 0


def test_a_single_array_is_not_copied(run):
    array = np.arange(6).reshape(2, 3)
    for stack in (run.upload("a", [array]), run.drive(run.stack("a", [array]))):
        assert stack.shape == (1, 2, 3) and np.shares_memory(stack, array)
    (fetched,) = run.drive(run.fetch("a", array))
    (lasting,) = run.drive(run.lasting([array]))
    assert fetched is array and lasting is array


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_stack_of_arrays_with_different_numbers_of_rows(rows):
    parts = [np.full((count, 4), number, np.int16) for number, count in enumerate(rows)]
    run = HostRun("cpu", 1)
    stack = run.drive(run.stack("a", parts))
    assert stack.shape == (len(rows), max(rows), 4) and stack.dtype == np.int16
    for part, found in zip(parts, stack, strict=True):
        np.testing.assert_array_equal(found[: len(part)], part)
    whole = run.drive(run.gather("a", parts))
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    same = [np.full((2, 4), number) for number in range(len(rows))]
    np.testing.assert_array_equal(run.upload("a", same), np.stack(same))


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_select(flags):
    run = HostRun("cpu", 1)
    yes, no = np.arange(len(flags)) + 100, np.arange(len(flags))
    found = run.select(flags, yes.copy(), no.copy())
    np.testing.assert_array_equal(found, np.where(flags, yes, no))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3)])
def test_pictures_are_decoded_where_they_belong(run, shape):
    out = np.zeros(shape, np.uint8)
    images = run.canvas([out], (1, 5, 4, shape[2] if len(shape) > 2 else 1))
    images[...] = 7
    run.drive(run.deliver(images, [out]))
    assert (out == 7).all()
