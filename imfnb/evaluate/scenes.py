"""Arrays by name: .npy files of any dtype and number of bands, and synthetic ones that need no file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import OptionError

__all__ = ["SYNTHETIC", "Scene", "scenes"]

#: Names of the arrays that need no file.
SYNTHETIC = ("synthetic-scene", "synthetic-dates", "synthetic-field")


@dataclass(frozen=True)
class Scene:
    """An array that is read when it is needed.

    Parameters
    ----------
    name : str
        Name of the file without its extension; with a number where the file has several arrays.
    group : str
        The data set: arrays of one file are one set, and their mean is what counts.
    load : callable
        Returns the array, shape (H, W) or (H, W, C).
    stacked : bool
        Whether all arrays of the file are the bands of this one, which is then a set for itself.
    """

    name: str
    group: str
    load: Callable[[], np.ndarray]
    stacked: bool = False

    def read(self) -> np.ndarray:
        """The array, contiguous and in native byte order."""
        array = self.load()
        return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def scenes(sources: str | os.PathLike | Iterable[str | os.PathLike] = (), *, colours: bool = False) -> list[Scene]:
    """Arrays by name.

    Parameters
    ----------
    sources : str, path or iterable of them
        Each is a .npy file, a folder of them, or one of :data:`SYNTHETIC` ("synthetic" stands for all of them, as does
        nothing at all). A file with an array of shape (H, W) or (H, W, C) is one scene; one of (T, H, W, C) is T
        scenes of one set, and one more in which all T C bands are stacked.

    colours : bool, default False
        Whether only bands 3, 2 and 1 are taken, as red, green and blue of a picture; arrays with fewer are left out,
        and so are stacked ones.

    Returns
    -------
    list of Scene
        At least one, with names of their own.

    Raises
    ------
    OptionError
        If a name means nothing, a folder holds no arrays, a file cannot be read as an array of such a shape, or two
        scenes have one name.

    See Also
    --------
    imfnb.evaluate.scenes.Scene : An array that is somewhere else.
    imfnb.evaluate.data.pictures : Pictures by name.

    Examples
    --------
    >>> from imfnb.evaluate import scenes
    >>> (scene,) = scenes.scenes("synthetic-scene")
    >>> scene.name
    'synthetic-scene'
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    found: list[Scene] = []
    for source in [os.fspath(source) for source in sources] or ["synthetic"]:
        found += _resolve(source)
    if colours:
        found = [_in_colour(scene) for scene in found if not scene.stacked and scene.read().shape[2:] > (2,)]
        if not found:
            raise OptionError("none of the arrays has three bands; give others, or leave colours out")
    names = [scene.name for scene in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"two arrays are named {twice[0]}; give files whose names differ")
    return found


def _in_colour(scene: Scene) -> Scene:
    """The scene's bands 3, 2 and 1."""
    return Scene(f"{scene.name}, rgb", f"{scene.group}, rgb", lambda: scene.load()[:, :, 2::-1])


def _resolve(source: str) -> list[Scene]:
    path = Path(source)
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".npy")
        if not files:
            raise OptionError(f"{source}: no .npy files in this folder; name files, or another folder")
        return [scene for file in files for scene in _file(file)]
    if path.is_file():
        return _file(path)
    if source == "synthetic":
        return [scene for name in SYNTHETIC for scene in _parts(name, partial(_synthetic, name))]
    if source in SYNTHETIC:
        return _parts(source, partial(_synthetic, source))
    raise OptionError(
        f"{source}: no such file or folder, and no array of that name; expected a path, 'synthetic' or one of "
        f"{', '.join(SYNTHETIC)}"
    )


def _file(path: Path) -> list[Scene]:
    def load() -> np.ndarray:
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise OptionError(f"{path}: not a .npy file of numbers ({error}); save one with numpy.save") from None

    return _parts(path.stem, load)


def _parts(name: str, load: Callable[[], np.ndarray]) -> list[Scene]:
    """The scenes of one array of two to four dimensions."""
    shape = load().shape
    if len(shape) in (2, 3):
        return [Scene(name, name, load)]
    if len(shape) != 4:
        raise OptionError(f"{name} has shape {shape}; expected (H, W), (H, W, C) or (T, H, W, C)")
    apart = [Scene(f"{name}[{t}]", name, partial(_one, load, t)) for t in range(shape[0])]
    return [*apart, Scene(f"{name}, stacked", f"{name}, stacked", partial(_stacked, load), stacked=True)]


def _one(load: Callable[[], np.ndarray], number: int) -> np.ndarray:
    return load()[number]


def _stacked(load: Callable[[], np.ndarray]) -> np.ndarray:
    array = load()
    return array.transpose(1, 2, 0, 3).reshape(*array.shape[1:3], -1)


def _synthetic(name: str) -> np.ndarray:
    """Fields with edges that a few materials mix into bands: the same samples on every machine but for rounding."""
    rng = np.random.default_rng(21)
    rows, columns = np.mgrid[:96, :112]
    fields = [np.sin(columns / 13 + 2 * np.cos(rows / 21)), np.cos((rows + columns) / 17)]
    fields += [np.tanh(np.sin(rows / (5 + k)) + np.cos(columns / (7 + k)) + 0.3 * k) for k in range(3)]
    fields += [((3 * rows + 2 * columns) // 40 % 5 - 2.0) / 2, (rows // 24 + columns // 28) % 3 - 1.0]
    materials = np.stack(fields, axis=-1)
    if name == "synthetic-field":
        return (800 + 350 * materials[:, :, :4].sum(axis=2) + rng.normal(0, 0.5, rows.shape)).astype(np.float32)
    strengths = 2.0 ** -np.arange(materials.shape[2])
    mixing = rng.normal(size=(materials.shape[2], 6)) * strengths[:, None]
    times = 3 if name == "synthetic-dates" else 1
    shots = []
    for time in range(times):
        weather = np.roll(materials, 5 * time, axis=0) * 0.2 + materials
        samples = 6000 + 900 * (weather @ mixing) + rng.normal(0, 12, (*rows.shape, mixing.shape[1]))
        shots.append(np.clip(np.rint(samples), 0, 65535).astype(np.uint16))
    return np.stack(shots) if times > 1 else shots[0]
