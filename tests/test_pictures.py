"""Pictures in other formats: nothing is lost in silence, damage is one error, nothing of Pillow's is changed."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from helpers import Pipe, picture
from PIL import Image, ImageCms
from PIL import __version__ as pillow_version

import imfnb
from imfnb.errors import LimitError, OptionError
from imfnb.pictures import Picture, read_picture
from imfnb.pictures.tags import directories, upright_exif

RGB = picture(31, 45)
GRAY = RGB[:, :, 1].copy()
DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")


def saved(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    """A picture as Pillow writes it."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def read(data: bytes, **options) -> Picture:
    return read_picture(io.BytesIO(data), **options)


def pixels(data: bytes, **options) -> np.ndarray:
    return read(data, **options).pixels


def refusal(data: bytes, **options) -> str:
    """The text of the error that a file ends with: one line."""
    with pytest.raises(OptionError) as error:
        read(data, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def chunk(kind: bytes, body: bytes, check: int | None = None) -> bytes:
    check = zlib.crc32(kind + body) if check is None else check
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", check)


def png(depth: int, color: int, rows: list[bytes], width: int, *between: bytes) -> bytes:
    """A PNG of raw rows, with chunks between header and pixels."""
    head = chunk(b"IHDR", struct.pack(">LLBBBBB", width, len(rows), depth, color, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(between) + body + chunk(b"IEND", b"")


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks before its pixels."""
    return data[:33] + b"".join(chunks) + data[33:]


def with_segments(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with segments behind its first marker."""
    extra = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + extra + data[2:]


def tiff(image: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, **{"metadata": None, "software": False, **options})
    return buffer.getvalue()


def exif(**tags) -> bytes:
    block = Image.Exif()
    for name, value in tags.items():
        block[{"orientation": 274, "copyright": 33432}[name]] = value
    return block.tobytes()


# ------------------------------------------------------------------------------------------------ whole and as it looks

LOSSLESS = ("BMP", "DDS", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "JPEG2000")


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_back_the_samples(kind):
    found = read(saved(RGB, kind))
    np.testing.assert_array_equal(found.pixels, RGB)
    assert found.dropped == () and found.pixels.flags.c_contiguous and found.pixels.flags.writeable


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_come_close(kind):
    found = read(saved(RGB, kind))
    assert found.pixels.shape == RGB.shape and abs(found.pixels - RGB.astype(float)).mean() < 9
    assert found.dropped == ()


def test_path_and_file_object(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(RGB, "PNG"))
    for source in (path, str(path), bytes(path)):
        np.testing.assert_array_equal(read_picture(source).pixels, RGB)
    with open(path, "rb") as file:
        file.seek(9)
        np.testing.assert_array_equal(read_picture(file).pixels, RGB)
        assert not file.closed


def test_stream_that_cannot_seek():
    np.testing.assert_array_equal(read_picture(Pipe(saved(RGB, "PNG"))).pixels, RGB)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind, orientation):
    stored = np.zeros((16, 32), np.uint8)
    stored[:8, :8] = 255
    found = read(saved(Image.fromarray(stored).convert("RGB"), kind, exif=exif(orientation=orientation)))
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].T,
        8: np.rot90(stored),
    }[orientation]
    np.testing.assert_array_equal(found.pixels[:, :, 0] > 128, upright > 128)
    assert found.dropped == ()  # which is applied, not lost


def test_avif_is_turned_as_its_boxes_say_once():
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = 255
    found = read(saved(stored, "AVIF", exif=exif(orientation=6), quality=100))
    np.testing.assert_array_equal(found.pixels[:, :, 0] > 128, np.rot90(stored[:, :, 0], -1) > 128)


# --------------------------------------------------------------------------------------------------------- transparency


def test_one_colour_of_rgb_is_transparent():
    image = RGB.copy()
    image[:9] = 255, 0, 255
    found = pixels(saved(image, "PNG", transparency=(255, 0, 255)))
    np.testing.assert_array_equal(found[:, :, :3], image)
    np.testing.assert_array_equal(found[:, :, 3] == 0, (image == (255, 0, 255)).all(axis=2))


def test_one_level_of_gray_is_transparent():
    found = pixels(saved(GRAY, "PNG", transparency=int(GRAY[3, 3])))
    np.testing.assert_array_equal(found, np.dstack([GRAY] * 3 + [np.where(GRAY == GRAY[3, 3], 0, 255)]))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("high", [0, 0xFF00])
