"""Pictures by name: a file, a folder, a photograph of scikit-image, or the Kodak set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import OptionError
from ..extras import need
from ..pictures import SUFFIXES, read_picture

__all__ = ["KODAK", "KODAK_URL", "PHOTOGRAPHS", "Picture", "pictures"]

#: Environment variable: a folder that holds data sets as folders of their own, such as kodak/kodim01.png.
OVERRIDE = "IMFNB_DATA"

KODAK_URL = "https://r0k.us/graphics/kodak/kodak/"

#: Photographs that come inside scikit-image's package, functions of :mod:`skimage.data`.
PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "retina",
    "rocket",
)

#: SHA-256 of the files of the Kodak set as r0k.us serves them (true-colour PNG, 768x512 or 512x768).
KODAK = {
    "kodim01.png": "a56e27cbf5f843c048b6af1d6e090760e9c92fadba88b7dee0205918a37523bd",
    "kodim02.png": "4f4b74a79237e311d72cad958237b5f7088d8bce1c82305ebefe1a70e3022dfd",
    "kodim03.png": "e25ca1ff2f0c0cb5fdfd5f9b0a0bb21ac4c3de3c84a67f35b09a85d3306249db",
    "kodim04.png": "e3b946107c5d3441c022f678d0c3caf1e224d81b1604ba840a4f88e562de61aa",
    "kodim05.png": "10349e963c5c813d327852f82c1795fa4148d69fedffc4c589bee458e3ac3d53",
    "kodim06.png": "363510303b715d4cbc384e1ce227e466b613a09e1b71ae985882bf8e7fbd9b18",
    "kodim07.png": "b77d3f006f42414bb242222e0482e750c0fb9e5ee8d4bed2f6f11c5605fe54a4",
    "kodim08.png": "ba23983c76b4832ee0e8af0592664756841a16779acd69f792e268fb6d13d6e7",
    "kodim09.png": "6a4361c2fc194feb4edaa9f9a4a0620fb9943e460ac7fdf037fb0f6dd6607a7d",
    "kodim10.png": "9dfb70f5867c29ff9ed6313683f19b3d867849e40fbc0c4c54a4a89df341cf23",
    "kodim11.png": "7936814b58b5387fce2e4e2488b4ec830dadd95fa9520f358ddb30990b50f2b6",
    "kodim12.png": "d78c37c2f04f23761ed2367dd77e2db584ddd4c3950833fecf89f199a8126980",
    "kodim13.png": "bc34a3ce58dea09dce1704c997171602de90cb34d0c8503a988b77f473d39b08",
    "kodim14.png": "55a94550ff18f3246c4074fd32b77b0c74447c26b6ad274d564d999c0450ba6e",
    "kodim15.png": "7538cbb80cb9103606c48b806eae57d56c885c7f90b9b3be70a41160f9cbb683",
    "kodim16.png": "a89c7268ccd4718ba424a99fc4643c572cf692ca6eae887185ceb4e9f11d2e54",
    "kodim17.png": "37afcc89fbdcb76d9518e04b2fc011027e2f4cd14b3b2f83cefd721641a47c5b",
    "kodim18.png": "1a9258c365988961d87a0598725b609139c303ad48a5aad6c503c3b1a87849aa",
    "kodim19.png": "b7450b264b1b0a411390d8931b112c27905a992520fc90569dc4b920aa32bbdc",
    "kodim20.png": "3b46c71e3b92a563820ba32936be8330c586c41f938efd94be938386aae4328a",
    "kodim21.png": "ac958597c82073f6bb65129c68f72b651db5b9efd82e11547d07350214bc268b",
    "kodim22.png": "1cee58eb1f2d9c7ebb254d208a03c783ce6cf2c4d8c2cf45e235dd23b4ce1b29",
    "kodim23.png": "e3111a2fd4da24af15d6459ef9eacfe54106b38e27b4a21821b75c3f5d2d5baf",
    "kodim24.png": "1071c68372cc5a01435c2c225a5cf7d4bb803846ec08bb6b3d6721b156d7cb96",
}


@dataclass(frozen=True)
class Picture:
    """A picture that is read when it is needed, since a folder may not fit into memory.

    Parameters
    ----------
    name : str
        File name, or name of the photograph.
    load : callable
        Returns the pixels as they are stored.
    """

    name: str
    load: Callable[[], np.ndarray]

    def read(self) -> np.ndarray:
        """The pixels: ndarray of uint8, shape (H, W) or (H, W, 3).

        Alpha is left out: most of the codecs that are compared cannot hold it.
        """
        image = self.load()
        if image.ndim == 3 and image.shape[2] == 4:
            image = image[:, :, :3]
        elif image.ndim == 3 and image.shape[2] == 1:
            image = image[:, :, 0]
        return np.ascontiguousarray(image)


def pictures(sources: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Picture]:
    """Pictures by name.

    Parameters
    ----------
    sources : str, path or iterable of them
        Each is a folder (all its pictures, in order of their names), a picture in any format that Pillow reads,
        "kodak", or one of :data:`PHOTOGRAPHS` ("photographs" stands for all of them). What exists as a file comes
        first; ``./kodak`` always means a path. Kodak's files are downloaded once, checked by their SHA-256 and kept in
        the user's cache; the environment variable IMFNB_DATA names a folder whose folder kodak/ is used instead.

    Returns
    -------
    list of Picture
        At least one, with names of their own.

    Raises
    ------
    OptionError
        If a name means nothing, a folder holds no pictures, two pictures have one name, or Kodak's files cannot be had.

    See Also
    --------
    imfnb.evaluate.data.Picture : A picture that is somewhere else.
    imfnb.evaluate.scenes.scenes : Arrays by name.

    Examples
    --------
    >>> from imfnb.evaluate import data
    >>> [picture.name for picture in data.pictures(["camera", "coffee"])]
    ['camera', 'coffee']
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    found: list[Picture] = []
    for source in sources:
        found += _resolve(os.fspath(source))
    names = [picture.name for picture in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"two pictures are named {twice[0]}; give folders whose file names differ")
    if not found:
        raise OptionError("no pictures are given; name a folder, a picture, 'kodak' or 'photographs'")
    return found


