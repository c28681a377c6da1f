"""Compile every kernel once."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from .codec import decode, encode
from .errors import OptionError
from .factorization import factorize

__all__ = ["compile_all", "obstacle", "warmup"]


def warmup(device: str = "cpu") -> float:
    """Compile every kernel of a device, or load it from the cache, so that no later call has to.

    On a GPU the baseline's kernels have patch size and rank built in; here these are 8 and 2, and kernels for others
    are compiled when they are first asked for.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Whose kernels.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    OptionError
        If `device` is neither.
    DeviceError
        If it is "cuda" and no GPU can be used.

    Warns
    -----
    RuntimeWarning
        If kernels are not kept for the next process; ``show_config()["kernel cache"]`` says where they are.

    See Also
    --------
    imfnb.show_config : Where kernels are kept, and whether there is a GPU.

    Examples
    --------
    >>> import imfnb
    >>> seconds = imfnb.warmup()
    >>> seconds > 0
    True
    """
    if device not in ("cpu", "cuda"):
        raise OptionError(f"device is {device!r}; expected 'cpu' or 'cuda'")
    seconds, problem = compile_all(device)
    if problem:
        warnings.warn(f"kernels are not kept for the next process: {problem}", RuntimeWarning, stacklevel=2)
    return seconds


def obstacle(device: str) -> str | None:
    """Say in one sentence why no kernel of a device can be kept; None if they can."""
    from .runtime import cache, jit

    if device == "cpu":
        return "the JIT is disabled (NUMBA_DISABLE_JIT)" if jit.DISABLED else jit.cache_obstacle()
    from .runtime.cuda import KEPT

    return cache.obstacle() if KEPT else "Numba's own CUDA target and its simulator keep no kernels; install numba-cuda"


def compile_all(device: str) -> tuple[float, str | None]:
    """:func:`warmup` without the warning.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Whose kernels.

    Returns
    -------
    (float, str or None)
        Seconds that it took, and why kernels are not kept, if they are not.
    """
    from .runtime import cache

    start = time.perf_counter()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 56, 4), dtype=np.uint8)
    for picture in (image, np.ascontiguousarray(image[:, :, :3]), image[:, :, 0]):
        for subsampling in ("4:2:0", "4:4:4"):
            settings: tuple[dict[str, Any], ...] = (
                {"profile": "main", "step": 20.0},
                {"profile": "main", "step": 20.0, "patch_size": 16},
                {"profile": "baseline", "rank": 2},
            )
            for options in settings:
                decode(encode(picture, subsampling=subsampling, device=device, **options), device=device)
    decode(encode(image, profile="baseline", bounds=(-1000, 1000), rank=2, device=device), device=device)
    decode(encode(image, profile="baseline", coder="fast", rank=2, device=device), device=device)
    decode(encode(image, step=20.0, device=device), device=device, reduce=2)
    encode(image, bpp=12.0, device=device)
    bands = rng.integers(0, 4096, (40, 56, 5), dtype=np.uint16)
    decode(encode(bands, quality=60, mask=bands[:, :, 0] < 99, device=device), device=device)
    for pixels in (bands, bands[:, :, 0]):
        decode(encode(pixels, lossless=True, device=device), device=device)
    encode(np.tile(image[:, :, 0], (26, 19)), step=30.0, device=device)  # V leaves its prior from a megapixel on
    for effort in ("fast", "best"):
        data = encode(image, step=30.0, subsampling="4:2:0", patch_size=8, effort=effort, device=device)
        decode(data, device=device)
    factorize(image[:, :, 0], 2, device=device)
    factorize(image[:, :, 0].astype(float), 2, bounds=None, device=device)
    seconds = time.perf_counter() - start
    problem = obstacle(device)
    if not problem and cache.unkept:
        problem = f"{len(cache.unkept)} could not be written ({next(iter(cache.unkept.values()))}); {cache.HINT}"
    return seconds, problem