def test_transparency_of_gray_of_every_depth(depth, high):
    """The key is a sample as it is stored, of which only the low bits count."""
    levels = np.arange(16) % 2**depth
    digits = "".join(format(level, f"0{depth}b") for level in levels)
    row = int(digits, 2).to_bytes(len(digits) // 8, "big")
    for key in {0, 1, 2**depth - 1}:
        body = struct.pack(">H", key | high)
        found = pixels(png(depth, 0, [row] * 3, 16, chunk(b"tRNS", body)))
        np.testing.assert_array_equal(found[0, :, 0], levels * 255 // (2**depth - 1))
        np.testing.assert_array_equal(found[0, :, 3], np.where(levels == key, 0, 255))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_transparency(kind):
    image = Image.fromarray(RGB).quantize(16)
    found = pixels(saved(image, kind, transparency=3))
    np.testing.assert_array_equal(found[:, :, 3] == 0, np.asarray(image) == 3)
    np.testing.assert_array_equal(found[found[:, :, 3] > 0, :3], np.asarray(image.convert("RGB"))[found[:, :, 3] > 0])


def test_palette_with_a_table_of_alpha():
    image = Image.fromarray(RGB).quantize(16)
    table = bytes(range(0, 160, 10))
    found = pixels(saved(image, "PNG", transparency=table))
    np.testing.assert_array_equal(found[:, :, 3], np.frombuffer(table, np.uint8)[np.asarray(image)])


def test_palette_without_transparency():
    image = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(pixels(saved(image, "PNG")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_kept(kind):
    image = np.dstack([RGB, GRAY])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(pixels(saved(image, kind, **options)), image)


def test_gray_with_alpha():
    image = np.dstack([GRAY, RGB[:, :, 0]])
    expected = image[:, :, [0, 0, 0, 1]]
    np.testing.assert_array_equal(pixels(saved(image, "PNG")), expected)
    np.testing.assert_array_equal(
        pixels(tiff(image, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])), expected
    )


def test_premultiplied_alpha_of_tiff():
    alpha = np.full(GRAY.shape, 128, np.uint8)
    halved = (RGB // 2).astype(np.uint8)
    found = pixels(tiff(np.dstack([halved, alpha]), photometric="rgb", extrasamples=["assocalpha"]))
    assert (found[:, :, 3] == 128).all()
    assert abs(found[:, :, :3].astype(int) - halved.astype(int) * 255 // 128).max() <= 1


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "TIFF"), ("CMYK", "JPEG"), ("YCbCr", "TIFF"), ("LAB", "TIFF"), ("1", "TIFF")]
)
def test_other_colours_become_rgb(mode, kind):
    if mode == "YCbCr" and int(pillow_version.partition(".")[0]) < 13:
        pytest.skip("before 13, Pillow takes YCbCr without compression for four samples a pixel and reads nothing")
    smooth = Image.fromarray(np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 32, 0)).convert("RGB")
    image = smooth.convert(mode)
    found = pixels(saved(image, kind))
    shown = np.asarray(image.convert("L" if mode == "1" else "RGB")).astype(int)
    assert abs(found - shown).mean() < 3


# ------------------------------------------------------------------------------------------------------ what is refused


def test_netpbm_of_too_many_levels():
    for data in (b"P6\n5 4\n65536\n" + bytes(120), b"P2\n#\n5 4 70000\n" + b"0 " * 20):
        assert "end at 65535" in refusal(data)


def test_netpbm_of_few_levels_is_stretched():
    np.testing.assert_array_equal(pixels(b"P5\n4 1\n3\n\0\1\2\3"), [[0, 85, 170, 255]])


def test_volume_of_tiff():
    data = tiff(np.zeros((5, 32, 32), np.uint8), photometric="minisblack", volumetric=True, tile=(16, 16))
    assert "volume (5 x 32 x 32" in refusal(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_valid_tiff_is_read_or_called_a_tiff(order, bigtiff):
    """Pillow has no reader for BigTIFF in big-endian order."""
    data = tiff(RGB, photometric="rgb", byteorder=order, bigtiff=bigtiff)
    try:
        np.testing.assert_array_equal(pixels(data), RGB)
    except OptionError as error:
        assert "this is a TIFF file" in str(error) and "3 unsigned samples of 8 bits, RGB, no compression" in str(error)


def test_tiff_of_a_compression_without_reader():
    data = bytearray(tiff(RGB, photometric="rgb"))
    place = data.index(struct.pack("<HHLH", 259, 3, 1, 1))
    data[place + 8 : place + 10] = struct.pack("<H", 50002)
    text = refusal(bytes(data))
    assert "this is a TIFF file" in text and "JPEG XL compression" in text


def jpeg2000(depths: list[int]) -> bytes:
    """The beginning of a JPEG 2000 codestream; the number of bits less one, 128 added for signed samples."""
    sizes = struct.pack(">HLLLLLLLLH", 0, 5, 4, 0, 0, 5, 4, 0, 0, len(depths))
    body = sizes + b"".join(bytes([depth, 1, 1]) for depth in depths)
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    ("depths", "found"), [([15], "16-bit"), ([11] * 3, "12-bit"), ([135], "signed samples"), ([7] * 5, "5 bands")]
)
def test_jpeg2000_of_other_samples(depths, found):
    assert found in refusal(jpeg2000(depths))


def test_deep_jpeg2000_in_boxes():
    assert "16-bit samples" in refusal(saved(Image.new("I;16", (20, 10)), "JPEG2000"))


def test_deep_jpeg():
    data = bytearray(saved(RGB, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert "12-bit samples" in refusal(bytes(data))


@pytest.mark.parametrize(("bits", "found"), [(0x40, "10-bit"), (0x60, "12-bit")])
def test_deep_avif(bits, found):
    data = bytearray(saved(RGB, "AVIF"))
    place = data.index(b"av1C\x81")
    data[place + 6] |= bits
    assert f"{found} samples, deeper than 8 bits" in refusal(bytes(data))


def test_deep_sgi():
    head = struct.pack(">HBBHHHH", 474, 0, 2, 2, 5, 4, 1).ljust(512, b"\0")
    assert "16-bit samples" in refusal(head + bytes(40))


def test_bmp_of_five_bits_is_read():
    """16 bits a pixel are no 16-bit samples."""
    rows = struct.pack("<4H", 0, 0x7C00, 0x03E0, 0x001F)
    head = struct.pack("<LllHHLLllLL", 40, 4, 1, 1, 16, 0, len(rows), 0, 0, 0, 0)
    data = struct.pack("<2sLHHL", b"BM", 54 + len(rows), 0, 0, 54) + head + rows
    np.testing.assert_array_equal(pixels(data)[0], [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]])


# ------------------------------------------------------------------------------------------------------- several images

ROLLED = [np.roll(RGB, 8 * shift, axis=1) for shift in range(3)]


def animation(kind: str, **options) -> bytes:
    first, *others = map(Image.fromarray, ROLLED)
    options = {"lossless": True} | options if kind == "WEBP" else options
    return saved(first, kind, save_all=True, append_images=others, **options)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_one_of_several_images(kind):
    data = animation(kind)
    text = refusal(data)
    assert "3 images" in text and "--frame N" in text and "from 0 to 2" in text
    for frame, image in enumerate(ROLLED):
        found = pixels(data, frame=frame)
        assert found.shape == RGB.shape
        assert np.argmin([abs(found - other.astype(float)).mean() for other in ROLLED]) == frame
        if kind in ("PNG", "TIFF", "WEBP"):
            np.testing.assert_array_equal(found, image)
    assert "there is no frame 3" in refusal(data, frame=3) and "frames 0 to 2" in refusal(data, frame=3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PPM", "TIFF", "GIF", "BMP", "WEBP"])
def test_frame_of_a_single_image(kind):
    data = saved(RGB, kind)
    assert pixels(data, frame=0).shape == RGB.shape
    assert "there is no frame 1; the file holds one image" in refusal(data, frame=1)


@pytest.mark.parametrize("frame", [-1, 1.0, True, "0"])
def test_frame_that_is_none(frame):
    with pytest.raises(OptionError, match="frame is"):
        read(saved(RGB, "PNG"), frame=frame)


def test_netpbm_files_one_after_the_other():
    data = b"P5 2 1 255\n\1\2P5 2 1 255\n\3\4"
    assert "2 images" in refusal(data)
    np.testing.assert_array_equal(pixels(data, frame=1), [[3, 4]])


def test_smaller_versions_in_a_tiff_are_no_images():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for image, kind in ((RGB[:16, :16], 1), (RGB, 0), (RGB[::2, ::2], 1)):
            writer.write(image, photometric="rgb", subfiletype=kind, metadata=None, software=False)
        writer.write(GRAY > 9, subfiletype=4, photometric=4, metadata=None, software=False)
    found = read(buffer.getvalue())
    np.testing.assert_array_equal(found.pixels, RGB)
    assert found.dropped == ("mask",)


def test_photograph_with_further_images_behind_it():
    """A camera's previews and depth maps: the first is the picture, the others are named."""
    data = animation("MPO")
    found = read(data)
    assert "further images" in found.dropped and abs(found.pixels - ROLLED[0].astype(float)).mean() < 9
    for frame, image in enumerate(ROLLED):
        assert abs(pixels(data, frame=frame) - image.astype(float)).mean() < 9
    assert "there is no frame 3" in refusal(data, frame=3)


def test_apng_with_a_broken_count_is_a_png():
    data = with_chunks(saved(RGB, "PNG"), chunk(b"acTL", bytes(8)))
    np.testing.assert_array_equal(pixels(data), RGB)


def test_icons_of_several_sizes():
    found = read(saved(Image.fromarray(RGB), "ICO", sizes=[(16, 16), (24, 24)]))
    assert found.pixels.shape[:2] == (16, 24) or found.pixels.shape[:2] == (17, 24)
    assert "smaller versions" in found.dropped


# ------------------------------------------------------------------------------------------------------ colour profiles


def profile(gamma: float, primaries: tuple[tuple[float, float], ...], space: bytes = b"RGB ") -> bytes:
    """An ICC profile of three primaries, or of gray, with one exponent."""

    def fixed(value: float) -> bytes:
        return struct.pack(">l", round(value * 65536))

    def xyz(x: float, y: float, z: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(x) + fixed(y) + fixed(z)

    white = np.array([0.9642, 1.0, 0.8249])
    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">L", 2) + b"x\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none", b"wtpt": xyz(*white)}
    if space == b"RGB ":
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        columns = columns * np.linalg.solve(columns, white)
        for name, column in zip("rgb", columns.T, strict=True):
            tags[f"{name}XYZ".encode()] = xyz(*column)
            tags[f"{name}TRC".encode()] = curve
    else:
        tags[b"kTRC"] = curve
    return assembled(tags, space, b"XYZ ", b"mntr")


def assembled(tags: dict[bytes, bytes], space: bytes, connection: bytes, kind: bytes) -> bytes:
    """An ICC profile of its tags."""

    def fixed(value: float) -> bytes:
        return struct.pack(">l", round(value * 65536))

    table, body = struct.pack(">L", len(tags)), b""
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sLL", name, 128 + 4 + 12 * len(tags) + len(body), len(value))
        body += value
    size = 128 + len(table) + len(body)
    head = struct.pack(">L4sL4s4s4s12s4s", size, b"", 0x02400000, kind, space, connection, b"", b"acsp")
    return head.ljust(68, b"\0") + fixed(0.9642) + fixed(1) + fixed(0.8249) + bytes(48) + table + body


#: Primaries far outside of those of sRGB, adapted to D50.
WIDE = profile(2.2, ((0.72, 0.27), (0.16, 0.82), (0.12, 0.04)))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def through_cms(image: Image.Image, icc: bytes) -> np.ndarray:
    """What littleCMS makes of colours, without black point compensation."""
    given = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    srgb = ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(image, given, srgb, renderingIntent=1, outputMode="RGB"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_wide_colours_are_converted_on_demand(kind):
    found = read(saved(RGB, kind, icc_profile=WIDE), srgb=True)
    expected = through_cms(Image.fromarray(RGB), WIDE)
    assert abs(found.pixels.astype(int) - expected).max() <= 2 < abs(RGB.astype(int) - expected).max()
    assert found.dropped == ("ICC profile (converted to sRGB)",)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_wide_colours_of_lossy_formats_are_converted(kind):
    plain, found = pixels(saved(RGB, kind)), read(saved(RGB, kind, icc_profile=WIDE), srgb=True)
    assert abs(found.pixels.astype(int) - through_cms(Image.fromarray(plain), WIDE)).max() <= 2
    assert found.dropped == ("ICC profile (converted to sRGB)",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_srgb_leaves_samples_alone(kind):
    found = read(saved(RGB, kind, icc_profile=SRGB), srgb=True)
    np.testing.assert_array_equal(found.pixels, pixels(saved(RGB, kind)))
    assert found.dropped == ("ICC profile",) and not found.metadata


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("icc", [WIDE, SRGB], ids=["wide", "sRGB"])
def test_profiles_are_kept(kind, icc):
    found = read(saved(RGB, kind, icc_profile=icc))
    np.testing.assert_array_equal(found.pixels, pixels(saved(RGB, kind)))
    assert found.dropped == () and found.metadata == imfnb.Metadata(icc_profile=icc)


def test_alpha_is_not_converted():
    image = np.dstack([RGB, GRAY])
    found = pixels(saved(image, "PNG", icc_profile=WIDE))
    np.testing.assert_array_equal(found[:, :, 3], GRAY)
    np.testing.assert_array_equal(found[:, :, :3], pixels(saved(RGB, "PNG", icc_profile=WIDE)))


def test_palette_with_a_profile():
    image = Image.fromarray(RGB).quantize(16)
    found = read(saved(image, "PNG", icc_profile=WIDE), srgb=True).pixels
    np.testing.assert_array_equal(pixels(saved(image, "PNG", icc_profile=WIDE)), np.asarray(image.convert("RGB")))
    assert abs(found.astype(int) - through_cms(image.convert("RGB"), WIDE)).max() <= 2


@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_gray_with_a_profile_of_gray(gamma):
    found = read(saved(GRAY, "PNG", icc_profile=profile(gamma, (), b"GRAY")), srgb=True)
    light = (GRAY / 255.0) ** gamma
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert found.pixels.shape == GRAY.shape and abs(found.pixels - expected).max() <= 2
    assert found.dropped == ("ICC profile (converted to sRGB)",)


def test_gray_with_a_profile_of_rgb():
    np.testing.assert_array_equal(pixels(saved(GRAY, "PNG", icc_profile=SRGB)), GRAY)
    found = pixels(saved(GRAY, "PNG", icc_profile=profile(1.0, ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)))))
    assert found.shape == GRAY.shape and (found.astype(int) - GRAY).mean() > 20


def printer() -> bytes:
    """A profile of four inks that all make the paper darker by the same amount, and never coloured."""
    inks = np.arange(16)[:, None] >> np.arange(3, -1, -1) & 1
    lightness = 255 * (4 - inks.sum(axis=1)) // 4
    colors = np.stack([lightness, np.full(16, 128), np.full(16, 128)], axis=1).astype(np.uint8)
    straight = bytes(range(256))
    identity = struct.pack(">9l", *(np.eye(3, dtype=int).ravel() * 65536))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * straight + colors.tobytes() + 3 * straight
    return assembled({b"A2B0": table}, b"CMYK", b"Lab ", b"prtr")


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_are_converted_by_their_profile(kind):
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert abs(pixels(saved(image, kind)).astype(int) - (0, 255, 255)).max() <= 3
    found = read(saved(image, kind, icc_profile=printer()))
    assert np.ptp(found.pixels[0, 0].astype(int)) <= 2 and abs(int(found.pixels[0, 0, 0]) - 185) < 12  # L* is 75
    assert found.dropped == ("ICC profile (converted to sRGB)",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("damage", [b"no profile", WIDE[:200], bytes(128)])
def test_damaged_profile(kind, damage):
    found = read(saved(RGB, kind, icc_profile=damage))
    np.testing.assert_array_equal(found.pixels, pixels(saved(RGB, kind)))
    assert found.dropped == ("damaged ICC profile",)


def test_profile_of_other_samples():
    found = read(saved(RGB, "PNG", icc_profile=profile(2.2, (), b"GRAY")))
    np.testing.assert_array_equal(found.pixels, RGB)
    assert "not applied" in found.dropped[0]


def test_profile_without_littlecms(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.ImageCms", None)
    monkeypatch.delattr("PIL.ImageCms", raising=False)
    assert "convert the picture to sRGB first" in refusal(saved(RGB, "PNG", icc_profile=WIDE), srgb=True)
    np.testing.assert_array_equal(pixels(saved(RGB, "PNG", icc_profile=WIDE)), RGB)
    np.testing.assert_array_equal(pixels(saved(RGB, "PNG", icc_profile=SRGB)), RGB)
    np.testing.assert_array_equal(pixels(saved(RGB, "PNG")), RGB)


def test_colours_by_numbers_are_refused():
    """Chunks and boxes with code points of ITU-T H.273, which Pillow does not look at."""
    wide = chunk(b"cICP", bytes([9, 16, 0, 1]))
    assert "BT.2020 with PQ" in refusal(with_chunks(saved(RGB, "PNG"), wide))
    np.testing.assert_array_equal(pixels(with_chunks(saved(RGB, "PNG"), chunk(b"cICP", bytes([1, 13, 0, 1])))), RGB)
    data = bytearray(saved(RGB, "AVIF"))
    place = data.index(b"colrnclx")
    data[place + 8 : place + 10] = struct.pack(">H", 12)
    assert "Display P3" in refusal(bytes(data))


# --------------------------------------------------------------------------------------- what is kept, and what is not


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", [None, 1, 6])
def test_exif_is_kept_and_says_that_pixels_are_upright(kind, orientation):
    given = exif(copyright="somebody", **({} if orientation is None else {"orientation": orientation}))
    found = read(saved(RGB, kind, exif=given))
    kept = Image.Exif()
    kept.load(found.metadata.exif)
    boxed = kind == "AVIF"  # Pillow writes the orientation into the boxes of the format
    assert (
        kept[0x8298] == "somebody" and kept.get(0x112, 1) == 1 and (0x112 in kept) == (not boxed and bool(orientation))
    )
    assert found.dropped == () and found.pixels.shape == ((45, 31, 3) if orientation == 6 else (31, 45, 3))


@pytest.mark.parametrize("order", ["<", ">"])
def test_thumbnail_that_lies_as_the_pixels_did_is_cut_off(order):
    def directory(*entries, link=0):
        return struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}L", link)

    def entry(tag, value):
        return struct.pack(f"{order}HHLHH", tag, 3, 1, value, 0)

    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}L", 8)
    first = directory(entry(256, 7), entry(274, 6), link=38)
    block = head + first + directory(entry(259, 6))
    assert len(list(directories(io.BytesIO(block)))) == 2
    (only,) = directories(io.BytesIO(upright_exif(block)))
    assert (only.number(256), only.number(274)) == (7, 1)
    upright = head + directory(entry(256, 7))
    assert upright_exif(b"Exif\0\0" + upright) == upright


def test_exif_of_tiff_is_named():
    data = bytearray(tiff(RGB, photometric="rgb", extratags=[(65000, 4, 1, 8, True)]))
    place = data.index(struct.pack("<HH", 65000, 4), 8)
    data[place : place + 2] = struct.pack("<H", 34665)
    found = read(bytes(data))
    assert found.dropped == ("EXIF",) and not found.metadata


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize(("dpi", "kept"), [(300, True), (72, False), (96, False)])
def test_resolution_is_kept(kind, dpi, kept):
    found = read(saved(RGB, kind, dpi=(dpi, dpi)))
    assert found.dropped == () and (found.metadata.dpi is not None) == kept
    assert not kept or np.allclose(found.metadata.dpi, dpi, atol=0.1)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "TIFF"])
