"""Accuracy of a classifier on decoded pictures against the rate (paper, section 4.4).

A classifier is any callable from a batch of pictures, uint8 of shape (N, H, W) or (N, H, W, 3), to scores of shape
(N, classes), of which the largest wins. A model of ONNX Runtime::

    session = onnxruntime.InferenceSession("resnet50.onnx")
    mean, scale = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])

    def classify(batch):
        crops = batch[:, :224, :224].astype(np.float32)
        inputs = ((crops - mean) / scale).transpose(0, 3, 1, 2)
        return session.run(None, {session.get_inputs()[0].name: inputs})[0]

A model of scikit-learn::

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train.reshape(len(train), -1), labels)

    def classify(batch):
        return model.predict_proba(batch.reshape(len(batch), -1))

In a file models.py either serves as ``imfnb bench classification PICTURES --labels labels.csv --classifier
models.py:classify``.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, metrics
from ..baselines import Codec
from ..errors import OptionError
from ..runtime.devices import resolve_threads
from ..runtime.run import HostRun
from .data import Picture
from .figures import INK, label_ends, look, new_figure, rate_axis
from .records import Points, Progress, Stamped
from .study import Guard, Outcome, Place, plural

__all__ = ["Classifier", "load_classifier", "read_labels", "run"]

Classifier = Callable[[np.ndarray], Any]

#: Name of the curve of the pictures themselves.
ORIGINAL = "original"

#: Rates at which codecs are compared, bits per pixel.
RATES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0)

# Pictures that are in memory at once.
_CHUNK = 64


def run(
    classifier: Classifier,
    pictures: Sequence[Picture],
    labels: Mapping[str, int],
    codecs: Sequence[Codec],
    *,
    name: str = "classifier",
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Measure how coding changes what a classifier sees.

    Parameters
    ----------
    classifier : callable
        From a batch of uint8 pictures of one shape to scores of shape (N, classes).
    pictures : sequence of Picture
        See :func:`imfnb.evaluate.data.pictures`.
    labels : mapping from str to int
        The class of every picture, by its name: a column of the scores.
    codecs : sequence of Codec
        What to measure, each at all its levels.
    name : str, default "classifier"
        Name of the classifier in the records; another model needs another name, or another folder.
    output, figure : path, optional
        Folder of the results and file of the figure; see :func:`imfnb.evaluate.rate_distortion.run`.
    threads : int, optional
        Pictures coded side by side; all cores by default. The classifier is called from one thread.
    progress : callable, optional
        Called with the number of finished points and of all points.
    guard : callable, optional
        Asked about results that exist already; see :class:`imfnb.evaluate.study.Place`.

    Returns
    -------
    Outcome
        Table, documents of the pictures themselves and of all codecs, and files. The results have "top-1" and "top-5",
        shares of the pictures whose class is the best, or one of the best five; where scores are equal, the picture's
        class counts as the worse one. The table also has top-1 of every codec at common mean rates, and how much that
        is above the first codec's: the same pictures went through both, so the standard error is that of the
        differences.

    Raises
    ------
    OptionError
        If a picture has no label, or the classifier returns something else than scores.

    See Also
    --------
    load_classifier : A classifier by name.
    read_labels : Labels from a file.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skimage.data import camera
    >>> from imfnb.evaluate import classification, data, study
    >>> def brightness(batch):
    ...     mean = batch.reshape(len(batch), -1).mean(axis=1)
    ...     return np.stack([255 - mean, mean], axis=1)
    >>> coat = data.Picture("coat", lambda: camera()[200:232, 170:202])
    >>> sky = data.Picture("sky", lambda: camera()[0:32, 0:32])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     codecs = study.codecs_by_name(["jpeg"])
    ...     outcome = classification.run(brightness, [coat, sky], {"coat": 0, "sky": 1}, codecs, output=folder)
    >>> [found["name"] for found in outcome.documents]
    ['original', 'jpeg']
    """
    missing = [picture.name for picture in pictures if picture.name not in labels]
    if missing:
        raise OptionError(f"{len(missing)} of {len(pictures)} pictures have no label, the first: {missing[0]}")
    place = Place("classification", output, figure, ["classification.json", "table.txt"], guard)
    points = place.points(key=("image", "sha256", "codec", "description", "level", "classifier", "label", "imfnb"))
    settings: list[tuple[Codec | None, float | None]] = [(None, None)]
    settings += [(codec, level) for codec in codecs for level in codec.levels]
    found: dict[tuple[str, float | None], list[dict[str, Any]]] = {}
    done, count = 0, len(settings) * len(pictures)
    with HostRun("cpu", resolve_threads(threads)) as run:
        for start in range(0, len(pictures), _CHUNK):
            chunk = run.each(Stamped, pictures[start : start + _CHUNK])
            for codec, level in settings:
                rows = _chunk_rows(chunk, labels, codec, level, name)
                measured = _fill(rows, chunk, codec, level, classifier, points, run)
                found.setdefault((ORIGINAL if codec is None else codec.name, level), []).extend(measured)
                done += len(chunk)
                if progress is not None:
                    progress(done, count)
    documents = [_document(ORIGINAL, "the pictures themselves", {None: found[ORIGINAL, None]})]
    documents += [
        _document(codec.name, codec.description, {level: found[codec.name, level] for level in codec.levels})
        for codec in codecs
    ]
    classes = found[ORIGINAL, None][0]["classes"]
    hits = {
        codec.name: _hits_at([found[codec.name, level] for level in codec.levels], documents[1 + index])
        for index, codec in enumerate(codecs)
    }
    table = _table(documents, hits, len(pictures), classes)
    place.write("classification.json", documents)
    place.write("table.txt", table)
    place.draw(draw(documents, len(pictures), classes))
    return Outcome(table, documents, place.files)


