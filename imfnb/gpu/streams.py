"""Two chunks of work at a time, each on its stream, so that copies, kernels and the entropy coder overlap.

The work on a chunk is a task: a generator that queues kernels and copies on the stream of its half, and yields where it
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

import numpy as np

from .._cuda import is_out_of_memory
from ..errors import DeviceError
from .transfer import LOCK, Half, borrowed, copy_all

__all__ = ["Task", "canvas", "deliver", "drive", "memory_errors", "run", "steps"]

Task = Generator["list[Future] | None", None, Any]


def _step(task: Task) -> Any:
    """Let a task go on to its next wait."""
    with LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Grid size .* occupancy")  # small images are normal inputs
        return next(task)


def _await(pending: Sequence[Future] | None, half: Half) -> None:
    """Wait for what a task has yielded."""
    if pending is None:
        half.synchronize()
    else:
        wait(pending)


def drive(task: Task, half: Half) -> Any:
    """Run one task alone and return its result."""
    try:
        while True:
            try:
                pending = _step(task)
            except StopIteration as end:
                return end.value
            _await(pending, half)
    finally:
        task.close()  # after an interrupt too, what it has others do for it comes to its end


def _in_place(outs: Sequence[Any]) -> bool:
    """Whether the only output is on the device, so that the kernels can write to it."""
    return len(outs) == 1 and not isinstance(outs[0], np.ndarray)


def canvas(outs: Sequence[Any], shape: tuple[int, ...], half: Half) -> Any:
    """Where the kernels write the decoded images, uint8 of `shape` (B, H, W, C)."""
    return outs[0].reshape(shape) if _in_place(outs) else half.array("decoded", shape, np.uint8)


def deliver(images: Any, outs: Sequence[Any], half: Half) -> Task:
    """Bring the images of a :func:`canvas` to their outputs, on the host or on the device."""
    if _in_place(outs):
        yield None
        return
    pixels = half.download("decoded", images)
    yield None
    here = [index for index, out in enumerate(outs) if isinstance(out, np.ndarray)]
    yield from copy_all([outs[index] for index in here], [pixels[index] for index in here], half.threads)
    for index, out in enumerate(outs):
        if not isinstance(out, np.ndarray):
            out.copy_to_device(images[index], stream=half.stream)
    yield None


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
    start: Callable[[Sequence[Any], Half], Task],
    deliver: Callable[[Sequence[Any], Any], None],
    threads: int,
) -> None:
    """Take all the :func:`steps`."""
    for _ in steps(chunks, start, deliver, threads):
        pass


def steps(
    chunks: Iterable[Sequence[Any]],
    start: Callable[[Sequence[Any], Half], Task],
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
        From a chunk and a half to a task.
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
    active: deque[tuple[Task, Half, Sequence[Any], Any]] = deque()
    alone = False

    def following() -> Sequence[Any] | None:
        return retries.popleft() if retries else next(source, None)

    with borrowed(threads) as first, borrowed(threads) as second:
        free = [first, second]

        def advance(task: Task, half: Half, chunk: Sequence[Any]) -> None:
            nonlocal alone
            try:
                pending = _step(task)
            except StopIteration as end:
                free.append(half)
                alone = False
                deliver(chunk, end.value)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                half.clear()
                free.append(half)
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
                active.append((task, half, chunk, pending))

        try:
            ended = False
            while True:
                while free and not (alone and active):
                    chunk = following()
                    if not chunk:
                        ended = chunk is None
                        break
                    half = free.pop()
                    if alone and free:  # the other half's memory is of no use now
                        free[0].clear()
                    advance(start(chunk, half), half, chunk)
                    yield
                if active:
                    task, half, chunk, pending = active[0]
                    _await(pending, half)
                    active.popleft()
                    advance(task, half, chunk)
                elif ended and not retries:
                    return
                yield
        finally:
            for task, *_ in active:
                task.close()