def test_xmp_is_kept_and_its_orientation_applied(kind):
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf tiff:Orientation=\"6\"/></x:xmpmeta>"
    options = {"tiffinfo": {700: packet}} if kind == "TIFF" else {"xmp": packet}
    found = read(saved(RGB, kind, **options))
    assert found.dropped == () and found.metadata.xmp == packet.replace(b"6", b"1")
    assert found.pixels.shape[:2] == (45, 31)


@pytest.mark.parametrize(
    "part",
    [
        chunk(b"tEXt", b"Title\0words \xe4"),
        chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"words \xe4")),
        chunk(b"iTXt", b"Title\0\0\0\0\0words \xc3\xa4"),
        chunk(b"iTXt", b"Title\0\1\0\0\0" + zlib.compress(b"words \xc3\xa4")),
    ],
)
def test_text_of_png_is_kept(part):
    found = read(with_chunks(saved(RGB, "PNG"), part))
    assert found.dropped == () and found.metadata == imfnb.Metadata(text={"Title": "words ä"})


def test_text_of_tiff_is_kept():
    found = read(saved(RGB, "TIFF", tiffinfo={270: "a view", 33432: "somebody"}))
    assert found.metadata.text == {"ImageDescription": "a view", "Copyright": "somebody"} and found.dropped == ()