def _resolve(source: str) -> list[Picture]:
    path = Path(source)
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in SUFFIXES)
        if not files:
            raise OptionError(
                f"{source}: no pictures in this folder; expected files with the extensions {' '.join(SUFFIXES)}"
            )
        return [_file(entry) for entry in files]
    if path.is_file():
        return [_file(path)]
    if source == "kodak":
        return [Picture(name, partial(_read_kodak, name)) for name in KODAK]
    if source == "photographs":
        return [Picture(name, partial(_photograph, name)) for name in PHOTOGRAPHS]
    if source in PHOTOGRAPHS:
        return [Picture(source, partial(_photograph, source))]
    raise OptionError(
        f"{source}: no such file or folder, and no data set of that name; expected a path, 'kodak', 'photographs' or "
        f"one of {', '.join(PHOTOGRAPHS)}"
    )


def _file(path: Path) -> Picture:
    return Picture(path.name, partial(_read_file, path))


def _read_file(path: str | Path) -> np.ndarray:
    """Pixels of eight bits: the codecs that are compared take no others."""
    picture = read_picture(path, srgb=True)
    if picture.pixels.dtype != np.uint8 or picture.channels is not None:
        raise OptionError(
            f"{os.fspath(path)}: the picture has samples of {picture.pixels.dtype}, {picture.channels or 'gray'}; "
            "studies take gray, RGB and RGBA of 8 bits: convert it first"
        )
    return picture.pixels


def _photograph(name: str) -> np.ndarray:
    data = need("skimage.data")
    try:
        return np.asarray(getattr(data, name)())
    except (AttributeError, OSError) as error:  # some packagers leave pictures out
        raise OptionError(f"this scikit-image has no photograph {name}: {error}; name another, or a folder") from None


def _read_kodak(name: str) -> np.ndarray:
    return _read_file(_kodak_file(name))


def _kodak_file(name: str) -> str:
    """Path of one file of the Kodak set, downloaded if need be."""
    override = os.environ.get(OVERRIDE)
    if override:
        path = os.path.join(override, "kodak", name)
        if not os.path.isfile(path):
            raise OptionError(f"{path} is missing; {OVERRIDE} names a folder that holds kodak/{name} and its fellows")
        return path
    pooch = need("pooch")
    registry = {file: f"sha256:{digest}" for file, digest in KODAK.items()}
    store = pooch.create(path=pooch.os_cache("imfnb") / "kodak", base_url=KODAK_URL, registry=registry)
    pooch.get_logger().setLevel("WARNING")
    try:
        return store.fetch(name)
    except (OSError, ValueError) as error:  # no network, no space; another checksum
        reason = " ".join(str(error).split())
        raise OptionError(
            f"{KODAK_URL}{name} cannot be fetched: {reason}; or set {OVERRIDE} to a folder that holds kodak/{name}"
        ) from None
