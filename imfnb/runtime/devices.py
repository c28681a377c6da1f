"""Which kernels a call runs on, and on how many threads; the one place that decides and that touches CUDA."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..errors import DeviceError, DeviceWarning, OptionError

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = [
    "CROSSOVER",
    "DEVICES",
    "DeviceArray",
    "cuda_status",
    "is_device_array",
    "resolve_device",
    "resolve_threads",
    "run_on",
    "show_config",
]

DEVICES = ("auto", "cpu", "cuda", "reference")

#: Pixels, of one image or of a batch in total, from which on "auto" takes the GPU for a kind of work; for no other,
#: unless the image lies there already. How many calls follow nobody can tell, so it has to pay for a process that makes
#: a single one, with kernels on disk (without them it stays on the CPU): a first `factorize` took up to 0.6 s longer on
#: the GPU than on the CPU, say a second. On an H200, beside 16 cores of its host, encoding a batch gains 22 ns a pixel
#: (25 megapixels in 189 instead of 754 ms). Too little: batches of the baseline 2, decoding them 0.9, `factorize` 3, a
#: stack 5; decoding batches of the main profile gains nothing, since the entropy decoder on 16 cores binds both. A
#: process that goes on gains much earlier, see benchmarks/RESULTS.md. Single images were compared with one core only,
#: and searches for a rate or a PSNR not at all.
CROSSOVER: dict[str, int] = {"encode main batch": 45_000_000}

# Why "auto" no longer tries the GPU: it failed once in this process. A CUDA context rarely survives an error.
_failure: str | None = None

_R = TypeVar("_R")


class DeviceArray(Protocol):
    """What the runner of the GPU uses of Numba's arrays there."""

    dtype: np.dtype
    shape: tuple[int, ...]

    def copy_to_host(self) -> np.ndarray: ...

    def copy_to_device(self, source: Any) -> None: ...

    def reshape(self, *shape: int) -> DeviceArray: ...


def resolve_device(device: str, pixels: int = 0, work: str = "", resident: bool = False) -> str:
    """Turn the ``device`` argument into the name of a kernel module.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "reference"}
        What the caller asked for.
    pixels : int
        How much there is to do; decides for "auto".
    work : str
        What there is to do, as named in :data:`CROSSOVER`.
    resident : bool
        Whether the data lie on the GPU.

    Returns
    -------
    {"cpu", "cuda", "reference"}
        What to use.

    Raises
    ------
    OptionError
        If `device` is not one of the four names, or does not fit data on the GPU.
    DeviceError
        If `device` is "cuda" and no GPU can be used: an explicit wish never falls back silently.
    """
    if device not in DEVICES:
        raise OptionError(f"device is {device!r}; expected one of {', '.join(map(repr, DEVICES))}")
    if resident and device in ("cpu", "reference"):
        raise OptionError(
            f"device={device!r} was given an array on the GPU; copy it to the host first, or give device='cuda'"
        )
    if device == "cuda" or (resident and device == "auto"):
        usable, status = _probe()
        if not usable:
            raise DeviceError(
                f"device='cuda' cannot be used: CUDA {status}; install a driver and the extra 'cuda' "
                "(pip install imfnb[cuda]), or use device='auto' or device='cpu'"
            )
        return "cuda"
    if device == "auto":
        threshold = CROSSOVER.get(work)
        pays = threshold is not None and pixels >= threshold and _failure is None
        return "cuda" if pays and _probe()[0] and _compiled() else "cpu"
    return device


def run_on(device: str, backend: str, work: Callable[[str], _R]) -> _R:
    """Do work on a backend; under "auto" on the CPU instead if the GPU fails.

    Parameters
    ----------
    device : str
        What the caller asked for.
    backend : str
        What :func:`resolve_device` made of it.
    work : callable
        Takes the backend; may be called a second time, with "cpu".

    Returns
    -------
    object
        What `work` returns.

    Raises
    ------
    DeviceError
        If the GPU fails and `device` is not "auto".

    Warns
    -----
    DeviceWarning
        Once in a process, if the CPU takes over.
    """
    global _failure
    if backend != "cuda":
        return work(backend)
    from .cuda import is_cuda_error

    try:
        return work(backend)
    except Exception as error:
        if not isinstance(error, DeviceError) and not is_cuda_error(error):
            raise
        reason = _one_line(error)
        if device != "auto":
            if isinstance(error, DeviceError):
                raise
            raise DeviceError(f"the GPU failed: {reason}; use device='auto' or device='cpu'") from error
        if _failure is None:
            _failure = reason
            warnings.warn(f"the GPU failed ({reason}); going on with the CPU", DeviceWarning, stacklevel=3)
    return work("cpu")


def is_device_array(array: Any) -> TypeIs[DeviceArray]:
    """Whether an array lies on a GPU: CuPy, PyTorch, JAX and Numba offer ``__cuda_array_interface__`` there."""
    return hasattr(array, "__cuda_array_interface__") or bool(getattr(array, "__cuda_ndarray__", False))


def resolve_threads(threads: int | None) -> int:
    """Number of threads a call may use.

    Parameters
    ----------
    threads : int or None
        None means all the cores that this process may use: those that it may run on (or ``PYTHON_CPU_COUNT``, where
        Python knows it), and no more than the quota of its control groups, as of a container, rounded up.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    OptionError
        If `threads` is not a positive integer.
    """
    if threads is None:
        return max(1, min(_cores(), _quota(Path("/"))))
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise OptionError(f"threads is {threads!r}; expected a positive integer, or None for all cores")
    return int(threads)