def _chunk_rows(
    chunk: Sequence[Stamped], labels: Mapping[str, int], codec: Codec | None, level: float | None, name: str
) -> list[dict[str, Any]]:
    """What identifies the points of a chunk."""
    row = {
        "codec": ORIGINAL if codec is None else codec.name,
        "description": "" if codec is None else codec.description,
        "level": level,
        "classifier": name,
        "imfnb": __version__,
    }
    return [{**stamped.stamp, **row, "label": int(labels[stamped.stamp["image"]])} for stamped in chunk]


def _fill(
    rows: Sequence[dict[str, Any]],
    chunk: Sequence[Stamped],
    codec: Codec | None,
    level: float | None,
    classifier: Classifier,
    points: Points,
    run: HostRun,
) -> list[dict[str, Any]]:
    """The points, measured where they are not in the records."""
    known = {index: point for index, row in enumerate(rows) if (point := points.get(row)) is not None}
    todo = [index for index in range(len(rows)) if index not in known]

    def code(index: int) -> tuple[np.ndarray, dict[str, Any]]:
        image = chunk[index].image
        if codec is None or level is None:
            return image, {"bpp": metrics.bpp(image.nbytes, image), "psnr-rgb": None}
        data = codec.encode(image, level)
        decoded = codec.decode(data)
        quality = metrics.psnr(image, decoded)
        return decoded, {"bpp": metrics.bpp(data, image), "psnr-rgb": quality if math.isfinite(quality) else None}

    coded = run.each(code, todo)
    for batch in _same_shape([image for image, _ in coded]):
        scores = _scores(classifier, np.stack([coded[i][0] for i in batch]))
        for i, values in zip(batch, scores, strict=True):
            row = rows[todo[i]]
            if not 0 <= row["label"] < values.size:
                raise OptionError(
                    f"the label of {row['image']} is {row['label']}; expected 0 to {values.size - 1}, a column of "
                    "the scores"
                )
            place = int(np.sum(values >= values[row["label"]])) - 1
            known[todo[i]] = {**row, **coded[i][1], "classes": values.size, "place": place}
            points.add(known[todo[i]])
    return [known[index] for index in range(len(rows))]