def test_comments_are_kept():
    for data in (with_segments(saved(RGB, "JPEG"), (0xFE, b"words")), saved(GRAY, "GIF", comment=b"words")):
        assert read(data).metadata == imfnb.Metadata(text={"Comment": "words"}) and read(data).dropped == ()


@pytest.mark.parametrize(
    ("part", "dropped"),
    [
        (chunk(b"tIME", bytes(7)), "time"),
        (chunk(b"gAMA", struct.pack(">L", 100000)), "gamma"),
        (chunk(b"pHYs", struct.pack(">LLB", 1, 2, 0)), "resolution"),
        (chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(b"\niptc\n       1\n00\n")), "IPTC"),
    ],
)
def test_chunks_of_png_are_named(part, dropped):
    found = read(with_chunks(saved(RGB, "PNG"), part))
    np.testing.assert_array_equal(found.pixels, RGB)
    assert found.dropped == (dropped,)


def test_chunks_that_mean_nothing_more():
    parts = [chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">L", 45455)), chunk(b"tEXt", b"Software\0x")]
    parts += [chunk(b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))]
    parts += [chunk(b"pHYs", struct.pack(">LLB", 2835, 2835, 1))]
    assert read(with_chunks(saved(RGB, "PNG"), *parts)).dropped == ()


