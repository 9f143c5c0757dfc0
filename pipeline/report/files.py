"""The files of a report: the page, report.json, predictions.csv and two plots.

write_report("workdir/report", summary, examples, keys, readings)
previous_summary("workdir/report")
"""

import io
import pathlib
from collections.abc import Callable, Iterable, Sequence

from pipeline.model import metrics
from pipeline.reading.cells import csv_writer
from pipeline.report import plots
from pipeline.report.examples import Examples
from pipeline.report.page import page
from pipeline.report.readings import Readings
from pipeline.report.summary import SUMMARY_FILE, Summary, load_summary, summary_text
from records.alphabet import Alphabet
from records.atomic import atomic_file, remove_partial, write_text
from records.errors import DigitwiseError

PAGE_FILE = "report.html"
PREDICTIONS_FILE = "predictions.csv"
PREDICTIONS_HEADER = ("key", "code", "prediction", "confidence", "right")


def write_report(
    folder: pathlib.Path, summary: Summary, examples: Examples, keys: Sequence[str], readings: Readings
) -> None:
    """Writes each file whole or not at all, report.json last; `keys` are those of all records, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_partial(folder)
    alphabet = Alphabet(summary.records.alphabet)
    pictures = draw(summary, readings, alphabet)
    write_predictions(folder / PREDICTIONS_FILE, keys, readings, alphabet)
    for name in ("accuracy", "confusion"):
        with atomic_file(folder / f"{name}.png") as file:
            file.write(pictures[name][0])
    write_text(folder / PAGE_FILE, page(summary, examples, pictures))
    # Last: a report is there once it can be read back, and then all its other files are there.
    write_text(folder / SUMMARY_FILE, summary_text(summary))


def previous_summary(folder: pathlib.Path) -> Summary | None:
    """That of the report in the folder; None where there is none that can be read."""
    try:
        return load_summary(folder / SUMMARY_FILE)
    except DigitwiseError:
        return None


def write_predictions(path: pathlib.Path, keys: Iterable[str], readings: Readings, alphabet: Alphabet) -> None:
    with atomic_file(path) as file:
        # newline="": the csv module writes its own line ends.
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        write = csv_writer(text)
        write(PREDICTIONS_HEADER)
        columns = (readings.label_ids, readings.decoded_ids, readings.confidence.tolist(), readings.right.tolist())
        for key, label, decoded, confidence, right in zip(keys, *columns, strict=True):
            write((key, alphabet.text(label), alphabet.text(decoded), f"{confidence:.6f}", int(right)))
        text.flush()
        text.detach()


def draw(summary: Summary, readings: Readings, alphabet: Alphabet) -> dict[str, tuple[bytes, bytes]]:
    """{name: the plot as PNG, light and dark}."""
    confusion = metrics.confusion_counts(readings.label_ids, readings.decoded_ids)
    curve = metrics.coverage_curve(readings.confidence, readings.right)
    pictures = {
        "accuracy": _both(lambda theme: plots.accuracy_plot(summary.figures, summary.records.split, theme)),
        "confusion": _both(lambda theme: plots.confusion_plot(confusion, alphabet.characters, theme)),
        "coverage": _both(lambda theme: plots.coverage_plot(curve, theme)),
    }
    if len(summary.history) > 1:
        pictures["training"] = _both(lambda theme: plots.training_plot(summary.history, theme))
    return pictures


def _both(plot: Callable[[plots.Theme], bytes]) -> tuple[bytes, bytes]:
    return plot(plots.LIGHT), plot(plots.DARK)