def _cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        return os.process_cpu_count() or 1
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity call
        return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _quota(root: Path) -> int:
    """How many cores the control groups of this process, and those above them, let it keep busy, rounded up.

    Parameters
    ----------
    root : pathlib.Path
        Where /proc and /sys are.

    Returns
    -------
    int
        A very large number where there is no quota, or none can be read.
    """
    least = sys.maxsize
    for folder in _control_groups(root):
        with suppress(OSError, ValueError, IndexError, ZeroDivisionError):
            limit = folder / "cpu.max"  # version 2: microseconds, or "max", in a period of so many
            if limit.exists():
                quota, period = limit.read_text().split()[:2]
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:  # -1 is no quota
                least = min(least, -(-int(quota) // int(period)))
    return least


def _control_groups(root: Path) -> Iterator[Path]:
    """Folders of the control groups for processors that this process is in, of both versions, each with its parents.

    /proc/self/cgroup has "number:controllers:path" (version 2: "0::path"), and /proc/self/mountinfo where which part of
    the tree of groups is mounted: in a container often only the process's own group.
    """
    try:
        memberships = (root / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
        mounts = (root / "proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    groups = {}
    for line in memberships:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or "cpu" in controllers.split(","):
            groups["cgroup" if controllers else "cgroup2"] = path
    for line in mounts:
        left, _, right = line.partition(" - ")
        fields, kind, options = left.split(" "), right.split(" ")[0], right.split(" ")[-1].split(",")
        if kind not in groups or len(fields) < 5 or (kind == "cgroup" and "cpu" not in options):
            continue
        top, mounted = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field) for field in fields[3:5])
        folder = root / mounted.lstrip("/")
        yield folder
        below = Path(os.path.relpath(groups[kind], top)).parts
        if ".." not in below:  # else the group itself cannot be seen from here
            for name in below:
                folder /= name
                yield folder


def cuda_status() -> str:
    """Say in words whether a CUDA device is usable, without ever raising.

    Returns
    -------
    str
        "found: <device, compute capability and Numba's CUDA target>" or "not found: <reason>".
    """
    return _probe()[1]


def _probe() -> tuple[bool, str]:
    """Whether a GPU is usable, and the text of :func:`cuda_status`."""
    try:
        from .cuda import SIMULATED, cuda

        if SIMULATED:
            return True, "found: Numba's CUDA simulator (NUMBA_ENABLE_CUDASIM=1)"
        if not cuda.is_available():
            return False, f"not found: {_one_line(_driver_error(cuda))}"
        device = cuda.get_current_device()
        name = device.name.decode() if isinstance(device.name, bytes) else device.name
        capability, target = ".".join(map(str, device.compute_capability)), _target(cuda.__file__ or "")
        if tuple(device.compute_capability) < _LEAST_CAPABILITY:
            least = ".".join(map(str, _LEAST_CAPABILITY))
            return False, f"not found: {name} has compute capability {capability}, and the kernels need {least}"
        _try_compiler(cuda.compile_ptx_for_current_device, target)
        return True, f"found: {name} (compute capability {capability}, {target})"
    except Exception as error:  # probing a broken driver raises errors of many kinds; the reason is the answer
        return False, f"not found: {type(error).__name__}: {_one_line(error)}"


def _compiled() -> bool:
    """Whether the main encoder's kernels, judged by one of them, need not be compiled first, for half a minute."""
    from .cuda import on_disk

    return on_disk("imfnb.factorization.rdoq.cuda._choose")


def _driver_error(cuda: Any) -> Any:
    """Why there is no driver, or what else is missing where there is one."""
    return cuda.cuda_error() or "no usable CUDA driver, device or toolkit (NVVM)"


# The first that copies to shared memory while a thread goes on.
_LEAST_CAPABILITY = 8, 0

_BUILT_IN = "Numba's built-in target"


@lru_cache
def _try_compiler(compile_ptx: Callable[..., Any], target: str) -> None:
    """Raise a DeviceError if a compiler cannot do what the kernels need.

    Numba's own stumbles over min() in 0.68, and numba-cuda 0.30 over everything beside NumPy 2.5.
    """

    def smaller(values: Any) -> None:
        values[0] = min(values[0], values[1])

    try:
        compile_ptx(smaller, "void(int64[::1])")
    except Exception as error:
        remedy = "install numba-cuda" if target == _BUILT_IN else "install a NumPy and a numba-cuda that go together"
        raise DeviceError(f"{target} cannot compile the kernels ({_one_line(error)}): {remedy}") from error


@lru_cache
def _target(file: str) -> str:
    """Which of the packages that can compile for CUDA the module in this file belongs to."""
    if "numba_cuda" not in file:
        return _BUILT_IN
    from importlib.metadata import version

    return f"numba-cuda {version('numba-cuda')}"


def _one_line(error: Any) -> str:
    """The text of an error without its line breaks, shortened."""
    text = " ".join(str(error).split()).rstrip(":") or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def show_config() -> dict[str, Any]:
    """Describe the installation: versions, threads, cache and CUDA.

    Returns
    -------
    dict
        Names and values, in the order in which ``imfnb config`` prints them.

    See Also
    --------
    imfnb.warmup : Compiles every kernel once.

    Examples
    --------
    >>> import imfnb
    >>> config = imfnb.show_config()
    >>> config["imfnb"] == imfnb.__version__
    True
    >>> "kernel cache" in config
    True
    """
    import platform

    import numba
    import scipy

    from .. import __version__
    from .jit import describe_cache

    try:
        threading_layer = numba.threading_layer()
    except ValueError:
        threading_layer = "none started (imfnb uses its own threads)"
    return {
        "imfnb": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
        "platform": platform.platform(),
        "threads": resolve_threads(None),
        "threading layer": threading_layer,
        "kernel cache": describe_cache(),
        "jit": "disabled (NUMBA_DISABLE_JIT)" if numba.config.DISABLE_JIT else "enabled",
        "cuda": cuda_status(),
    }