def test_orientation_as_imagemagick_writes_it():
    block = exif(orientation=6)
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    part = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    assert pixels(with_chunks(saved(RGB, "PNG"), part)).shape == (45, 31, 3)


@pytest.mark.parametrize(
    ("segment", "dropped"),
    [
        ((0xE1, b"http://ns.adobe.com/xmp/extension/\0words"), "further XMP"),
        ((0xED, b"Photoshop 3.0\x008BIM"), "Photoshop and IPTC data"),
        ((0xEC, b"Ducky\0"), "application data"),
    ],
)
def test_segments_of_jpeg_are_named(segment, dropped):
    data = saved(RGB, "JPEG")
    found = read(with_segments(data, segment))
    np.testing.assert_array_equal(found.pixels, pixels(data))
    assert found.dropped == (dropped,)


# ----------------------------------------------------------------------------------------------------- damaged metadata

BROKEN_EXIF = (b"", b"KM*\0", b"MM\0*", b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\xff\xff", b"II*\0\x08\0\0\0\x01\0")


@pytest.mark.parametrize("block", BROKEN_EXIF)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_damaged_exif(kind, block):
    plain = saved(RGB, kind)
    if kind == "PNG":
        data = with_chunks(plain, chunk(b"eXIf", block))
    elif kind == "JPEG":
        data = with_segments(plain, (0xE1, b"Exif\0\0" + block))
    else:
        good = exif(copyright="somebody")
        data = bytearray(saved(RGB, kind, exif=good))
        place = data.index(good.removeprefix(b"Exif\0\0")[:8])
        data[place : place + len(block)] = block
    found = read(bytes(data))
    np.testing.assert_array_equal(found.pixels, pixels(plain))
    assert set(found.dropped) <= {"damaged EXIF", "EXIF"}


@pytest.mark.parametrize("kind", [b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"gAMA", b"cHRM", b"eXIf", b"tIME"])
@pytest.mark.parametrize("body", [b"", b"\0", b"no", b"name\0\0damaged", b"name\0\1\0\0\0damaged"])
@pytest.mark.parametrize("check", [None, 0])
def test_damaged_chunk_of_png(kind, body, check):
    np.testing.assert_array_equal(pixels(with_chunks(saved(RGB, "PNG"), chunk(kind, body, check))), RGB)


def test_text_that_unpacks_to_gigabytes():
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(40)) + packer.flush()
    found = read(with_chunks(saved(RGB, "PNG"), chunk(b"zTXt", b"Title\0\0" + bomb)))
    np.testing.assert_array_equal(found.pixels, RGB)
    assert found.dropped == ("damaged text",)


