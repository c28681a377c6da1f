"""Reading and writing of files: whole or not at all wherever the folder allows it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Mapping
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from .codec import decode, encode
from .errors import OptionError, name_of, naming
from .kinds import is_elsewhere, opened
from .metadata import Metadata

__all__ = ["check_name", "imread", "imwrite", "read_bytes", "write_bytes"]

# Errors of writing beside a file and renaming that need not hit whoever opens the file itself: a folder without write
# permission or with the sticky bit, a read-only folder around a file that is mounted by itself, a path at the limit of
# the system, a file system without renames or links. A full or a broken disk is not among them.
_REFUSALS = {
    errno.EACCES,
    errno.EBUSY,
    errno.EINVAL,
    errno.EMLINK,
    errno.ENAMETOOLONG,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,
}

# How a file system says that it has no fsync.
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}

# How it says that a file cannot grow.
_FULL = {errno.EFBIG, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}

# Extensions that promise something else than an .imf file: the image formats that Pillow and others write, arrays,
# documents, archives, sound and film. Whatever is not here (.bin, .dat, .tmp, a version number) promises nothing.
_PROMISES = frozenset(
    """
    .apng .avif .avifs .blp .bmp .bufr .bw .cur .dcx .dds .dib .emf .eps .fit .fits .flc .fli .ftc .ftu .gbr .gif .grib
    .icb .icns .ico .iim .im .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpeg .mpg .mpo .msp .palm .pam .pbm
    .pcd .pcx .pdf .pfm .pgm .png .pnm .ppm .ps .psd .psb .pxr .qoi .ras .rgb .rgba .sgi .tga .tif .tiff .vda .vst .webp
    .wmf .xbm .xpm .bpg .cr2 .cr3 .dng .exr .hdr .heic .heif .hif .jls .jxl .jxr .nef .svg .svgz .wdp .xcf
    .arrow .csv .czi .dcm .feather .geojson .h5 .hdf .hdf5 .json .jsonl .lif .mat .mrc .nc .nd2 .nii .npy .npz .parquet
    .pickle .pkl .pt .pth .safetensors .sqlite .tsv .vrt .zarr
    .cfg .doc .docx .htm .html .ini .log .md .odt .ppt .pptx .rst .rtf .tex .toml .txt .xls .xlsx .xml .yaml .yml
    .7z .bz2 .gz .lz4 .rar .tar .tgz .xz .zip .zst
    .aac .avi .flac .m4a .mkv .mov .mp3 .mp4 .ogg .wav .webm
    .c .cpp .exe .h .js .py .sh
    """.split()  # noqa: SIM905 - a hundred quoted words would be harder to read
)


def check_name(target: str | bytes | os.PathLike) -> None:
    """Refuse to give an .imf file a name that promises another format.

    Parameters
    ----------
    target : path
        Where an .imf file is to go. Names without an extension, or with one of no known format, are fine.

    Raises
    ------
    OptionError
        If the extension is that of another format, such as .jpg or .npy.
    """
    name = name_of(target) or ""
    suffix = os.path.splitext(name)[1]
    if suffix.lower() in _PROMISES:
        error = OptionError(f"the name promises the format {suffix}, but the result is an .imf file; name it .imf")
        error.filename = name
        raise error


def read_bytes(source: str | os.PathLike | BinaryIO) -> bytes:
    """All bytes of a path or of a binary file object."""
    with naming(source):
        if hasattr(source, "read"):
            return source.read()
        with opened(source, "rb") as file:
            return file.read()


def write_bytes(target: str | os.PathLike | BinaryIO, data: bytes, *, overwrite: bool = True) -> None:
    """Write a file whole or not at all, wherever the folder allows it.

    Parameters
    ----------
    target : path or binary file object
        For a path, the bytes go to a new file in the same folder that is then renamed, so that a failure (a full
        disk, an interruption) leaves what was there before. Permissions, owner, access list and user attributes of a
        file that is replaced are kept; its other names (hard links) keep the old content.

        Where only the file itself may be written to (a folder without write permission, a single file mounted into a
        container, the file of another user, a name at the limit of the system, a file system without renames), it is
        written in place. Readers may then see half of it, its other names see the new content, and an interruption
        or a broken disk in the middle of the write loses the old content; a full disk does not where space can be
        reserved (POSIX). A new file that cannot be completed is removed.

        Pipes and devices are written to, links are followed. What fsspec writes elsewhere is there once it is closed.
    data : bytes
        What to write.
    overwrite : bool, default True
        Whether an existing file may be replaced. If not, the check is one with the creation of the file: one that
        another process creates at the same time is not lost.

    Raises
    ------
    FileExistsError
        If there is such a file and `overwrite` is False.
    OSError
        If the file cannot be written; the temporary file is removed.
    """
    if hasattr(target, "write"):
        with naming(target):
            target.write(data)
        return
    if is_elsewhere(target):
        with naming(target):
            _write_elsewhere(target, data, overwrite)
        return
    name = os.fsdecode(target)
    try:
        _write_path(name, data, overwrite)
    except OSError as error:  # which may name the temporary file: name the one that the caller knows
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), name) from None


def _write_elsewhere(target: Any, data: bytes, overwrite: bool) -> None:
    if not overwrite and target.fs.exists(target.path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    with opened(target, "wb") as file:
        file.write(data)


def _write_path(name: str, data: bytes, overwrite: bool) -> None:
    try:
        old = os.stat(name)
    except FileNotFoundError:
        old = None
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if old is not None and not stat.S_ISREG(old.st_mode):  # a pipe or a device is written to, not replaced
        with open(name, "wb") as file:
            file.write(data)
        return
    if old is not None and not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    path = os.path.realpath(name) if os.path.islink(name) else name  # the file itself is replaced, not the link
    if _write_beside(path, data, old, overwrite):
        return
    if old is None:
        _create(path, data)
    else:
        _write_in_place(path, data, old.st_size)


def _write_beside(path: str, data: bytes, old: os.stat_result | None, overwrite: bool) -> bool:
    """Write a new file in the same folder and give it its name; False where that is not possible."""
    # The name owes nothing to the target's, which may be as long as the file system allows.
    temporary = os.path.join(os.path.dirname(path), f"imfnb-{secrets.token_hex(6)}.tmp")
    # What replaces a file is nobody else's to read before it has that file's permissions.
    mode = 0o666 if old is None else 0o600
    try:
        file = open(temporary, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115 - closed below
    except OSError as error:
        if error.errno in _REFUSALS:
            return False
        raise
    try:
        with file:
            file.write(data)
            file.flush()
            _sync(file)
        try:
            if old is not None:
                _take_over(temporary, path, old)
            if overwrite:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # unlike a rename, this fails where the name is taken
        except OSError as error:
            if error.errno in _REFUSALS or (overwrite and error.errno == errno.EEXIST):
                return False
            raise
        return True
    finally:
        try:
            os.unlink(temporary)
        except OSError:  # it has been renamed
            pass


def _take_over(temporary: str, path: str, old: os.stat_result) -> None:
    """Give a file the owner, the attributes and the permissions of the one that it is going to replace."""
    new = os.stat(temporary)
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.chown(temporary, old.st_uid, old.st_gid)
    for name, value in _attributes(path).items():
        os.setxattr(temporary, name, value)
    os.chmod(temporary, stat.S_IMODE(old.st_mode))


def _attributes(path: str) -> dict[str, bytes]:
    """The extended attributes that belong to a file's user, and its access list."""
    if not hasattr(os, "listxattr"):  # only Linux has them here
        return {}
    try:
        names = [n for n in os.listxattr(path) if n.startswith("user.") or n == "system.posix_acl_access"]
        return {name: os.getxattr(path, name) for name in names}
    except OSError:  # the file system has none, or they may not be read
        return {}


