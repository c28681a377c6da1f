"""Files: paths and file objects, writes that happen whole or not at all, links."""

from __future__ import annotations

import builtins
import errno
import io
import os
import pathlib
import stat

import numpy as np
import pytest
from helpers import encode, imwrite, picture

import imfnb
from imfnb import files

IMAGE = picture(9, 12)


def listing(folder: pathlib.Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("kind", [str, pathlib.Path, os.fsencode])
def test_paths_of_every_kind(tmp_path, kind):
    path = kind(str(tmp_path / "ä b.imf"))
    count = imwrite(path, IMAGE, rank=2)
    assert count == os.path.getsize(path)
    with open(path, "rb") as file:
        assert file.read() == encode(IMAGE, rank=2)
    np.testing.assert_array_equal(imfnb.imread(path), imfnb.decode(encode(IMAGE, rank=2)))
    assert listing(tmp_path) == ["ä b.imf"]


def test_file_objects():
    buffer = io.BytesIO()
    assert imwrite(buffer, IMAGE, rank=2) == len(buffer.getvalue())
    assert not buffer.closed
    buffer.seek(0)
    np.testing.assert_array_equal(imfnb.imread(buffer), imfnb.decode(buffer.getvalue()))


def test_options_are_passed_on(tmp_path):
    path = tmp_path / "a.imf"
    imwrite(path, IMAGE, rank=(3, 2, 1), patch_size=4, threads=1)
    assert imfnb.info(path.read_bytes())["ranks"] == (3, 2, 1)
    out = np.empty(IMAGE.shape, np.uint8)
    assert imfnb.imread(path, out=out, device="reference") is out
    with pytest.raises(imfnb.LimitError):
        imfnb.imread(path, max_pixels=10)


def test_relative_path_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imwrite("a.imf", IMAGE, rank=1)
    assert imfnb.imread("a.imf").shape == IMAGE.shape


def test_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(b"old" * 10_000)
    count = imwrite(path, IMAGE, rank=1)
    assert path.stat().st_size == count and listing(tmp_path) == ["a.imf"]


def test_readers_of_the_old_file_keep_it(tmp_path):
    """The new file is another one under the same name: nobody ever sees half of it."""
    path = tmp_path / "a.imf"
    path.write_bytes(b"old")
    with open(path, "rb") as reader:
        imwrite(path, IMAGE, rank=1)
        assert reader.read() == b"old"


def test_link_is_followed_and_kept(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    target, link = folder / "target.imf", tmp_path / "link.imf"
    target.write_bytes(b"old")
    link.symlink_to(target)
    imwrite(link, IMAGE, rank=1)
    assert link.is_symlink() and target.read_bytes() == encode(IMAGE, rank=1)
    assert listing(tmp_path) == ["link.imf", "real"] and listing(folder) == ["target.imf"]


def test_dangling_link_makes_its_target(tmp_path):
    link = tmp_path / "link.imf"
    link.symlink_to(tmp_path / "target.imf")
    imwrite(link, IMAGE, rank=1)
    assert link.is_symlink() and (tmp_path / "target.imf").is_file()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_written_to_not_replaced(tmp_path):
    """Renaming a file over /dev/null or a named pipe would destroy it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        imwrite(path, IMAGE, rank=1)
        assert stat.S_ISFIFO(os.stat(path).st_mode)
        assert os.read(reader, 10_000) == encode(IMAGE, rank=1)
    finally:
        os.close(reader)


# ------------------------------------------------------------------------------------------------------------ failures


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        imfnb.imread(tmp_path / "none.imf")
    assert error.value.filename == os.fspath(tmp_path / "none.imf") or error.value.filename == tmp_path / "none.imf"


def test_file_that_is_no_imf(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(imfnb.FormatError, match="not an .imf file"):
        imfnb.imread(path)


def test_empty_file(tmp_path):
    (tmp_path / "a.imf").touch()
    with pytest.raises(imfnb.FormatError, match="0 bytes"):
        imfnb.imread(tmp_path / "a.imf")


def test_text_file_object():
    with pytest.raises(imfnb.OptionError, match="data is a str"):
        imfnb.imread(io.StringIO("text"))


def test_directory_as_output(tmp_path):
    with pytest.raises(IsADirectoryError) as error:
        imwrite(tmp_path, IMAGE, rank=1)
    assert error.value.filename == os.fspath(tmp_path) and listing(tmp_path) == []


def test_directory_as_input(tmp_path):
    with pytest.raises(IsADirectoryError):
        imfnb.imread(tmp_path)


def test_missing_folder_is_named_by_the_path_that_was_given(tmp_path):
    path = tmp_path / "none" / "a.imf"
    with pytest.raises(FileNotFoundError) as error:
        imwrite(path, IMAGE, rank=1)
    assert error.value.filename == os.fspath(path)


def failing_write(code: int):
    """An `open` whose files refuse to be written to."""

    def opened(path, mode="r", *args, **kwargs):
        file = builtins.open(path, mode, *args, **kwargs)
        if "r" in mode:
            return file

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, data):
                file.write(data[:5])
                raise OSError(code, os.strerror(code))

        return Full()

    return opened


def failing(code: int):
    def call(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("stage", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_failure_keeps_the_old_file_and_leaves_no_temporary(tmp_path, monkeypatch, stage, code):
    """A full disk, a forbidden folder, a broken disk, at any step of the write."""
    path = tmp_path / "a.imf"
    path.write_bytes(b"old")
    if stage in ("open", "write"):
        monkeypatch.setattr(files, "open", failing(code) if stage == "open" else failing_write(code), raising=False)
    else:
        monkeypatch.setattr(f"os.{stage}", failing(code))
    with pytest.raises(OSError, match=r"a\.imf") as error:
        imwrite(path, IMAGE, rank=1)
    assert error.value.errno == code and error.value.strerror == os.strerror(code)
    assert error.value.filename == os.fspath(path)
    assert isinstance(error.value, PermissionError) == (code == errno.EACCES)
    assert path.read_bytes() == b"old" and listing(tmp_path) == ["a.imf"]


def test_interruption_keeps_the_old_file_and_leaves_no_temporary(tmp_path, monkeypatch):
    path = tmp_path / "a.imf"
    path.write_bytes(b"old")

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        imwrite(path, IMAGE, rank=1)
    assert path.read_bytes() == b"old" and listing(tmp_path) == ["a.imf"]


def test_option_errors_come_before_anything_is_written(tmp_path):
    with pytest.raises(imfnb.OptionError):
        imwrite(tmp_path / "a.imf", IMAGE, rank=0)
    assert listing(tmp_path) == []