@pytest.mark.parametrize("marker", [*range(0xE1, 0xEE), 0xEF, 0xFE])
@pytest.mark.parametrize("body", [b"", b"Exif\0", b"ICC_PROFILE\0\1", b"MPF\0II*\0\x08", b"Photoshop 3.0\x008BIM\4"])
def test_damaged_segment_of_jpeg(marker, body):
    data = saved(RGB, "JPEG")
    np.testing.assert_array_equal(pixels(with_segments(data, (marker, body))), pixels(data))


def test_chain_of_directories_that_leaves_the_file():
    data = bytearray(tiff(RGB, photometric="rgb"))
    entries = struct.unpack_from("<H", data, 8)[0]
    data[10 + 12 * entries : 14 + 12 * entries] = struct.pack("<L", 1 << 30)
    found = read(bytes(data))
    np.testing.assert_array_equal(found.pixels, RGB)
    assert found.dropped == ("damaged further images",)


@pytest.mark.parametrize("tag", [270, 282, 305, 700, 34675, 33723, 34377, 65000])
def test_tags_of_tiff_that_leave_the_file(tag):
    extra = [] if tag == 282 else [(tag, "s", 40, "x" * 40, True)]  # resolutions are always there
    data = bytearray(tiff(RGB, photometric="rgb", extratags=extra))
    place = data.index(struct.pack("<HH", tag, 5 if tag == 282 else 2), 8)
    struct.pack_into("<HHLL", data, place, tag, 5 if tag == 282 else 2, 40, 1 << 30)
    found = read(bytes(data))
    np.testing.assert_array_equal(found.pixels, RGB)
    assert f"damaged {'ICC profile' if tag == 34675 else 'metadata'}" in found.dropped


def test_icon_that_lies_about_its_size():
    """Of which Pillow warns, and warnings are errors here."""
    data = bytearray(saved(Image.fromarray(RGB[:16, :16]), "ICO", sizes=[(16, 16)]))
    data[6:8] = 17, 17
    np.testing.assert_array_equal(pixels(bytes(data))[:, :, :3], RGB[:16, :16])


