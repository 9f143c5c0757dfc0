"""What a training leaves for people to look at: history.jsonl, network.svg, and event files for TensorBoard.

    logs = Logs("workdir/logs", start_step=0)
    logs.scalars("train", step, loss=2.3, position_accuracy=0.1)
    logs.history(step, loss=2.3)

The event files are written with what TensorFlow itself has, so the package tensorboard is needed only to look at them.
"""

import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from records.atomic import write_text

HISTORY_FILE: str = "history.jsonl"
NETWORK_FILE: str = "network.svg"
_SHEET_COLUMNS = 4
_MARGIN = 6


class Logs:
    """Writers for one training; opened again after a stop, they continue from the checkpoint."""

    def __init__(self, folder: str | os.PathLike[str], start_step: int) -> None:
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._forget_after(start_step)
        self._history = open(self.folder / HISTORY_FILE, "a", encoding="utf-8")  # noqa: SIM115  closed by close()
        self._writers: dict[str, Any] = {}
        self._profiling = False

    def scalars(self, part: str, step: int, **values: float) -> None:
        """`part` is train or validation; TensorBoard shows what has the same name in one picture."""
        with self._writer(part).as_default(step):
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_metadata("scalars", "SCALAR"))

    def image(self, part: str, step: int, name: str, image: Image.Image) -> None:
        """A Pillow image."""
        file = io.BytesIO()
        image.save(file, "PNG")
        content = tf.constant([str(image.width), str(image.height), file.getvalue()])
        with self._writer(part).as_default(step):
            tf.summary.write(name, content, metadata=_metadata("images", "BLOB_SEQUENCE"))

    def network(self, network: keras.Model) -> None:
        """A picture of its layers."""
        from pipeline.training.diagram import diagram  # matplotlib takes a second to import

        write_text(self.folder / NETWORK_FILE, diagram(network))

    def graph(self, graph: Any) -> None:
        with self._writer("train").as_default(0):
            tf.summary.graph(graph)

    def history(self, step: int, **values: float) -> None:
        self._history.write(json.dumps({"step": step, **values}) + "\n")
        self._history.flush()  # a person may follow the file, and a kill loses one line at most

    def start_profile(self) -> None:
        tf.profiler.experimental.start(str(self.folder))
        self._profiling = True

    def stop_profile(self) -> None:
        if self._profiling:
            tf.profiler.experimental.stop()
            self._profiling = False

    def close(self) -> None:
        self.stop_profile()
        self._history.close()
        for writer in self._writers.values():
            writer.close()

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self.folder / part))
        return self._writers[part]

    def _forget_after(self, step: int) -> None:
        """A stopped run was logged further than it was saved; those steps come again."""
        path = self.folder / HISTORY_FILE
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if (row := _row(line)) and row["step"] <= step]
        if kept != lines:
            write_text(path, "".join(f"{line}\n" for line in kept))


def clear(folder: str | os.PathLike[str]) -> None:
    """Removes what Logs made in `folder`."""
    folder = pathlib.Path(folder)
    # By pattern, not the folder: a user may keep notes beside the logs.
    for pattern in (HISTORY_FILE, NETWORK_FILE, "*/events.out.tfevents.*", "plugins/profile/*/*"):
        for path in folder.glob(pattern):
            path.unlink()


def sheet(images: np.ndarray, texts: Sequence[str], decoded_texts: Sequence[str]) -> Image.Image:
    """A picture of images uint8 [count, height, width, channels], below each what it was read as; mistakes in red."""
    _, height, width, channels = images.shape
    font = ImageFont.load_default(size=14)
    cell_width, cell_height = width + _MARGIN, height + 20 + _MARGIN
    rows = -(-len(images) // _SHEET_COLUMNS)
    page = Image.new("RGB", (_SHEET_COLUMNS * cell_width + _MARGIN, rows * cell_height + _MARGIN), "white")
    draw = ImageDraw.Draw(page)
    for place, (pixels, text, decoded) in enumerate(zip(images, texts, decoded_texts)):
        x = _MARGIN + place % _SHEET_COLUMNS * cell_width
        y = _MARGIN + place // _SHEET_COLUMNS * cell_height
        page.paste(Image.fromarray(pixels[..., 0] if channels == 1 else pixels), (x, y))
        said = decoded if decoded == text else f"{decoded or '(nothing)'}, is {text}"
        draw.text((x, y + height), said, fill="black" if decoded == text else "#c00000", font=font)
    return page


def _metadata(plugin: str, data_class: str) -> Any:
    # What the tensorboard package's own functions would write; tf.summary.scalar and image need it installed.
    proto = tf.compat.v1.SummaryMetadata()
    proto.plugin_data.plugin_name = plugin
    proto.data_class = {"SCALAR": 1, "BLOB_SEQUENCE": 3}[data_class]
    return proto


def _row(line: str) -> dict[str, Any] | None:
    """The dict in a line, or None where a killed run wrote only half of it."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