def _same_shape(images: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Indices of images of one shape."""
    for shape in dict.fromkeys(image.shape for image in images):
        yield [index for index, image in enumerate(images) if image.shape == shape]


def _scores(classifier: Classifier, batch: np.ndarray) -> np.ndarray:
    scores = np.asarray(classifier(batch))
    if scores.ndim != 2 or len(scores) != len(batch) or scores.dtype.kind not in "fiu" or np.isnan(scores).any():
        raise OptionError(
            f"the classifier made {scores.dtype} {scores.shape} of a batch of shape {batch.shape}; expected scores of "
            f"shape ({len(batch)}, classes), numbers without nan"
        )
    return scores


def _document(name: str, description: str, levels: Mapping[float | None, list[dict[str, Any]]]) -> dict[str, Any]:
    """Means over pictures at every level, in CompressAI's shape."""
    psnrs = [[row["psnr-rgb"] for row in rows] for rows in levels.values()]
    results = {
        "bpp": [float(np.mean([row["bpp"] for row in rows])) for rows in levels.values()],
        "psnr-rgb": [None if None in values else float(np.mean(values)) for values in psnrs],
        "top-1": [float(np.mean([row["place"] < 1 for row in rows])) for rows in levels.values()],
        "top-5": [float(np.mean([row["place"] < 5 for row in rows])) for rows in levels.values()],
    }
    return {"name": name, "description": description, "results": {**results, "level": list(levels)}}


def _hits_at(levels: Sequence[Sequence[Mapping[str, Any]]], document: Mapping[str, Any]) -> np.ndarray:
    """Whether each picture is recognized at each of RATES, between levels a share; nan beyond the curve.

    Levels are joined by straight lines over the logarithm of their mean rates.
    """
    rates = np.log(document["results"]["bpp"])
    order = np.argsort(rates)
    hits = np.array([[row["place"] < 1 for row in rows] for rows in levels], np.float64)[order]
    found = [np.interp(np.log(RATES), rates[order], column, left=math.nan, right=math.nan) for column in hits.T]
    return np.array(found)


def _table(documents: Sequence[Mapping[str, Any]], hits: Mapping[str, np.ndarray], count: int, classes: int) -> str:
    """The accuracies as text."""
    lines = [
        f"{plural(count, 'picture')}, {classes} classes",
        "",
        f"{'codec':20s}{'level':>8s}{'bpp':>8s}{'top-1 %':>9s}{'top-5 %':>9s}",
    ]
    for document in documents:
        r = document["results"]
        for level, bpp, first, five in zip(r["level"], r["bpp"], r["top-1"], r["top-5"], strict=True):
            text = f"{level:8g}" if level is not None else f"{'':8s}"
            lines.append(f"{document['name']:20s}{text}{bpp:8.3f}{100 * first:9.2f}{100 * five:9.2f}")
    columns = "".join(f"{rate:12.2f}" for rate in RATES)
    lines += ["", f"{'top-1 % at bpp':20s}{columns}"]
    for name, values in hits.items():
        lines.append(f"{name:20s}{_cells(100 * values.mean(axis=0))}")
    anchor = next(iter(hits), "")
    if count > 1 and len(hits) > 1:
        lines += ["", f"{'less ' + anchor:20s}{columns}   mean with standard error"]
        for name, values in hits.items():
            if name != anchor:
                gap = 100 * (values - hits[anchor])
                lines.append(f"{name:20s}{_cells(gap.mean(axis=0), gap.std(axis=0, ddof=1) / math.sqrt(count))}")
    return "\n".join(lines)


def _cells(values: np.ndarray, errors: np.ndarray | None = None) -> str:
    """Columns of numbers, with their errors if they have some."""
    if errors is None:
        texts = [f"{value:.1f}" if math.isfinite(value) else "-" for value in values]
    else:
        pairs = zip(values, errors, strict=True)
        texts = [f"{value:+.1f} +-{error:.1f}" if math.isfinite(value) else "-" for value, error in pairs]
    return "".join(f"{text:>12s}" for text in texts)


def draw(documents: Sequence[Mapping[str, Any]], count: int, classes: int) -> Any:
    """The figure: accuracy against rate, top-5 only where there are more than five classes."""
    shown = ("top-1", "top-5") if classes > 5 else ("top-1",)
    figure, axes = new_figure(5.8 * len(shown), 4.4, 1, len(shown))
    rates = [rate for document in documents[1:] for rate in document["results"]["bpp"]]
    for axis, measure in zip(axes[0], shown, strict=True):
        lines = []
        for number, document in enumerate(documents[1:]):
            results = document["results"]
            order = np.argsort(results["bpp"])
            share = np.array(results[measure])[order]
            error = np.sqrt(share * (1 - share) / count)
            style = look(document["name"], number)
            rate = np.array(results["bpp"])[order]
            lines += axis.plot(rate, 100 * share, marker="o", markersize=3, **style)
            axis.fill_between(
                rate, 100 * (share - error), 100 * (share + error), color=style["color"], alpha=0.1, linewidth=0
            )
        best = 100 * documents[0]["results"][measure][0]
        axis.axhline(best, color=INK, linewidth=0.9, linestyle=(0, (1, 2)), label=f"originals: {best:.1f}%")
        axis.legend(loc="lower right", frameon=False, fontsize=8, labelcolor=INK)
        rate_axis(axis, min(rates), max(max(rates), 1.01 * min(rates)))
        axis.set_ylabel(f"{measure} accuracy (%)", fontsize=9, color=INK)
        label_ends(axis, lines, [document["name"] for document in documents[1:]])
    figure.suptitle(f"{plural(count, 'picture')}, {classes} classes; bands: one standard error", fontsize=8, color=INK)
    return figure


def read_labels(path: str | os.PathLike) -> dict[str, int]:
    """Labels from a CSV file with the columns image and label.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict
        The class of every picture, by its name.

    Raises
    ------
    OptionError
        If the file is not one of these.

    See Also
    --------
    run : Takes them.

    Examples
    --------
    >>> import os, tempfile
    >>> from imfnb.evaluate import classification
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "labels.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("image,label\\na.png,3\\n")
    ...     labels = classification.read_labels(path)
    >>> labels
    {'a.png': 3}
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {row["image"]: int(row["label"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise OptionError(
            f"{os.fspath(path)}: no labels ({reason}); expected CSV with the columns image (a file name) and label "
            "(the number of a class)"
        ) from None


def load_classifier(spec: str) -> Classifier:
    """A classifier by name.

    Parameters
    ----------
    spec : str
        "package.module:function" or "path/to/file.py:function".

    Returns
    -------
    callable
        The function.

    Raises
    ------
    OptionError
        If there is no such function; the file's own errors come through.

    See Also
    --------
    run : Measures it.

    Examples
    --------
    >>> from imfnb.evaluate import classification
    >>> classification.load_classifier("numpy:asarray").__name__
    'asarray'
    """
    home, _, name = spec.rpartition(":")
    if not home or not name:
        raise OptionError(f"the classifier is {spec!r}; expected package.module:function or file.py:function")
    try:
        if home.endswith(".py"):
            found = importlib.util.spec_from_file_location(Path(home).stem, home)
            if found is None or found.loader is None:
                raise ImportError("not a Python file")
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
        else:
            module = importlib.import_module(home)
        return getattr(module, name)
    except (ImportError, FileNotFoundError, AttributeError) as error:
        raise OptionError(f"the classifier {spec!r} cannot be loaded: {error}") from None