def test_raw_data_of_cameras():
    """Whose first image is a preview."""
    assert "a camera's raw data" in refusal(
        tiff(RGB, photometric="rgb", extratags=[(50706, "B", 4, b"\1\4\0\0", True)])
    )
    preview = bytearray(tiff(RGB, photometric="rgb", subfiletype=1, extratags=[(65000, "I", 1, 8, True)]))
    place = preview.index(struct.pack("<HHL", 65000, 4, 1))
    preview[place : place + 2] = struct.pack("<H", 330)
    assert "a camera's raw data" in refusal(bytes(preview))


def test_directories_that_go_round_in_a_loop():
    data = bytearray(tiff(RGB, photometric="rgb"))
    entries = struct.unpack_from("<H", data, 8)[0]
    data[10 + 12 * entries : 14 + 12 * entries] = struct.pack("<L", 8)
    np.testing.assert_array_equal(pixels(bytes(data)), RGB)


def test_photoshop_file():
    """What all layers together show is read, what else there is is named."""
    planes = RGB.transpose(2, 0, 1).tobytes()
    for channels, dropped in ((3, ()), (5, ("further channels",))):
        head = struct.pack(">4sH6xHLLHH", b"8BPS", 1, channels, *RGB.shape[:2], 8, 3)
        found = read(head + bytes(12) + bytes(2) + planes + bytes((channels - 3) * GRAY.size))
        np.testing.assert_array_equal(found.pixels, RGB)
        assert found.dropped == dropped
    assert "a Photoshop file" in refusal(struct.pack(">4sH6xHLLHH", b"8BPS", 1, 3, 9, 9, 16, 3) + bytes(1000))


# --------------------------------------------------------------------------------------------------- what is no picture


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (b"", "the file is empty"),
        (b"words", "not a picture in a known format"),
        (b"\0\0\0\x18ftypheic", "a HEIC file"),
        (b"\0\0\0\x18ftypmp42", "a video"),
        (b"\xff\x0a", "a JPEG XL file"),
        (b"v/1\x01", "an OpenEXR file"),
        (b"8BPS\0\2", "a Photoshop file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript drawing"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"<svg xmlns=", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"\x93NUMPY", "a NumPy array's file"),
        (b"\x89IMF\1", "an .imf file; it is compressed already"),
        (b"PK\3\4", "an archive"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"II*\0\x08\0\0\0", "a TIFF file"),
        (b"MM\0+\0\x08\0\0", "a TIFF file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG file"),
        (b"\xff\xd8\xff\xe0", "a JPEG file"),
        (b"GIF89a", "a GIF file"),
        (b"qoif", "begins like QOI"),
    ],
)
def test_what_is_no_picture(begin, told):
    assert told in refusal(begin + bytes(64 if begin else 0))


@pytest.mark.parametrize("source", [5, None, RGB, [b"a.png"]])
def test_source_that_is_none(source):
    with pytest.raises(OptionError, match="expected a path or a binary file object"):
        read_picture(source)


def test_text_file_objects_and_paths_with_zeros(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    with open(tmp_path / "a.txt") as file, pytest.raises(OptionError, match=r"a.txt: .*binary mode"):
        read_picture(file)
    with pytest.raises(OptionError, match="binary mode"):
        read_picture(io.StringIO("words"))
    with pytest.raises(OptionError, match="path cannot be used"):
        read_picture("a\0b")


def test_operating_system_errors_stay(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        read_picture(tmp_path / "none.png")
    assert error.value.filename == str(tmp_path / "none.png") or "none.png" in str(error.value.filename)
    with pytest.raises(IsADirectoryError):
        read_picture(tmp_path)

    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        read_picture(Broken(b"x"))


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "TGA"])
def test_changed_bytes_on_disk(kind, tmp_path):
    """Files on disk refuse positions in other words than bytes in memory."""
    rng = np.random.default_rng(5)
    for changed in fuzzed(saved(Image.fromarray(picture(12, 9)), kind), rng, 60):
        (tmp_path / "a").write_bytes(changed)
        try:
            read_picture(tmp_path / "a", max_pixels=10**6)
        except (OptionError, LimitError) as error:
            assert error.filename == str(tmp_path / "a")


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "deep.jpg"
    data = bytearray(saved(RGB, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    path.write_bytes(data)
    with pytest.raises(OptionError) as error:
        read_picture(path)
    assert error.value.filename == str(path) and str(error.value).startswith(f"{path}: the picture has")
    with open(path, "rb") as file, pytest.raises(OptionError, match=r"deep.jpg: "):
        read_picture(file)
    path.write_bytes(saved(RGB, "PNG"))
    with pytest.raises(LimitError, match=r"deep.jpg: "):
        read_picture(path, max_pixels=9)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "TGA", "QOI", "JPEG2000"])
@pytest.mark.parametrize("part", [0.5, 0.8])
def test_truncated_pixels_are_refused(kind, part):
    data = saved(RGB, kind)
    refusal(data[: int(part * len(data))])


