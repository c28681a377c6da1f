"""`info` by the header alone: of paths, file objects, first bytes; no kernels, nothing of the payload."""

from __future__ import annotations

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from helpers import Pipe, picture
from test_golden import FOLDER

import imfnb
from imfnb.errors import FormatError, LimitError, OptionError
from imfnb.format.container import header_length
from imfnb.headers import Info

IMAGE = picture(17, 23)
CODED = imfnb.encode(IMAGE, profile="baseline", quality=30)
LENGTH = header_length(memoryview(CODED))


class Counting(io.BytesIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.imf")), ids=lambda path: path.name)
def test_first_bytes_say_it_all(path):
    """Every golden file: what is said of the whole file is said of its header but for what is missing."""
    data = path.read_bytes()
    length = header_length(memoryview(data))
    whole = imfnb.info(data)
    if not (whole["frames"] and "columns" not in whole):  # the first of some frames is looked into
        assert str(imfnb.info(data[:length])) == str(Info(whole, missing=len(data) - length))
    assert str(imfnb.info(path)) == str(whole) and whole["missing"] == whole["padding"] == 0
    for size in range(length):
        found = header_length(memoryview(data[:size]))
        assert found in (None, length) and (found == length or size < 16)


def test_little_is_read():
    file = Counting(b"before" + CODED + bytes(1 << 20))
    file.seek(6)
    said = imfnb.info(file)
    assert said["padding"] == 1 << 20 and said["shape"] == IMAGE.shape
    assert file.count <= 4096 and file.tell() == 6


def test_pipes_are_read_to_their_end():
    assert imfnb.info(Pipe(CODED)) == imfnb.info(CODED)


def test_header_of_a_large_stack():
    """Which is longer than what is read at first."""
    data = imfnb.encode(np.zeros((2000, 1, 1), np.uint8), axes="THW", profile="main", quality=5)
    assert header_length(memoryview(data)) > 4096 and imfnb.info(io.BytesIO(data)) == imfnb.info(data)


def test_truncated_files():
    for size in range(LENGTH):
        with pytest.raises(FormatError):
            imfnb.info(CODED[:size])
    for size in range(LENGTH, len(CODED)):
        assert imfnb.info(CODED[:size])["missing"] == len(CODED) - size


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "a.imf"
    with pytest.raises(FileNotFoundError, match=r"a\.imf"):
        imfnb.info(path)
    path.write_bytes(b"GIF89a" * 9)
    with pytest.raises(FormatError, match=r"a\.imf: not an \.imf file"):
        imfnb.info(path)
    path.write_bytes(CODED)
    with pytest.raises(LimitError, match=r"a\.imf: .*max_pixels=3"):
        imfnb.info(str(path), max_pixels=3)
    for wrong in (np.zeros((3, 3)), [CODED], None, tmp_path):
        with pytest.raises((OptionError, OSError)):
            imfnb.info(wrong)


@pytest.mark.jit
def test_components_take_the_whole_file():
    data = imfnb.encode(picture(64, 48))
    said = imfnb.info(data, components=True)
    assert {"ranks", "free_v", "components"} <= set(said) and "ranks" not in imfnb.info(data)
    assert {name: sum(sizes) for name, sizes in said["components"].items()}.items() <= said["segments"].items()
    with pytest.raises(FormatError):
        imfnb.info(data[:-1], components=True)
    bands = imfnb.encode(np.arange(600, dtype=np.uint16).reshape(10, 10, 6), psnr=40)
    assert {"steps", "energies", "components"} <= set(imfnb.info(bands, components=True))


@pytest.mark.thorough
def test_no_kernels_are_needed(tmp_path):
    (tmp_path / "a.imf").write_bytes(CODED)
    code = (
        "import sys, imfnb; print(imfnb.info(sys.argv[1])['shape'], imfnb.read_metadata(sys.argv[1]));"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'numba', 'llvmlite', 'PIL', 'scipy', 'imageio'}))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.imf")]
    root = str(pathlib.Path(imfnb.__file__).parent.parent)
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
    assert output == "(17, 23, 3) Metadata()\n[]\n"