def _create(path: str, data: bytes) -> None:
    """Write a file that did not exist, under its own name from the start."""
    file = open(path, "xb")  # noqa: SIM115 - closed below, and gone unless it is whole
    try:
        with file:
            file.write(data)
            file.flush()
            _sync(file)
    except BaseException:
        os.unlink(path)
        raise


def _write_in_place(path: str, data: bytes, size: int) -> None:
    """Write over a file of `size` bytes."""
    # Not created: systems refuse that for the files of others in folders that everybody may write to. Not truncated:
    # what the file has of the disk stays its own.
    with open(path, "wb", opener=_open_existing) as file:
        _reserve(file, size, len(data))
        file.write(data)
        file.truncate()
        _sync(file)


def _open_existing(path: str, flags: int) -> int:
    return os.open(path, flags & ~(os.O_CREAT | os.O_TRUNC))


def _reserve(file: BinaryIO, size: int, wanted: int) -> None:
    """Let a file of `size` bytes grow to `wanted` before anything in it is changed: a full disk then loses nothing."""
    if wanted <= size or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), size, wanted - size)
    except OSError as error:
        os.ftruncate(file.fileno(), size)
        if error.errno in _FULL:
            raise


def _sync(file: BinaryIO) -> None:
    """Have the bytes on the disk, where the file system can say so."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def imread(source: str | os.PathLike | BinaryIO, **options: Any) -> np.ndarray:
    """Read an .imf file.

    Parameters
    ----------
    source : path, UPath, OpenFile or binary file object
        Where to read from: a local path, or what fsspec opens.
    **options
        Passed on to :func:`imfnb.decode`.

    Returns
    -------
    ndarray
        The image.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If it is not a valid .imf file. This and every other error names the file.

    See Also
    --------
    imwrite : Writes such files.
    decode : From bytes instead of a file.
    info : What a file says of itself, without decoding it.
    read_metadata : Profile, EXIF, text and the like.

    Examples
    --------
    >>> import io, numpy as np, imfnb
    >>> file = io.BytesIO(imfnb.encode(np.full((8, 12), 7, np.uint8)))
    >>> imfnb.imread(file).shape
    (8, 12)
    """
    with naming(source):
        return decode(read_bytes(source), **options)


def imwrite(
    target: str | os.PathLike | BinaryIO,
    image: Any,
    *,
    icc_profile: bytes | None = None,
    exif: Any = None,
    xmp: bytes | str | None = None,
    dpi: tuple[float, float] | float | None = None,
    text: Mapping[str, str] | None = None,
    **options: Any,
) -> int:
    """Write an image as an .imf file.

    Parameters
    ----------
    target : path, UPath, OpenFile or binary file object
        Where to write; an existing file is replaced once the new one is complete. Where the folder does not allow
        that, it is written over in place, and an interruption then loses the old content.
    image : array_like
        The image; see :func:`imfnb.encode`.
    icc_profile, exif, xmp, dpi, text : optional
        What the file carries beside its pixels; see :class:`imfnb.Metadata`.
    **options
        Passed on to :func:`imfnb.encode`, which takes `metadata` as a whole, too.

    Returns
    -------
    int
        Number of bytes written.

    Raises
    ------
    OSError
        If the file cannot be written.
    OptionError
        If the image or an option cannot be used, or the name's extension is that of another format, such as .png.
        This and every other error names the file.

    See Also
    --------
    imread : Reads them.
    encode : To bytes instead of a file.

    Examples
    --------
    >>> import os, tempfile, numpy as np, imfnb
    >>> image = np.full((8, 12, 3), 7, np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "seven.imf")
    ...     size = imfnb.imwrite(path, image, quality=80, text={"Title": "Seven"})
    ...     back, on_disk = imfnb.imread(path), os.path.getsize(path)
    >>> size == on_disk, np.array_equal(back, image)
    (True, True)
    """
    with naming(target):
        if not hasattr(target, "write"):
            check_name(target)
        given = {"icc_profile": icc_profile, "exif": exif, "xmp": xmp, "dpi": dpi, "text": text}
        given = {name: value for name, value in given.items() if value is not None}
        if given:
            if options.get("metadata") is not None:
                raise OptionError(f"metadata and {' and '.join(given)} are given; expected one of them")
            options["metadata"] = Metadata(**given)
        data = encode(image, **options)
        write_bytes(target, data)
    return len(data)