def test_truncated_files_on_disk_are_refused(tmp_path):
    """With a path, Pillow would map some formats into memory."""
    for kind in ("BMP", "PPM", "TIFF"):
        data = saved(GRAY, kind)
        (tmp_path / "a").write_bytes(data[: len(data) * 3 // 4])
        with pytest.raises(OptionError):
            read_picture(tmp_path / "a")


# ------------------------------------------------------------------------------------------ nothing of Pillow's changes

KINDS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "JPEG2000", "ICO", "TGA", "PCX", "MPO", "QOI")


@pytest.mark.parametrize("kind", [*KINDS, "DDS", "SGI"])
def test_pictures_above_the_limit_of_pillow(kind, monkeypatch):
    """Neither refused nor warned of (here warnings are errors), and the limit stays as it is."""
    data = saved(Image.fromarray(RGB), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert pixels(data).size and Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**3)  # a warning, not an error
    assert pixels(data).size and Image.MAX_IMAGE_PIXELS == 10**3


@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, {}) for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO")]
    + [("GIF", {"disposal": disposal}) for disposal in (1, 2, 3)]
    + [("PNG", {"disposal": disposal}) for disposal in (1, 2)],
)
def test_frames_above_the_limit_of_pillow(kind, options, monkeypatch):
    data = animation(kind, **options)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert pixels(data, frame=2).shape == RGB.shape


@pytest.mark.parametrize("kind", KINDS)
def test_own_limit(kind):
    image = Image.fromarray(RGB[:24, :24])
    data = saved(image, kind)
    assert pixels(data, max_pixels=576).shape[:2] == (24, 24)
    with pytest.raises(LimitError, match=r"24 x 24 pixels, more than max_pixels=575; .*raise max_pixels"):
        read(data, max_pixels=575)


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, None])
def test_limit_that_is_none(limit):
    with pytest.raises(OptionError, match="max_pixels is"):
        read(saved(RGB, "PNG"), max_pixels=limit)


def test_a_billion_pixels_are_refused_at_once():
    """By their header alone."""
    head = struct.pack(">LLBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(LimitError, match="40000 x 40000 pixels"):
        read(data)


def test_threads_leave_the_process_alone(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1234)
    filters = list(warnings.filters)
    data = {kind: saved(RGB, kind) for kind in ("PNG", "TIFF", "GIF", "WEBP", "JPEG")}
    seen: set[object] = set()

    def work() -> None:
        for _ in range(5):
            for file in data.values():
                read(file)
                seen.add(Image.MAX_IMAGE_PIXELS)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {1234} and warnings.filters == filters


def test_registry_of_pillow_stays():
    read(saved(RGB, "TIFF"))
    before = {name: Image.OPEN[name] for name in Image.ID}
    read(saved(RGB, "TIFF"))
    assert before == {name: Image.OPEN[name] for name in Image.ID}
    own = "imfnb.plugins.pillow"  # where a test has imported that
    assert all(reader.__module__.startswith("PIL.") or reader.__module__ == own for reader, _ in before.values())


def test_reader_of_somebody_else(monkeypatch):
    """Formats that another package has registered are read through it."""
    from PIL import ImageFile

    class Reader(ImageFile.ImageFile):
        format = "OTHER"

        def _open(self):
            if self.fp.read(6) != b"OTHER!":
                raise SyntaxError
            self._size, self._mode = (2, 1), "L"
            self.tile = [("raw", (0, 0, 2, 1), 6, ("L", 0, 1))]

    Image.init()
    monkeypatch.setattr(Image, "ID", [*Image.ID, "OTHER"])
    monkeypatch.setitem(Image.OPEN, "OTHER", (Reader, lambda prefix: prefix.startswith(b"OTHER!")))
    np.testing.assert_array_equal(pixels(b"OTHER!\1\2"), [[1, 2]])


# -------------------------------------------------------------------------------------------------------------- fuzzing


def fuzzed(data: bytes, rng: np.random.Generator, count: int) -> list[bytes]:
    """A file with a few bytes changed, again and again; most of them where headers are."""
    out = []
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            place = int(len(changed) * rng.random() ** 2)
            changed[place] = rng.integers(256) if rng.random() < 0.7 else (0, 1, 127, 128, 255)[rng.integers(5)]
        out.append(bytes(changed[: rng.integers(len(changed))] if rng.random() < 0.1 else changed))
    return out


@pytest.mark.parametrize("kind", [*KINDS, "DDS", "SGI", "ICNS"])
def test_changed_bytes(kind):
    """Pixels, or an error of ours, whatever a file has been made into."""
    small = Image.fromarray(picture(12, 9))
    options = {"exif": exif(copyright="x", orientation=6)} if kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF") else {}
    data = saved(small, kind, **options)
    rng = np.random.default_rng(sum(map(ord, kind)))
    for changed in fuzzed(data, rng, 20 if kind == "ICNS" else 150):
        try:
            found = read(changed, max_pixels=10**6)
        except OptionError as error:
            assert "\n" not in str(error)
        except LimitError:
            pass
        else:
            assert found.pixels.dtype.name in DTYPES and found.pixels.size and found.pixels.ndim in (2, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO"])
def test_changed_bytes_of_animations(kind):
    frames = [Image.fromarray(np.roll(picture(12, 9), 3 * shift, axis=1)) for shift in range(3)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    rng = np.random.default_rng(7 + sum(map(ord, kind)))
    for changed in fuzzed(data, rng, 80):
        for frame in (None, 1):
            with contextlib.suppress(OptionError, LimitError):
                read(changed, frame=frame, max_pixels=10**6)
