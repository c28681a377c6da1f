"""Files: paths and file objects, writes that happen whole or not at all, links, folders that allow only the file."""

from __future__ import annotations

import builtins
import contextlib
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
from imfnb.files import check_name, write_bytes

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
    with pytest.raises(imfnb.FormatError, match=r"not an .imf file"):
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
        file = builtins.open(path, mode, *args, **kwargs)  # noqa: SIM115 - the caller closes it
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


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        *[(stage, code) for stage in ("open", "write", "fsync") for code in (errno.ENOSPC, errno.EACCES, errno.EIO)],
        *[("replace", code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EIO)],
    ],
)
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


# ------------------------------------------------------------------------------- where only the file may be written to

# What systems say where writing beside a file and renaming is not possible.
REFUSALS = [errno.EACCES, errno.EBUSY, errno.ENAMETOOLONG, errno.ENOTSUP, errno.EPERM, errno.EROFS, errno.EXDEV]


def refuse_beside(monkeypatch, code: int) -> None:
    """No file can be made in the folder, except those that are named by the test."""

    def opened(path, *args, **kwargs):
        if str(path).endswith(".tmp"):
            raise OSError(code, os.strerror(code), path)
        return builtins.open(path, *args, **kwargs)

    monkeypatch.setattr(files, "open", opened, raising=False)


