"""Two chunks of work at a time, each on its stream, so that copies, kernels and the entropy coder overlap.

The work on a chunk is a task: a generator that queues kernels and copies on the stream of its slot, and yields where it
has to wait: None for its stream, or a list of futures for work on the CPU. Meanwhile the other task goes on. All
tasks run in the caller's thread.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

from ..errors import DeviceError
from .cuda import is_out_of_memory, on_stream
from .memory import LOCK, Slot, borrowed
from .run import Task

__all__ = ["drive", "memory_errors", "run", "steps"]


def _step(task: Task[Any], slot: Slot) -> Any:
    """Let a task go on to its next wait, on the stream of its slot."""
    with LOCK, on_stream(slot.stream), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Grid size .* occupancy")  # small images are normal inputs
        return next(task)


def _await(pending: Sequence[Future] | None, slot: Slot) -> None:
    """Wait for what a task has yielded."""
    if pending is None:
        slot.synchronize()
    else:
        wait(pending)


def drive(task: Task, slot: Slot) -> Any:
    """Run one task alone and return its result."""
    try:
        while True:
            try:
                pending = _step(task, slot)
            except StopIteration as end:
                return end.value
            _await(pending, slot)
    finally:
        task.close()  # after an interrupt too, what it has others do for it comes to its end


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn a full memory into a DeviceError that says what to do."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"the GPU's memory is too small even for one image ({error}); use device='cpu', or free some of it"
        ) from error


def run(
    chunks: Iterable[Sequence[Any]],
    start: Callable[[Sequence[Any], Slot], Task],
    deliver: Callable[[Sequence[Any], Any], None],
    threads: int,
) -> None:
    """Take all the :func:`steps`."""
    for _ in steps(chunks, start, deliver, threads):
        pass


def steps(
    chunks: Iterable[Sequence[Any]],
    start: Callable[[Sequence[Any], Slot], Task[Any]],
    deliver: Callable[[Sequence[Any], Any], None],
    threads: int,
) -> Generator[None, None, None]:
    """Run a task for every chunk, two at a time.

    Where the device's memory is full, the chunk is cut in two and both are tried again; a single item waits until it
    has the memory for itself.

    Parameters
    ----------
    chunks : iterable of sequence
        The work, consumed as it is needed. An empty chunk is no work, but a step.
    start : callable
        From a chunk and a slot to a task.
    deliver : callable
        Receives each chunk, or part of one, and the result of its task.
    threads : int
        Largest number of threads for copies on the host.

    Yields
    ------
    None
        After every step, so that the caller can look at what has been delivered, and stop.

    Raises
    ------
    DeviceError
        If a single item does not fit the memory.
    """
    source = iter(chunks)
    for beginning in source:  # before the device is touched: there may be no work, or an error
        if beginning:
            source = itertools.chain([beginning], source)
            break
        yield
    else:
        return
    retries: deque[Sequence[Any]] = deque()
    active: deque[tuple[Task, Slot, Sequence[Any], Any]] = deque()
    alone = False

    def following() -> Sequence[Any] | None:
        return retries.popleft() if retries else next(source, None)

    with borrowed(threads) as first, borrowed(threads) as second:
        free = [first, second]

        def advance(task: Task, slot: Slot, chunk: Sequence[Any]) -> None:
            nonlocal alone
            try:
                pending = _step(task, slot)
            except StopIteration as end:
                free.append(slot)
                alone = False
                deliver(chunk, end.value)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                slot.clear()
                free.append(slot)
                if len(chunk) > 1:
                    middle = len(chunk) // 2
                    retries.extend((chunk[:middle], chunk[middle:]))
                elif active:
                    alone = True
                    retries.appendleft(chunk)
                else:
                    with memory_errors():
                        raise
            else:
                active.append((task, slot, chunk, pending))

        try:
            ended = False
            while True:
                while free and not (alone and active):
                    chunk = following()
                    if not chunk:
                        ended = chunk is None
                        break
                    slot = free.pop()
                    if alone and free:  # the other slot's memory is of no use now
                        free[0].clear()
                    advance(start(chunk, slot), slot, chunk)
                    yield
                if active:
                    task, slot, chunk, pending = active[0]
                    _await(pending, slot)
                    active.popleft()
                    advance(task, slot, chunk)
                elif ended and not retries:
                    return
                yield
        finally:
            for task, *_ in active:
                task.close()
