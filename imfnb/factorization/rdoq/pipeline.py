"""X -> U, written once for every runner: which steps there are, in which order, and what they exchange.

Arrays of K planes lie where the kernels read them, under names that begin with the caller's `name`. Between X and U
nothing comes to the host: frequencies become prices where they are, since a table per plane of 24 000 logarithms takes
the CPU longer than all kernels of a GPU together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...entropy.layout import padded_size
from ...format.basis import PLAIN, Weighting, dct_basis, magnitude_limit, scale_bits, updated_basis
from ...format.basis_update import UPDATE_BITS
from ...format.context_model import component_table
from ...runtime.run import Run, Task
from .basis import analysis_basis, basis_update_matrices, squared_length
from .costs import FIRST_CLASSES, FIRST_CONTEXTS, MAGNITUDE_CLASSES, MAGNITUDE_CONTEXTS, RANK_CLASSES
from .factors import Factors, reduced_basis
from .tuning import LAMBDA, LAMBDA_FIRST, LAMBDA_ONE, SWEEPS, TRAIL

__all__ = [
    "DEFAULT",
    "LastChoice",
    "Projections",
    "Settings",
    "choose_last",
    "download",
    "multipliers",
    "prepare",
    "product",
    "project",
    "rebased",
    "sweeps",
    "upload",
]

# Name of the stage's kernels.
_STAGE = "factorization.rdoq"

# Cost of a sign in 1/256 bit.
_SIGN = 256

# The trail (see `tuning.TRAIL`) with which no entry that is not zero is left out.
_WHOLE_TRAIL = 128


@dataclass(frozen=True)
class Settings:
    """How U is chosen; others than the defaults are for studies (see `imfnb.evaluate.parts`).

    Attributes
    ----------
    sweeps : int
        Sweeps over U, at least one.
    rate : bool
        Whether bits cost anything. Without, every entry is rounded to the nearest integer.
    """

    sweeps: int = SWEEPS
    rate: bool = True


#: What is best.
DEFAULT = Settings()


@dataclass(frozen=True)
class Projections:
    """X V of K planes.

    Attributes
    ----------
    products : array of int32, shape (K, N, size)
        X V, or what stands for it where V is not the DCT basis (see `reference.rebase`), where its columns have
        weights (see `basis.analysis_basis`) or patches steps of their own (see `reference.normalize`).
    squares : ndarray of int64, shape (N,)
        Squared lengths of the columns of V, on the host; with weights, of columns without.
    grid : (int, int)
        Patches down and across.
    patch_size, step : int
        Side of a patch, and step in 1/64 gray level.
    """

    products: Any
    squares: np.ndarray
    grid: tuple[int, int]
    patch_size: int
    step: int


@dataclass(frozen=True)
class LastChoice:
    """U of K planes before the last choice of the last sweep, and what that choice needs, whatever its lambda.

    Attributes
    ----------
    factors : array of int16, shape (K, R, size)
        U so far.
    ranks : array of int32, shape (K, size)
        Active rank of every patch so far.
    grid : (int, int)
        Patches down and across.
    lam : int
        Lambda for a scale of LAMBDA_ONE, in the unit of :func:`multipliers`.
    products, lengths, scale, contexts, prices, classes, rank_table
        As the kernel `choose` takes them.
    """

    factors: Any
    ranks: Any
    grid: tuple[int, int]
    lam: int
    products: Any
    lengths: Any
    scale: int
    contexts: Any
    prices: Any
    classes: Any
    rank_table: Any


def multipliers(step: int) -> tuple[int, int]:
    """Lambda of the first component and of the others.

    Parameters
    ----------
    step : int
        Step in 1/64 gray level.

    Returns
    -------
    (int, int)
        In units of the kernels: distortion for 2**16 times 1/256 bit.
    """
    square = squared_length(step)
    return LAMBDA_FIRST * square >> 8, LAMBDA * square >> 8


def project(
    planes: Any, step: int, patch_size: int, run: Run, name: str, weighting: Weighting = PLAIN, local: Any = None
) -> Projections:
    """X V of the DCT basis, in units that make the errors of all components and patches count alike."""
    kernels, basis = run.kernels(_STAGE), analysis_basis(patch_size, step, weighting)
    grid = planes.shape[1] // patch_size, planes.shape[2] // patch_size
    products = run.array(f"{name}products", (len(planes), patch_size * patch_size, padded_size(*grid)[0]), np.int32)
    kernels.project(planes, patch_size, run.constant(f"{name}basis", kernels.weights(basis.T)), products)
    if local is not None:
        kernels.normalize(products, local, grid)
    squares = (basis.astype(np.int64) * dct_basis(patch_size, step, weighting)).sum(axis=0)
    return Projections(products, squares, grid, patch_size, step)


def rebased(x: Projections, factors: Any, update: np.ndarray, run: Run, name: str) -> Projections:
    """X V less what the other columns of U stand for, of an updated V; from X V0 and U for any V."""
    right, gram = basis_update_matrices(update, x.step)
    squares = x.squares.copy()
    squares[: len(gram)] = np.diagonal(gram)
    matrices = run.constant(f"{name}right", right), run.constant(f"{name}gram", gram)
    out = run.array(f"{name}rebased", x.products.shape, np.int32)
    numbers = UPDATE_BITS, scale_bits(x.step), x.grid
    run.kernels(_STAGE).rebase(x.products, factors, *matrices, *numbers, out)
    return Projections(out, squares, x.grid, x.patch_size, x.step)


def prepare(
    planes: Any,
    step: int,
    patch_size: int,
    run: Run,
    name: str,
    basis_update: np.ndarray | None = None,
    settings: Settings = DEFAULT,
    weighting: Weighting = PLAIN,
    local: Any = None,
) -> LastChoice:
    """Do all that does not depend on the lambda of the last choice, most of the work.

    Parameters
    ----------
    planes : array of int32, shape (K, H, W)
        Pre-filtered planes with four fractional bits; H and W are multiples of `patch_size`.
    step : int
        Step in 1/64 gray level, constants.STEP_MIN to constants.STEP_MAX.
    patch_size : {8, 16}
        Side of a patch.
    run : Run
        Where to work; everywhere the factors are the same.
    name : str
        Prefix of the names of the memory.
    basis_update : ndarray of int32, shape (basis_update.ROWS, basis_update.COLUMNS), optional
        How V of all planes differs from the DCT basis; see :func:`imfnb.factorization.rdoq.find_basis_update`.
    settings : Settings
        How U is chosen.
    weighting : Weighting
        Weights of the columns of V.
    local : array of int32, shape (K, rows, columns), optional
        The step of every patch relative to `step`, in 1/16; where the kernels read it.

    Returns
    -------
    LastChoice
        For :func:`choose_last`.
    """
    x = project(planes, step, patch_size, run, name, weighting, local)
    if basis_update is not None:
        factors, _ = _rounded(x, run.constant(f"{name}DCT lengths", x.squares), TRAIL, run, name)
        x = rebased(x, factors, basis_update, run, name)
    return sweeps(x, run, name, settings)


def _rounded(x: Projections, lengths: Any, trail: int, run: Run, name: str) -> tuple[Any, Any]:
    """U and the active ranks after plain rounding."""
    count, _, size = x.products.shape
    factors = run.array(f"{name}factors", x.products.shape, np.int16)
    ranks = run.array(f"{name}ranks", (count, size), np.int32)
    run.kernels(_STAGE).quantize(x.products, lengths, scale_bits(x.step), trail, x.grid, factors, ranks)
    return factors, ranks


def sweeps(x: Projections, run: Run, name: str, settings: Settings) -> LastChoice:
    """The U step but for its last choice."""
    lengths = run.constant(f"{name}lengths", x.squares)
    factors, ranks = _rounded(x, lengths, TRAIL if settings.rate else _WHOLE_TRAIL, run, name)
    if not settings.rate:
        return _free_choice(x, lengths, factors, ranks, run, name)
    for _ in range(settings.sweeps - 1):
        _choose(_priced(x, lengths, factors, ranks, run, name), factors, ranks, LAMBDA_ONE, run)
    return _priced(x, lengths, factors, ranks, run, name)


def _priced(x: Projections, lengths: Any, factors: Any, ranks: Any, run: Run, name: str) -> LastChoice:
    """Choose the first component, and give all others the prices of their bits as U stands now."""
    kernels, grid, scale = run.kernels(_STAGE), x.grid, scale_bits(x.step)
    count, components, size = factors.shape
    first, others = multipliers(x.step)

    def array(key: str, *shape: int, dtype: Any = np.int32) -> Any:
        return run.array(name + key, (count, *shape), dtype)

    counts = array("first counts", FIRST_CONTEXTS, FIRST_CLASSES, dtype=kernels.COUNTS)
    table = array("first table", FIRST_CONTEXTS, FIRST_CLASSES)
    kernels.first_counts(factors, grid, counts)
    kernels.cost_table(counts, _SIGN, table)
    kernels.choose_first(x.products, x.squares[0], scale, first, table, grid, factors)

    used = kernels.extent(ranks, components)
    contexts = array("contexts", 2, used, size, dtype=np.uint16)
    counts = array("counts", MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES, dtype=kernels.COUNTS)
    prices = array("prices", MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES, dtype=np.uint16)
    parents = run.constant(f"{name}components", component_table(x.patch_size))
    kernels.count_magnitudes(factors, ranks, parents, grid, contexts, counts)
    kernels.magnitude_prices(counts, prices)

    classes = array("classes", size)
    counts = array("rank counts", RANK_CLASSES, RANK_CLASSES, dtype=kernels.COUNTS)
    table = array("rank table", RANK_CLASSES, RANK_CLASSES)
    kernels.rank_classes(ranks, grid, classes, counts)
    kernels.cost_table(counts, 0, table)
    kept = factors if used == components else factors[:, :used]
    return LastChoice(kept, ranks, grid, others, x.products, lengths, scale, contexts, prices, classes, table)


def _free_choice(x: Projections, lengths: Any, factors: Any, ranks: Any, run: Run, name: str) -> LastChoice:
    """What leaves U as it is rounded, but for ties."""
    count, components, size = factors.shape
    contexts = run.zeros(f"{name}contexts", (count, 2, components, size), np.uint16)
    prices = run.zeros(f"{name}prices", (count, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES), np.uint16)
    classes = run.zeros(f"{name}classes", (count, size), np.int32)
    table = run.zeros(f"{name}rank table", (count, RANK_CLASSES, RANK_CLASSES), np.int32)
    numbers = x.products, lengths, scale_bits(x.step), contexts, prices, classes, table
    return LastChoice(factors, ranks, x.grid, 0, *numbers)


def choose_last(
    choice: LastChoice, run: Run, name: str, lambda_scale: int = LAMBDA_ONE, keep: bool = False
) -> tuple[Any, Any]:
    """Make the last choice.

    Parameters
    ----------
    choice : LastChoice
        What :func:`prepare` returns.
    run : Run
        Where that is.
    name : str
        Prefix of the names of the memory.
    lambda_scale : int, default LAMBDA_ONE
        Lambda in 1/LAMBDA_ONE of what is best: for a rate or an error that no step gives.
    keep : bool, default False
        Whether `choice` will be used again; otherwise it may be spent. (Where memory is free as soon as nobody refers
        to it, it never is: a copy lets go of the components that are not used.)

    Returns
    -------
    factors : array of int16, shape (K, R, size)
        U.
    ranks : array of int32, shape (K, size)
        Active rank of every patch.
    """
    factors, ranks = choice.factors, choice.ranks
    if keep or run.retains:
        factors, ranks = run.copy(f"{name}chosen factors", factors), run.copy(f"{name}chosen ranks", ranks)
    _choose(choice, factors, ranks, lambda_scale, run)
    return factors, ranks


def _choose(choice: LastChoice, factors: Any, ranks: Any, lambda_scale: int, run: Run) -> None:
    """Make the choice in place."""
    lam = choice.lam * lambda_scale // LAMBDA_ONE
    tables = choice.contexts, choice.prices, choice.classes, choice.rank_table
    kernels = run.kernels(_STAGE)
    kernels.choose(choice.products, choice.lengths, choice.scale, lam, *tables, choice.grid, factors, ranks)


def download(
    factors: Any, ranks: Any, grid: tuple[int, int], basis_update: np.ndarray | None, run: Run, name: str
) -> Task[list[Factors]]:
    """Bring factors to the host, as the entropy coder wants them.

    Parameters
    ----------
    factors, ranks : arrays
        As :func:`choose_last` returns them.
    grid : (int, int)
        Patches down and across.
    basis_update : ndarray of int32 or None
        How V of all planes differs from the DCT basis.
    run, name
        As in :func:`choose_last`.

    Returns
    -------
    list of Factors
        Through the task: those of every plane, with as many components as it uses.
    """
    images, ends = yield from run.fetch(f"{name}factors", factors, ranks)
    used = [image[: int(end.max()) + 1] for image, end in zip(images, ends, strict=True)]
    kept = yield from run.lasting([*used, *ends])
    return [Factors(u, end, grid, basis_update) for u, end in zip(kept[: len(used)], kept[len(used) :], strict=True)]


def upload(factors: Sequence[Factors], run: Run, name: str) -> Task[tuple[Any, Any]]:
    """Bring factors of planes of one grid to where the kernels read them.

    Parameters
    ----------
    factors : sequence of Factors
        U of each plane, as the entropy decoder gives it.
    run : Run
        Where to work.
    name : str
        Prefix of the names of the memory.

    Returns
    -------
    factors, ranks : arrays of int16, shape (K, R, size), and of int32, shape (K, size)
        Through the task: U and the active ranks.
    """
    u = yield from run.stack(f"{name}u", [f.padded for f in factors])
    # A preview has fewer components than the ranks say; what follows them in the stack is not its own.
    ranks = run.upload(f"{name}ends", [np.minimum(f.ranks, len(f.padded) - 1) for f in factors])
    return u, ranks


def product(
    factors: Any,
    ranks: Any,
    step: int,
    patch_size: int,
    basis_update: np.ndarray | None,
    out: Any,
    run: Run,
    name: str,
    weighting: Weighting = PLAIN,
    local: Any = None,
    reduce: int = 1,
) -> None:
    """Multiply the factors: 2^-s U V^T, still pre-filtered.

    Parameters
    ----------
    factors, ranks : arrays
        U and the active ranks, by :func:`choose_last` or :func:`upload`.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch that is coded.
    basis_update : ndarray of int32 or None
        How V of all planes differs from the DCT basis.
    out : array of int32, shape (K, H, W), C-contiguous
        Receives the planes.
    run : Run
        Where to work; everywhere the samples are the same.
    name : str
        Prefix of the names of the memory.
    weighting, local
        As in :func:`prepare`.
    reduce : {1, 2, 4, 8}, default 1
        How many times smaller the planes are than those that are coded, and their factors by :func:`reduced_factors`.
    """
    kernels, limit, scale = run.kernels(_STAGE), magnitude_limit(step, patch_size), scale_bits(step)
    basis, side = updated_basis(patch_size, step, basis_update, weighting), patch_size // reduce
    if reduce > 1:
        basis = reduced_basis(basis, patch_size, reduce)
    kernels.product(factors, ranks, run.constant(f"{name}weights", kernels.weights(basis)), limit, scale, side, out)
    if local is not None:
        first = int(dct_basis(patch_size, step, weighting)[0, 0])
        kernels.denormalize(factors, local, first, limit, scale, side, out)