@contextlib.contextmanager
def unprivileged():
    """The rights of a user who is not root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("length", [238, 239, 242, 243, 250, 251, 255])
@pytest.mark.parametrize("letter", ["n", "画"])
def test_names_of_every_length(tmp_path, length, letter):
    """Whatever `open` can create and replace."""
    count, rest = divmod(length - len(".imf"), len(letter.encode()))
    path = tmp_path / (letter * count + "x" * rest + ".imf")
    assert len(path.name.encode()) == length
    for rank in (1, 2):
        imwrite(path, IMAGE, rank=rank)
        assert path.read_bytes() == encode(IMAGE, rank=rank) and listing(tmp_path) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("data", [b"", b"new", b"new and longer than the old content"])
def test_folder_without_write_permission(tmp_path, monkeypatch, data):
    path = tmp_path / "a.imf"
    path.write_bytes(b"the old content")
    path.chmod(0o666)
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    with unprivileged():
        write_bytes("a.imf", data)
        with pytest.raises(PermissionError) as error:
            write_bytes("b.imf", data)
    tmp_path.chmod(0o755)
    assert error.value.filename == "b.imf"
    assert path.read_bytes() == data and listing(tmp_path) == ["a.imf"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root has files of other users")
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_file_of_another_user_stays_theirs(tmp_path, monkeypatch, mode):
    path = tmp_path / "a.imf"
    path.write_bytes(b"old")
    path.chmod(0o666)
    tmp_path.chmod(mode)
    monkeypatch.chdir(tmp_path)
    with unprivileged():
        write_bytes("a.imf", b"new")
    assert path.read_bytes() == b"new" and path.stat().st_uid == 0 and listing(tmp_path) == ["a.imf"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_root_gives_the_owner_back(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(b"old")
    os.chown(path, 65534, 65534)
    write_bytes(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534) and path.read_bytes() == b"new"


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("stage", ["open", "replace", "chmod"])
def test_in_place_where_nothing_else_is_possible(tmp_path, monkeypatch, stage, code):
    """A file that is mounted by itself, a folder with the sticky bit, a file system without renames."""
    path = tmp_path / "a.imf"
    path.write_bytes(b"old" * 1000)
    number = path.stat().st_ino
    if stage == "open":
        refuse_beside(monkeypatch, code)
    else:
        monkeypatch.setattr(f"os.{stage}", failing(code))
    imwrite(path, IMAGE, rank=1)
    assert path.read_bytes() == encode(IMAGE, rank=1) and path.stat().st_ino == number
    assert listing(tmp_path) == ["a.imf"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("code", REFUSALS)
def test_new_file_where_none_can_be_made_beside(tmp_path, monkeypatch, code, overwrite):
    refuse_beside(monkeypatch, code)
    write_bytes(tmp_path / "a.imf", b"new", overwrite=overwrite)
    assert (tmp_path / "a.imf").read_bytes() == b"new" and listing(tmp_path) == ["a.imf"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_new_file_that_fails_is_removed(tmp_path, monkeypatch, overwrite):
    refuse_beside(monkeypatch, errno.EACCES)
    monkeypatch.setattr("os.fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=r"a\.imf"):
        write_bytes(tmp_path / "a.imf", b"new", overwrite=overwrite)
    assert listing(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved")
def test_full_disk_in_place_keeps_the_old_content(tmp_path, monkeypatch):
    refuse_beside(monkeypatch, errno.EACCES)
    (tmp_path / "a.imf").write_bytes(b"old")
    monkeypatch.setattr("os.posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "a.imf", b"new content")
    assert (tmp_path / "a.imf").read_bytes() == b"old"
    monkeypatch.setattr("os.posix_fallocate", failing(errno.EOPNOTSUPP))  # a file system that cannot say
    write_bytes(tmp_path / "a.imf", b"new content")
    assert (tmp_path / "a.imf").read_bytes() == b"new content"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_file_system_without_fsync(tmp_path, monkeypatch, code):
    monkeypatch.setattr("os.fsync", failing(code))
    for content in (b"one", b"two"):
        write_bytes(tmp_path / "a.imf", content)
        assert (tmp_path / "a.imf").read_bytes() == content and listing(tmp_path) == ["a.imf"]


# ---------------------------------------------------------------------------------------------- what a file had is kept


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_permissions_are_kept_and_nobody_reads_the_new_file_before(tmp_path, monkeypatch, mode):
    path, seen, fsync = tmp_path / "a.imf", [], os.fsync
    path.write_bytes(b"old")
    path.chmod(mode)

    def look(descriptor):
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", look)
    write_bytes(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode and seen == [0o600] and path.read_bytes() == b"new"


def test_attributes_are_kept(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.note", b"kept")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    write_bytes(path, b"new")
    assert os.getxattr(path, "user.note") == b"kept" and path.read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links here")
def test_other_names_keep_the_old_content(tmp_path):
    """A backup made of hard links stays what it was."""
    (tmp_path / "backup").write_bytes(b"old")
    os.link(tmp_path / "backup", tmp_path / "a.imf")
    write_bytes(tmp_path / "a.imf", b"new")
    assert (tmp_path / "backup").read_bytes() == b"old" and (tmp_path / "a.imf").read_bytes() == b"new"


# ------------------------------------------------------------------------------------------------- without overwriting


@pytest.mark.parametrize("links", [True, False])
def test_no_overwriting(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr("os.link", failing(errno.EPERM))
    path = tmp_path / "a.imf"
    write_bytes(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError) as error:
        write_bytes(path, b"second", overwrite=False)
    assert error.value.filename == os.fspath(path)
    assert path.read_bytes() == b"first" and listing(tmp_path) == ["a.imf"]


@pytest.mark.parametrize("links", [True, False])
def test_file_that_appears_in_the_meantime_is_not_lost(tmp_path, monkeypatch, links):
    path = tmp_path / "a.imf"

    def sync(_):
        path.write_bytes(b"of another process")

    monkeypatch.setattr("os.fsync", sync)
    if not links:
        monkeypatch.setattr("os.link", failing(errno.EPERM))
    with pytest.raises(FileExistsError):
        write_bytes(path, b"ours", overwrite=False)
    assert path.read_bytes() == b"of another process" and listing(tmp_path) == ["a.imf"]


def test_dangling_link_makes_its_target_without_overwriting(tmp_path):
    (tmp_path / "link.imf").symlink_to(tmp_path / "target.imf")
    write_bytes(tmp_path / "link.imf", b"new", overwrite=False)
    assert (tmp_path / "target.imf").read_bytes() == b"new" and (tmp_path / "link.imf").is_symlink()


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a.png", "A.JPG", "a.imf.npy", "a.gz", "a.json", b"a.tiff", pathlib.Path("a.pdf")])
def test_names_that_promise_another_format(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(imfnb.OptionError, match="the name promises the format") as error:
        imwrite(name, IMAGE, rank=1)
    assert str(error.value).startswith(os.fsdecode(name)) and listing(tmp_path) == []


@pytest.mark.parametrize("name", ["a", "a.imf", "a.IMF", "a.png.imf", ".png", "a.bin", "a.v2", "a.", "photo.png/a"])
def test_names_that_promise_nothing_else(name):
    check_name(name)


def test_every_error_names_the_file(tmp_path):
    bad, good = tmp_path / "bad.imf", tmp_path / "good.imf"
    bad.write_bytes(b"rubbish")
    imwrite(good, IMAGE, rank=1)
    for call in (
        lambda: imfnb.imread(bad),
        lambda: imfnb.imread(os.fsencode(bad)),
        lambda: imfnb.imread(good, max_pixels=5),
        lambda: imfnb.imread(good, device="tpu"),
        lambda: imwrite(good, IMAGE, rank=0),
        lambda: imwrite(good, IMAGE.astype(float), rank=1),
    ):
        with pytest.raises(imfnb.ImfError) as error:
            call()
        assert str(error.value).startswith(str(tmp_path)) and str(error.value).count(str(tmp_path)) == 1
    with open(bad, "rb") as file, pytest.raises(imfnb.FormatError, match=r"bad\.imf: not an \.imf file"):
        imfnb.imread(file)


def test_file_object_that_fails_is_named(tmp_path):
    class Broken(io.BytesIO):
        name = "remote.imf"

        def read(self, *_):
            raise OSError("connection lost")

        def write(self, *_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"connection lost.*remote\.imf"):
        imfnb.imread(Broken())
    with pytest.raises(OSError, match=r"No space left.*remote\.imf"):
        imwrite(Broken(), IMAGE, rank=1)
