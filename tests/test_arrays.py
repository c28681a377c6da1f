"""Arrays of any type and number of bands as a user meets them: what goes in, what comes out, within which bounds."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from array_helpers import DTYPES, apart, decoded_alike, layered, recoded, scene, spanned
from helpers import picture
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import examples, seeds

import imfnb
from imfnb import OptionError

INTEGERS = DTYPES[:4]
REALS = DTYPES[4:]
SHAPES = [(1, 1), (1, 9), (7, 1), (9, 10), (8, 7, 1), (6, 9, 2), (9, 8, 3), (7, 6, 4), (5, 9, 7)]


def error(one: np.ndarray, other: np.ndarray) -> float:
    """Largest absolute difference."""
    wide = np.float64 if one.dtype.kind == "f" else np.int64
    return float(np.abs(one.astype(wide) - other.astype(wide)).max())


def psnr(one: np.ndarray, other: np.ndarray, peak: float) -> float:
    """PSNR in dB."""
    squares = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return 10 * math.log10(peak**2 / squares) if squares else math.inf


def peak(image: np.ndarray) -> float:
    """What a PSNR is relative to."""
    if image.dtype.kind == "f":
        return float(np.nanmax(image)) - float(np.nanmin(image))
    info = np.iinfo(image.dtype)
    return float(int(info.max) - int(info.min))


def disc(height: int, width: int, radius: float = 3.0) -> np.ndarray:
    """True in a disc in the middle."""
    y, x = np.mgrid[:height, :width]
    return (y - height // 2) ** 2 + (x - width // 2) ** 2 < radius**2


@st.composite
def integers(draw: st.DrawFn) -> np.ndarray:
    """Integers of any type, shape and nature, up to the ends of their range."""
    dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)), *draw(st.sampled_from([(), (1,), (2,), (3,), (5,)])))
    rng, info = np.random.default_rng(draw(seeds)), np.iinfo(dtype)
    kind = draw(st.sampled_from(["scene", "noise", "ends", "constant", "steps"]))
    if kind == "scene":
        return scene(shape, dtype, int(rng.integers(99)))
    if kind == "noise":
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    if kind == "ends":
        return rng.choice(np.array([info.min, info.max], dtype), shape)
    if kind == "constant":
        return np.full(shape, rng.choice([info.min, 0, 7, info.max]), dtype)
    return (rng.integers(0, 4, shape) * rng.integers(1, 30)).astype(dtype)


@st.composite
def reals(draw: st.DrawFn) -> np.ndarray:
    """Floats of any magnitude, offset, shape and nature."""
    dtype = np.dtype(draw(st.sampled_from(REALS)))
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)), *draw(st.sampled_from([(), (1,), (3,)])))
    rng, kind = (
        np.random.default_rng(draw(seeds)),
        draw(st.sampled_from(["scene", "noise", "constant", "rare", "tiny"])),
    )
    size = 10.0 ** draw(st.integers(-30, 30))
    if kind == "constant":
        return np.full(shape, size * rng.normal(), dtype)
    if kind == "tiny":
        least = float(np.finfo(dtype).smallest_subnormal)
        return (rng.integers(-9, 9, shape) * least * float(rng.choice([1, 100, 1e6]))).astype(dtype)
    level = scene(shape, "float64", int(rng.integers(99))) if kind == "scene" else rng.normal(size=shape)
    if kind == "rare":
        level = np.where(rng.random(shape) < 0.1, 1e4 * level, level)
    return ((level + rng.choice([0, 3, 1000])) * size).astype(dtype)


# ----------------------------------------------------------------------------------------------------- types and shapes


@pytest.mark.jit
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_and_shape_comes_back(dtype, shape):
    image = scene(shape, dtype)
    for options in ({"quality": 60}, {"quality": 60, "channels": "bands"}, {"max_error": 0.1}):
        data = imfnb.encode(image, **options)
        found = imfnb.decode(data)
        assert (found.dtype, found.shape) == (image.dtype, shape)
        assert found.dtype.isnative
        if options.get("max_error"):
            assert error(found, image) <= 0.1
        elif image.size > 1:
            assert psnr(found, image, peak(image)) > 15
        details = imfnb.info(data)
        assert (details["dtype"], details["shape"]) == (dtype, shape)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [pytest.param("int16", (9, 10, 2), marks=pytest.mark.jit), ("uint16", (5, 6)), ("float32", (8, 8, 1))],
)
def test_both_backends_write_and_read_the_same(dtype, shape):
    image = scene(shape, dtype)
    mask = disc(*shape[:2], 2)
    for options in ({"quality": 50, "mask": mask}, {"max_error": 0.2}, {"step": 0.3 if dtype == "float32" else 4000}):
        files = [imfnb.encode(image, device=device, **options) for device in ("cpu", "reference")]
        assert files[0] == files[1]
        decoded_alike(files[0])
    data = layered(image, imfnb.encode(image, quality=40), 50)
    decoded_alike(data)
    decoded_alike(data, max_rank=1)
    if len(shape) == 3:
        decoded_alike(data, bands=[shape[2] - 1, 0])


@pytest.mark.jit
@pytest.mark.parametrize("options", [{"psnr": 40}, {"bpp": 6}, {"size": 300}])
def test_searches_of_both_backends_write_the_same(options):
    image = scene((17, 19, 2), "int16", 5)
    assert imfnb.encode(image, **options) == imfnb.encode(image, device="reference", **options)


@pytest.mark.jit
def test_threads_do_not_matter():
    image = scene((70, 61, 5), "uint16", 4)
    mask = disc(70, 61, 9)
    for options in ({"quality": 60}, {"quality": 60, "mask": mask}, {"max_error": 30}, {"psnr": 45}, {"bpp": 2}):
        files = {imfnb.encode(image, threads=threads, **options) for threads in (1, 2, 5)}
        assert len(files) == 1
        (data,) = files
        samples = {imfnb.decode(data, threads=threads).tobytes() for threads in (1, 2, 5)}
        assert len(samples) == 1


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_byte_order_and_layout_of_what_is_given_do_not_matter(dtype):
    image = scene((9, 10, 3), dtype)
    expected = imfnb.encode(image, quality=50)
    swapped = image.astype(image.dtype.newbyteorder())
    readonly = image.copy()
    readonly.flags.writeable = False
    wide = np.zeros((18, 30, 3), image.dtype)
    wide[::2, ::3] = image
    for view in (
        swapped,
        readonly,
        wide[::2, ::3],
        np.asfortranarray(image),
        image[::-1][::-1],
        image[:, ::-1][:, ::-1],
    ):
        assert imfnb.encode(view, quality=50) == expected
    assert imfnb.encode(image.tolist() if dtype == "float64" else image, quality=50) == expected


@pytest.mark.jit
@pytest.mark.parametrize(
    ("dtype", "shape", "channels", "found"),
    [
        ("uint8", (8, 8), "auto", "gray"),
        ("uint8", (8, 8, 1), "auto", "gray"),
        ("uint8", (8, 8, 2), "auto", "gray+alpha"),
        ("uint8", (8, 8, 3), "auto", "rgb"),
        ("uint8", (8, 8, 4), "auto", "rgba"),
        ("uint8", (8, 8, 5), "auto", "bands"),
        ("uint8", (8, 8, 3), "bands", "bands"),
        ("uint8", (8, 8, 1), "bands", "bands"),
        ("uint16", (8, 8), "auto", "gray"),
        ("uint16", (8, 8), "bands", "gray"),
        ("uint16", (8, 8, 2), "auto", "bands"),
        ("uint16", (8, 8, 2), "gray+alpha", "gray+alpha"),
        ("uint16", (8, 8, 3), "auto", "rgb"),
        ("uint16", (8, 8, 4), "auto", "bands"),
        ("int16", (8, 8, 3), "auto", "bands"),
        ("float32", (8, 8, 3), "rgb", "rgb"),
        ("float64", (8, 8, 4), "rgba", "rgba"),
    ],
)
def test_what_the_last_axis_is(dtype, shape, channels, found):
    data = imfnb.encode(scene(shape, dtype), quality=10, channels=channels)
    frame = apart(data).frame
    bands = frame.array is not None and frame.array.bands
    assert ("bands" if bands else {2: "gray+alpha", 3: "rgb", 4: "rgba"}.get(frame.channels, "gray")) == found
    if frame.array is not None:
        assert imfnb.info(data)["channels"] == found
    assert imfnb.decode(data).shape == shape


@pytest.mark.parametrize(
    ("shape", "channels"), [((8, 8), "rgb"), ((8, 8, 3), "gray"), ((8, 8, 3), "rgba"), ((8, 8, 4), "gray+alpha")]
)
def test_channels_must_fit_the_shape(shape, channels):
    for dtype in ("uint8", "int16"):
        with pytest.raises(OptionError, match="does not fit an image of shape"):
            imfnb.encode(scene(shape, dtype), channels=channels)


# --------------------------------------------------------------------------------------------------------------- bounds


@given(integers())
@settings(max_examples=examples(150))
def test_integers_lose_nothing(image):
    data = imfnb.encode(image, lossless=True)
    found = imfnb.decode(data)
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image)
    assert data == imfnb.encode(image, max_error=0)


@given(integers(), st.one_of(st.integers(0, 12), st.integers(0, 70000), st.floats(0, 9)))
@settings(max_examples=examples(150))
def test_no_integer_is_further_off_than_the_bound(image, bound):
    data = imfnb.encode(image, max_error=bound)
    assert error(imfnb.decode(data), image) <= bound
    assert imfnb.info(data)["max_error"] <= bound


@given(reals(), st.floats(1e-4, 3))
@settings(max_examples=examples(200))
def test_no_float_is_further_off_than_the_bound(image, share):
    """A share of the range of the samples, or of the largest where there is no range."""
    wide = image.astype(np.float64)
    bound = share * ((wide.max() - wide.min()) or abs(wide).max() or 1.0)
    assume(bound > 0)
    try:
        data = imfnb.encode(image, max_error=bound)
    except OptionError as refused:
        assert "too small for samples of" in str(refused)
        return
    found = imfnb.decode(data)
    assert found.dtype == image.dtype
    assert error(found, image) <= bound


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_do_not_add_up_without_a_lossy_layer(dtype):
    """Files of files of files, with other samples changed in between that have the range to themselves."""
    image = scene((40, 50), dtype, noise=0.3)
    bound = 3 if np.dtype(dtype).kind in "iu" else 0.01
    changed = image
    for number, extreme in enumerate((1, -1, 0.7, -0.2)):
        changed = changed.copy()
        changed[0, number] = spanned(np.array(extreme), dtype)
        data = imfnb.encode(changed, max_error=bound)
        assert imfnb.info(data)["columns"] == 0
        changed = imfnb.decode(data)
        assert error(changed[1:], image[1:]) <= bound


@pytest.mark.jit
@pytest.mark.parametrize("dtype", REALS)
def test_bounds_that_a_type_cannot_keep(dtype):
    image = (1e6 + scene((9, 9), "float64")).astype(dtype)
    with pytest.raises(
        OptionError, match=r"max_error=1e-12 is too small for samples of float.*expected at least (\S+)"
    ) as raised:
        imfnb.encode(image, max_error=1e-12)
    least = float(str(raised.value).rpartition(" ")[2])
    assert error(imfnb.decode(imfnb.encode(image, max_error=least * 1.001)), image) <= least * 1.001
    for options in ({"lossless": True}, {"max_error": 0}):
        with pytest.raises(OptionError, match="give max_error"):
            imfnb.encode(image, **options)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
def test_targets_are_met(dtype):
    image = scene((40, 45, 3), dtype, 6)
    given = {"channels": "bands"}
    for wanted in (25, 45):
        assert psnr(imfnb.decode(imfnb.encode(image, psnr=wanted, **given)), image, peak(image)) >= wanted
    for wanted in (0.6, 4):
        assert 8 * len(imfnb.encode(image, bpp=wanted, **given)) <= wanted * 40 * 45
    for wanted in (150, 900):
        assert len(imfnb.encode(image, size=wanted, **given)) <= wanted
    files = [imfnb.encode(image, step=peak(image) * share, **given) for share in (0.2, 0.02, 0.002)]
    errors = [np.sqrt(np.mean((imfnb.decode(data).astype(float) - image) ** 2)) / peak(image) for data in files]
    assert errors == sorted(errors, reverse=True)
    assert len(files[0]) < len(files[1]) < len(files[2])
    assert errors[0] < 0.2
    assert errors[1] < 0.02
    assert errors[2] < 0.002


@pytest.mark.jit
def test_psnr_of_fine_steps_is_reached():
    """Up to the end of what steps can do; beyond that the target is refused or nothing is lost."""
    image = scene((40, 45, 4), "uint16", 2, noise=0.001)
    for wanted in (50, 60, 68):
        assert psnr(imfnb.decode(imfnb.encode(image, psnr=wanted)), image, 65535) >= wanted


# --------------------------------------------------------------------------------------------------------- without data


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{"quality": 60}, {"max_error": 0.3}])
def test_samples_without_data_come_back_exactly(dtype, options):
    image, hole = scene((12, 13, 2), dtype), disc(12, 13)
    nodata = -9999.25 if dtype in REALS else int(np.iinfo(dtype).min)
    image[image == nodata] = nodata + 1
    marked = image.copy()
    marked[hole] = nodata
    by_samples = hole[:, :, None] & [True, False]
    cases = [
        (marked, {"nodata": nodata}, hole[:, :, None], nodata),
        (image, {"mask": hole, "nodata": nodata}, hole[:, :, None], nodata),
        (image, {"mask": hole}, hole[:, :, None], math.nan if dtype in REALS else 0),
        (image, {"mask": by_samples, "nodata": nodata}, by_samples, nodata),
        (np.ma.array(image, mask=by_samples), {}, by_samples, math.nan if dtype in REALS else 0),
        (np.ma.array(image, mask=by_samples, fill_value=nodata), {}, by_samples, nodata),
    ]
    if dtype in REALS:
        marked = image.copy()
        marked[by_samples] = math.nan
        cases += [(marked, {}, by_samples, math.nan), (marked, {"nodata": math.nan}, by_samples, math.nan)]
        marked = image.copy()
        marked[hole] = math.inf
        cases.append((marked, {"mask": hole}, hole[:, :, None], math.nan))
    for marked, more, missing, value in cases:
        data = imfnb.encode(marked, **options, **more)
        found, missing = imfnb.decode(data), np.broadcast_to(missing, image.shape)
        np.testing.assert_array_equal(found[missing], np.array(value, dtype))
        if "max_error" in options:
            assert error(found[~missing], image[~missing]) <= 0.3
        else:
            assert psnr(found[~missing], image[~missing], peak(image)) > 15
        np.testing.assert_equal(imfnb.info(data)["nodata"], value)


def test_nan_under_a_mask_is_no_other_value_without_data():
    image, hole = scene((9, 9), "float32"), disc(9, 9)
    image[hole] = math.nan
    assert (imfnb.decode(imfnb.encode(image, mask=hole, nodata=-1, quality=30))[hole] == -1).all()
    with pytest.raises(OptionError, match="NaN beside nodata=-1"):
        imfnb.encode(image, nodata=-1)


@pytest.mark.jit
def test_masks_that_hide_nothing_are_left_out():
    image = scene((9, 10, 2), "int16")
    plain = imfnb.encode(image, quality=50)
    assert imfnb.encode(image, quality=50, mask=np.zeros((9, 10), np.bool_)) == plain
    assert imfnb.encode(image, quality=50, nodata=-32768) == plain
    assert imfnb.encode(np.ma.array(image), quality=50) == plain


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_holes_do_not_disturb_their_surroundings(dtype):
    """What stands in a hole costs nothing, and what is around it is as good as where there is none."""
    whole, hole = scene((64, 64, 2), dtype, 3), disc(64, 64, 12)
    ring = disc(64, 64, 18) & ~hole
    step = peak(whole) / 30
    plain = imfnb.encode(whole, step=step, channels="bands")
    files = set()
    for value in (np.min(whole), np.max(whole), 0):
        image = whole.copy()
        image[hole] = value
        files.add(imfnb.encode(image, step=step, mask=hole, channels="bands"))
    assert len(files) == 1  # whatever stood there
    (data,) = files
    assert len(data) < len(plain) + imfnb.info(data)["segments"]["mask"] + 25
    one, other = (imfnb.decode(file)[ring] for file in (data, plain))
    assert psnr(one, whole[ring], peak(whole)) > psnr(other, whole[ring], peak(whole)) - 0.5


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize(
    "options", [{"quality": 50}, {"max_error": 1}, {"psnr": 40}, {"bpp": 20}, {"size": 200}, {"step": 5}]
)
def test_no_data_at_all(dtype, options):
    image = scene((6, 7, 3), dtype)
    data = imfnb.encode(image, mask=np.ones((6, 7), np.bool_), nodata=7, **options)
    assert (imfnb.decode(data) == 7).all()
    mask = np.zeros(image.shape, np.bool_)
    mask[:, :, 1] = True  # of one band
    found = imfnb.decode(imfnb.encode(image, mask=mask, nodata=7, **options))
    assert (found[:, :, 1] == 7).all()


@pytest.mark.parametrize(
    ("dtype", "options", "message"),
    [
        ("uint8", {"nodata": 256}, "nodata is 256, which samples of uint8 cannot be"),
        ("uint8", {"nodata": -1}, "nodata is -1, which"),
        ("int16", {"nodata": 0.5}, "nodata is 0.5, which"),
        ("int16", {"nodata": math.inf}, "nodata is inf, which"),
        ("uint16", {"nodata": math.nan}, "nodata is nan, which"),
        ("float32", {"nodata": 1e300}, r"nodata is 1e\+300, which samples of float32 cannot be"),
        ("int16", {"nodata": "none"}, "nodata is 'none'"),
        ("int16", {"mask": np.zeros((3, 3), np.bool_)}, r"mask has dtype bool and shape \(3, 3\); expected bool"),
        ("int16", {"mask": np.zeros((9, 9), np.uint8)}, "mask has dtype uint8"),
        ("int16", {"mask": np.zeros((9, 9, 3), np.bool_)}, "mask has dtype bool"),
    ],
)
def test_what_cannot_stand_for_no_data(dtype, options, message):
    with pytest.raises(OptionError, match=message):
        imfnb.encode(scene((9, 9, 2), dtype), channels="bands", **options)


def test_a_masked_array_has_a_mask_already():
    image = np.ma.array(scene((9, 9), "int16"), mask=disc(9, 9))
    with pytest.raises(OptionError, match="mask is given beside a masked array"):
        imfnb.encode(image, mask=disc(9, 9))


# --------------------------------------------------------------------------------------------------------------- floats


@pytest.mark.jit
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -3.7e30, 1e-40, 5e-324, 3.4e38])
def test_constant_floats_come_back_exactly(dtype, value):
    image = np.full((9, 8, 2), value, dtype)
    for options in ({"quality": 1}, {"max_error": 1e-9}, {"step": 1}):
        np.testing.assert_array_equal(imfnb.decode(imfnb.encode(image, **options)), image)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("size", [1e30, 1e-30, 1e-38, 1e-44])
def test_floats_of_any_size_are_coded_alike(dtype, size):
    level = scene((16, 16, 2), "float64", 1)
    image = (level * size).astype(dtype)
    if len(np.unique(image)) < 50:
        pytest.skip("the type has no such numbers")
    found = imfnb.decode(imfnb.encode(image, quality=80))
    assert psnr(found.astype(np.float64) / size, image.astype(np.float64) / size, 1.6) > 30


@pytest.mark.jit
@pytest.mark.parametrize("dtype", REALS)
def test_infinite_floats_are_refused(dtype):
    image = scene((9, 9), dtype)
    image[3, 4] = math.inf
    image[5, 4] = -math.inf
    with pytest.raises(OptionError, match="2 infinite samples; give mask="):
        imfnb.encode(image)
    found = imfnb.decode(imfnb.encode(image, mask=np.isinf(image), nodata=math.inf))
    assert (found[np.isinf(image)] == math.inf).all()


@pytest.mark.jit
def test_floats_at_the_ends_of_their_type():
    with pytest.raises(OptionError, match="too far apart for binary64"):
        imfnb.encode(np.array([[-1.7e308, 1.7e308]]))
    for dtype in REALS:
        largest = float(np.finfo(dtype).max)
        image = scene((9, 9), "float64") * 0.4 * largest
        found = imfnb.decode(imfnb.encode(image.astype(dtype), quality=70))
        assert np.isfinite(found).all()


# ------------------------------------------------------------------------------------------------------- axes and parts


@pytest.mark.jit
@pytest.mark.parametrize("axes", ["HWC", "CHW", "HCW", "WHC"])
def test_axes_in_any_order(axes):
    image = scene((9, 10, 3), "int16")
    given = image.transpose(["HWC".index(axis) for axis in axes])
    mask = np.zeros(image.shape, np.bool_)
    mask[2:4, 3:5, 1] = True
    moved = mask.transpose(["HWC".index(axis) for axis in axes])
    assert imfnb.encode(given, axes=axes, quality=40) == imfnb.encode(image, quality=40)
    data = imfnb.encode(given, axes=axes, quality=40, mask=moved, nodata=-1)
    assert data == imfnb.encode(image, quality=40, mask=mask, nodata=-1)
    assert imfnb.encode(image[:, :, 0].T, axes="WH", quality=40) == imfnb.encode(image[:, :, 0], quality=40)


@pytest.mark.parametrize(
    ("axes", "shape"), [("HW", (9, 9, 2)), ("HWC", (9, 9)), ("THW", (9, 9)), ("THWC", (2, 9, 9)), ("HWT", (9, 9))]
)
def test_axes_must_fit_the_shape(axes, shape):
    with pytest.raises(OptionError, match=rf"expected {len(axes)} axes {axes}"):
        imfnb.encode(np.zeros(shape, np.int16), axes=axes)


@pytest.mark.parametrize("axes", ["", "H", "HWX", "HHW", "hw", 3, "HWCTT"])
def test_axes_have_names(axes):
    with pytest.raises(OptionError, match=r"axes is .*; expected H for rows"):
        imfnb.encode(np.zeros((9, 9, 2), np.int16), axes=axes)


def stack(frames: int, shape: tuple[int, ...], dtype: str = "uint16", alike: bool = True) -> np.ndarray:
    """Frames that are alike or not at all."""
    images = [scene(shape, dtype, 3 if alike else t, noise=0.001 if alike else 0.2) for t in range(frames)]
    return np.stack(images)


@pytest.mark.parametrize("shape", [(9, 10), pytest.param((9, 10, 2), marks=pytest.mark.jit)])
@pytest.mark.parametrize("alike", [pytest.param(False, marks=pytest.mark.jit), True])
@pytest.mark.parametrize("options", [{"lossless": True}, pytest.param({"quality": 50}, marks=pytest.mark.jit)])
def test_stacks(shape, alike, options):
    frames = stack(3, shape, alike=alike)
    axes = "THWC"[: frames.ndim]
    data = imfnb.encode(frames, axes=axes, **options)
    found = imfnb.decode(data)
    assert (found.shape, found.dtype) == (frames.shape, frames.dtype)
    details = imfnb.info(data)
    assert (details["shape"], details["frames"], details["dtype"]) == (frames.shape, 3, "uint16")
    assert details["bpp"] == pytest.approx(8 * len(data) / (3 * 90))
    if "lossless" in options:
        np.testing.assert_array_equal(found, frames)
    for number in range(3):
        np.testing.assert_array_equal(imfnb.decode(data, frame=number), found[number])
        if len(shape) == 3:
            np.testing.assert_array_equal(
                imfnb.decode(data, frame=number, bands=[1, 0, 1]), found[number][..., [1, 0, 1]]
            )
            np.testing.assert_array_equal(imfnb.decode(data, bands=[1]), found[..., [1]])
    order = [2, 1, 0] if len(shape) == 2 else [3, 0, 2, 1]
    moved = "".join(axes[axis] for axis in order)
    assert imfnb.encode(frames.transpose(order), axes=moved, **options) == data
    for wrong in (3, -1, True, 1.0, "0"):
        with pytest.raises(OptionError, match=r"frame is .*; expected an integer from 0 to 2"):
            imfnb.decode(data, frame=wrong)


@pytest.mark.jit
def test_stacks_of_either_kind_are_chosen():
    alike = imfnb.encode(stack(3, (16, 16)), axes="THW", lossless=True)
    other = imfnb.encode(stack(3, (16, 16), "uint8", alike=False), axes="THW", quality=30)
    assert apart(alike).frame.together == "times"
    assert apart(other).frame.apart
    assert apart(imfnb.encode(stack(2, (9, 9, 2), "int16"), axes="THWC", max_error=9)).frame.together == "bands"


@pytest.mark.jit
def test_stacks_of_pictures():
    frames = np.stack([picture(12, 13, 3, seed) for seed in range(2)])
    data = imfnb.encode(frames, axes="THWC", quality=30)
    found = imfnb.decode(data)
    for number, image in enumerate(frames):
        np.testing.assert_array_equal(found[number], imfnb.decode(imfnb.encode(image, quality=30)))
    np.testing.assert_array_equal(imfnb.decode(data, bands=[2, 0], frame=1), found[1][..., [2, 0]])


@pytest.mark.jit
@pytest.mark.parametrize("options", [{"size": 700}, {"bpp": 2.5}, {"psnr": 35}])
def test_targets_of_stacks_are_met(options):
    frames = stack(3, (21, 22))
    data = imfnb.encode(frames, axes="THW", **options)
    if "size" in options:
        assert len(data) <= 700
    elif "bpp" in options:
        assert imfnb.info(data)["bpp"] <= 2.5
    else:
        assert psnr(imfnb.decode(data), frames, 65535) >= 35


@pytest.mark.jit
def test_targets_of_stacks_that_cannot_be_met():
    frames = stack(3, (21, 22))
    with pytest.raises(OptionError, match=r"size=30 cannot be met"):
        imfnb.encode(frames, axes="THW", size=30)
    with pytest.raises(OptionError, match=r"bpp=0.01 cannot be met"):
        imfnb.encode(frames, axes="THW", bpp=0.01)
    for size in (130, 200, 400):  # few bytes are enough for frames as bands
        assert len(imfnb.encode(frames, axes="THW", size=size)) <= size


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_stacks_with_samples_without_data(dtype):
    frames, hole = stack(3, (9, 10, 2), dtype), np.zeros((3, 9, 10), np.bool_)
    hole[0, 2:4], hole[2, 5] = True, True
    for mask in (hole, np.broadcast_to(hole[..., None], frames.shape)):
        data = imfnb.encode(frames, axes="THWC", quality=40, mask=mask, nodata=-5)
        found = imfnb.decode(data)
        assert (found[hole] == -5).all()
        assert not (found[~hole] == -5).all(axis=-1).any()
    masked = np.ma.array(frames, mask=np.broadcast_to(hole[..., None], frames.shape))
    found = imfnb.decode(imfnb.encode(masked, axes="THWC", quality=40))
    assert (np.isnan(found[hole]) if dtype == "float32" else found[hole] == 0).all()
    with pytest.raises(OptionError, match=r"mask has shape \(9, 10\); expected that of the stack"):
        imfnb.encode(frames, axes="THWC", mask=hole[0])


@pytest.mark.jit
def test_a_file_that_is_no_stack_has_no_frames():
    data = imfnb.encode(scene((9, 9), "int16"), quality=20)
    with pytest.raises(OptionError, match="frame is 0, but the file is no stack"):
        imfnb.decode(data, frame=0)
    with pytest.raises(OptionError, match=r"bands is .0., but the image has no axis of channels"):
        imfnb.decode(data, bands=[0])


@pytest.mark.jit
@pytest.mark.parametrize("kind", ["lossy", "mask", "bound", "both", "picture"])
def test_bands_in_any_order(kind):
    image = scene((10, 11, 4), "uint8" if kind == "picture" else "int16")
    mask = disc(10, 11)[:, :, None] & [True, False, True, False]
    options = {"mask": {"quality": 40, "mask": mask, "nodata": -32768}, "bound": {"max_error": 9}}
    data = imfnb.encode(image, **options.get(kind, {"quality": 40}))
    if kind == "both":
        data = layered(image, data, 7)
    whole = imfnb.decode(data)
    for bands in ([0], [3], [2, 1], (3, 3, 0), range(4), np.array([1, 2])):
        found = imfnb.decode(data, bands=bands)
        np.testing.assert_array_equal(found, whole[:, :, list(bands)])
        out = np.zeros_like(found)
        assert imfnb.decode(data, out, bands=bands) is out
        np.testing.assert_array_equal(out, found)
    for bands in ([4], [-1], [], [0.5], "ab", 2, [None]):
        with pytest.raises(OptionError, match=r"bands is .*; expected"):
            imfnb.decode(data, bands=bands)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_out_of_any_layout(dtype):
    image = scene((9, 10, 2), dtype)
    data = imfnb.encode(image, quality=50, mask=disc(9, 10))
    expected = imfnb.decode(data)
    wide = np.zeros((9, 20, 2), dtype)
    for out in (np.empty_like(image), np.empty_like(image, order="F"), wide[:, ::2]):
        assert imfnb.decode(data, out) is out
        np.testing.assert_array_equal(out, expected)
    assert not wide[:, 1::2].any()
    for out in (np.empty((9, 10, 2), "uint8"), np.empty((9, 10, 3), dtype), np.empty((9, 10), dtype)):
        with pytest.raises(OptionError, match=rf"expected an array of {dtype} with shape \(9, 10, 2\)"):
            imfnb.decode(data, out)
    frames = imfnb.encode(stack(2, (9, 10, 2), "uint16"), axes="THWC", quality=50)
    out = np.empty((9, 10, 2), np.uint16)
    assert imfnb.decode(frames, out, frame=1) is out
    np.testing.assert_array_equal(out, imfnb.decode(frames)[1])


@pytest.mark.jit
def test_a_preview_has_fewer_components():
    image = scene((32, 32, 2), "uint16", noise=0.2)
    data = imfnb.encode(image, quality=80)
    whole, preview = imfnb.decode(data), imfnb.decode(data, max_rank=1)
    assert not np.array_equal(whole, preview)
    assert psnr(preview, image, 65535) < psnr(whole, image, 65535)
    np.testing.assert_array_equal(imfnb.decode(data, max_rank=256), whole)


# ------------------------------------------------------------------------------------------------------ info and errors


@pytest.mark.jit
def test_info_of_arrays():
    image = scene((20, 21, 3), "int16")
    data = imfnb.encode(image, quality=50, mask=disc(20, 21), nodata=-7)
    details = imfnb.info(data, components=True)
    assert details["profile"] == "main"
    assert (details["dtype"], details["shape"], details["frames"]) == ("int16", (20, 21, 3), None)
    assert (details["channels"], details["nodata"], details["max_error"]) == ("bands", -7, None)
    assert isinstance(details["nodata"], int)
    assert 1 <= details["columns"] <= 3
    assert len(details["steps"]) == len(details["patch_sizes"]) == len(details["restoration"]) == details["columns"]
    names = [f"column {k}" for k in range(details["columns"])]
    assert list(details["segments"]) == [*names, "V", "mask"]
    assert list(details["components"]) == names
    assert sum(details["segments"].values()) < details["size"] == len(data)
    assert details["bpp"] == pytest.approx(8 * len(data) / 420)
    assert "dtype: int16" in str(details)
    lossless = imfnb.info(imfnb.encode(image, lossless=True))
    assert (lossless["max_error"], lossless["columns"], list(lossless["segments"])) == (0, 0, ["residuals"])
    bounded = imfnb.info(imfnb.encode(image.astype(np.float32), max_error=2.5))
    assert 2.5 * (1 - 2**-8) <= bounded["max_error"] <= 2.5
    over = imfnb.info(recoded(layered(image, data, 4), (True,) * details["columns"]))
    assert over["restoration"] == (True,) * details["columns"]
    assert list(over["segments"]) == [*names, "V", "mask", "residuals"]
    assert over["max_error"] == 4


def test_pictures_tell_their_type_too():
    details = imfnb.info(imfnb.encode(picture(9, 9), quality=30))
    assert (details["dtype"], details["frames"]) == ("uint8", None)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "float16", "complex64", "bool", "O", "S3"])
def test_types_that_cannot_be_coded(dtype):
    expected = "uint8, int8, uint16, int16, float32 or float64: (convert|take its magnitude|give an array of numbers)"
    with pytest.raises(OptionError, match=rf"image has dtype .*; expected {expected}"):
        imfnb.encode(np.zeros((9, 9, 2), dtype))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((9,), "shape"),
        ((0, 9), "at least one"),
        ((9, 9, 0), "shape"),
        ((2, 2, 2, 2), "shape"),
        ((2, 2, 1025), "1025 bands; expected at most 1024: cut it"),
    ],
)
def test_shapes_that_cannot_be_coded(shape, message):
    for dtype in ("uint8", "int16"):
        with pytest.raises(OptionError, match=message):
            imfnb.encode(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": -1}, "max_error is -1; expected a number that is not negative"),
        ({"max_error": math.nan}, "max_error is nan"),
        ({"max_error": "1"}, "max_error is '1'"),
        ({"max_error": 1, "quality": 3}, "quality and max_error are given"),
        ({"lossless": True, "bpp": 3}, "bpp and lossless are given"),
        ({"lossless": 1}, "lossless is 1; expected True or False"),
        ({"step": 0}, "step is 0; expected a positive number in units of the data"),
        ({"step": math.inf}, "step is inf"),
        ({"channels": "cmyk"}, "channels is 'cmyk'; expected one of 'auto'"),
        ({"size": 20}, "size=20 cannot be met"),
        ({"bpp": 0.1}, "bpp=0.1 cannot be met"),
        ({"profile": "baseline"}, "dtype int16"),
        ({"profile": "baseline", "lossless": True}, "lossless belongs to profile='main'"),
        ({"objective": "svd"}, "objective='svd' is for pictures of 8 bits"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(OptionError, match=message):
        imfnb.encode(scene((9, 9, 3), "int16"), **options)


@pytest.mark.jit
def test_nothing_is_warned_of():
    image = scene((9, 9, 2), "float32")
    image[3, 3] = math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({"quality": 50}, {"max_error": 0.1}, {"psnr": 40}, {"size": 300}):
            imfnb.decode(imfnb.encode(image, **options))


@pytest.mark.jit
def test_more_bytes_than_floats_can_use():
    """A target that no precision needs is met with the best there is."""
    image = np.random.default_rng(0).normal(0, 1, (20, 30, 2)).cumsum(axis=0).astype(np.float32)
    for options in ({"bpp": 80.0}, {"size": 40000}):
        assert error(imfnb.decode(imfnb.encode(image, **options)), image) < 1e-5 * np.ptp(image)
    with pytest.raises(OptionError, match="psnr=170 cannot be met: samples of float32"):
        imfnb.encode(image, psnr=170)


@pytest.mark.jit
@pytest.mark.parametrize("target", [30, 36, 45, 60])
def test_samples_that_are_multiples_reach_their_psnr(target):
    """Errors of no unit near that of noise are what noise would have."""
    image = (np.random.default_rng(1).integers(0, 200, (40, 50, 4)) * 256).astype(np.uint16)
    assert psnr(image, imfnb.decode(imfnb.encode(image, psnr=target)), 65535) >= target
