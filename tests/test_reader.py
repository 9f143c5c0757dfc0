"""The reader, with a network that gives what the test says."""

import ast
import dataclasses
import json
import subprocess
import sys
import threading
import tomllib

import numpy as np
import pytest

from digitwise import Busy, Limits, Reader, ReaderError, Reading, Recognizer
from digitwise.images import InputShape
from digitwise.metadata import VERSION, ModelMetadata, Promise
from digitwise.reader import Outputs
from digitwise.watch import Reference
from tests.conftest import ROOT

METADATA = ModelMetadata("abc", 2, 2, "positions", InputShape(height=2, width=3, channels=1, stored_channels=1))
PROMISE = Promise(threshold=0.5, max_error=0.01, codes=400, wrong=0)


class Told:
    """The first two pixels of an image are its code; the third is how sure the network is, in percent."""

    def __init__(self, metadata=METADATA):
        self.metadata = metadata
        self.batches = []
        self.go = threading.Event()
        self.go.set()

    def run(self, images):
        self.go.wait()
        self.batches.append(len(images))
        label_ids = images[:, 0, :2, 0].astype(np.int32)
        sure = images[:, 0, 2, 0] / np.float32(100)
        rows = np.broadcast_to(((1 - sure) / 2)[:, None, None], (len(images), 2, 3)).copy()
        np.put_along_axis(rows, label_ids[..., None], sure[:, None, None], axis=2)
        with np.errstate(divide="ignore"):
            return Outputs(label_ids, np.repeat(sure[:, None], 2, axis=1), sure**2, np.log(rows))


def image(first, second, sure):
    return np.array([[first, second, sure], [0, 0, 0]], np.uint8)


def test_readings():
    reader = Reader(Told(), batch_size=2)
    readings = reader.read([image(0, 1, 90), image(2, 2, 50), b"no image", image(1, 1, 70)])
    assert [reading.code for reading in readings] == ["ab", "cc", None, "bb"]
    assert [reading.name for reading in readings] == ["0", "1", "2", "3"]
    assert readings[0].confidence == readings[0].probability == pytest.approx(0.81)
    assert [c.character for c in readings[0].characters] == ["a", "b"]
    assert readings[0].characters[0].probability == pytest.approx(0.9)
    assert readings[2].error.startswith("neither PNG") and readings[2].accepted is False
    assert [reading.accepted for reading in readings] == [None, None, False, None]
    assert reader.network.batches == [2, 1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        readings[0].code = "xx"


def test_a_single_image_and_many():
    reader = Reader(Told())
    assert [reading.code for reading in reader.read(image(0, 1, 90))] == ["ab"]
    assert [reading.code for reading in reader.read(np.stack([image(0, 1, 90)[..., None]] * 3))] == ["ab"] * 3
    assert reader.read([]) == []
    (missing,) = reader.read("/nowhere/a.png")
    assert (missing.name, missing.code) == ("/nowhere/a.png", None)


def test_accepted_is_what_reaches_the_certified_threshold():
    reader = Reader(Told(dataclasses.replace(METADATA, promise=PROMISE)))
    assert [r.accepted for r in reader.read([image(0, 0, 80), image(0, 0, 60), b""])] == [True, False, False]
    strict = Reader(Told(dataclasses.replace(METADATA, promise=PROMISE)), threshold=0.9)
    assert [r.accepted for r in strict.read([image(0, 0, 80), image(0, 0, 99)])] == [False, True]


def test_limits():
    told = Told(dataclasses.replace(METADATA, promise=PROMISE))
    reading = Reader(told, limits=Limits(codes=("bb", "ba", "cb"))).read([image(0, 1, 80)])[0]
    # bb and cb have 0.1 * 0.8, ba has 0.1 * 0.1; without limits it would be ab with 0.64.
    assert reading.code == "bb"
    assert reading.probability == pytest.approx(0.08)
    assert reading.confidence == pytest.approx(0.08 / 0.17)
    assert [c.probability for c in reading.characters] == pytest.approx([0.1, 0.8])
    assert reading.accepted is False
    assert Reader(told, limits=Limits(characters="ab")).read([image(0, 1, 80)])[0].accepted is True
    lenient = Reader(told, limits=Limits(codes=("bb", "ba", "cb")), threshold=0.4)
    assert lenient.read([image(0, 1, 80)])[0].accepted is True
    # Enough for this threshold, but ab, with 0.34, would be read without limits.
    low = Told(dataclasses.replace(METADATA, promise=dataclasses.replace(PROMISE, threshold=0.01)))
    assert Reader(low, limits=Limits(characters="b")).read([image(0, 1, 58)])[0].accepted is False
    assert Reader(told, limits=Limits(codes=("bb",))).read([image(0, 0, 100)])[0].error == (
        "no code within the limits is possible"
    )
    never = Limits(function=lambda code: False, budget=3)
    assert "in 3 steps" in Reader(told, limits=never).read([image(0, 0, 50)])[0].error


def test_codes_of_a_length_that_was_not_trained_are_never_accepted():
    class TooLong(Told):
        def run(self, images):
            return Outputs(
                np.zeros((1, 3), np.int32), np.ones((1, 3), np.float32), np.ones(1, np.float32), np.zeros((1, 4, 4))
            )

    reading = Reader(TooLong(dataclasses.replace(METADATA, readout="ctc", promise=PROMISE))).read([image(0, 0, 1)])[0]
    assert (reading.code, reading.confidence, reading.accepted) == ("aaa", 1.0, False)


def test_the_watch_tells_where_images_are_of_another_kind():
    reference = Reference.of(np.linspace(0.7, 1, 200) ** 2, PROMISE.threshold)
    reader = Reader(Told(dataclasses.replace(METADATA, promise=PROMISE, reference=reference)))
    rng = np.random.default_rng(0)
    reader.read([image(0, 0, sure) for sure in rng.integers(70, 101, 50)])
    assert reader.alarm is None
    reader.read([image(0, 0, 40)] * 50)
    assert reader.alarm.images <= 100
    reader.reset_watch()
    assert reader.alarm is None


# --- many threads


def test_what_arrives_together_is_read_together():
    told = Told()
    with Recognizer(Reader(told, batch_size=8)) as recognizer:
        told.go.clear()
        answers = [recognizer.submit(image(n % 3, n // 3 % 3, 90), str(n)) for n in range(20)]
        told.go.set()
        readings = [answer.result(10) for answer in answers]
    assert [r.name for r in readings] == [str(n) for n in range(20)]
    assert [r.code for r in readings] == ["abc"[n % 3] + "abc"[n // 3 % 3] for n in range(20)]
    assert sum(told.batches) == 20 and len(told.batches) <= 1 + 3 + 1 and max(told.batches) == 8


def test_many_threads_get_their_own_readings():
    wrong = []
    with Recognizer(Reader(Told())) as recognizer:

        def ask(first):
            for second in (0, 1, 2) * 10:
                if recognizer.read(image(first, second, 90)).code != "abc"[first] + "abc"[second]:
                    wrong.append((first, second))

        threads = [threading.Thread(target=ask, args=(n % 3,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_too_many_that_wait_are_refused_and_closing_reads_the_rest():
    told = Told()
    recognizer = Recognizer(Reader(told, batch_size=1), max_waiting=3)
    told.go.clear()
    answers = []
    with pytest.raises(Busy, match="3 images are waiting already"):
        for _ in range(6):
            answers.append(recognizer.submit(image(0, 1, 90)))
    told.go.set()
    recognizer.close()
    recognizer.close()
    assert [answer.result(0).code for answer in answers] == ["ab"] * len(answers)
    with pytest.raises(ReaderError, match="closed"):
        recognizer.read(image(0, 1, 90))


def test_an_error_in_the_network_reaches_whoever_asked_and_the_next_is_read():
    class Failing(Told):
        def run(self, images):
            if images[0, 1, 0, 0]:
                raise RuntimeError("out of memory")
            return super().run(images)

    bad = image(0, 0, 90)
    bad[1, 0] = 1
    with Recognizer(Reader(Failing())) as recognizer:
        with pytest.raises(RuntimeError, match="out of memory"):
            recognizer.read(bad)
        with pytest.raises(ReaderError, match="the file is empty"):
            recognizer.read(b"")
        assert recognizer.read(image(0, 1, 90)).code == "ab"


# --- metadata


def full_metadata():
    reference = Reference.of(np.linspace(0, 1, 300), 0.5)
    return dataclasses.replace(METADATA, alphabet="0é漢", temperature=1.25, promise=PROMISE, reference=reference)


@pytest.mark.parametrize("metadata", [METADATA, full_metadata()])
def test_metadata_come_back_as_they_were(metadata):
    assert ModelMetadata.parse(metadata.to_json()) == metadata


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": VERSION + 1}, "this reader knows up to 2: update it"),
        ({"alphabet": ""}, "is empty"),
        ({"alphabet": "aa"}, "a character twice"),
        ({"alphabet": 7}, "alphabet=7, expected str"),
        ({"max_length": 100}, "need 1 to 64"),
        ({"max_length": True}, "expected int"),
        ({"max_length": "2"}, "expected int"),
        ({"readout": "magic"}, "not one of positions, ctc"),
        ({"temperature": 0}, "not above 0"),
        ({"shape": {"height": 2}}, "width is missing"),
        ({"shape": [2, 3]}, "expected fields"),
        ({"shape": {"height": 2, "width": 3, "channels": 2, "stored_channels": 1}}, "1 or 3 channels"),
        ({"more": 1}, "unknown"),
        ({"promise": {"threshold": 2, "max_error": 0.1, "codes": 1, "wrong": 0}}, "damaged"),
        (
            {"reference": {"count": 200, "threshold": 0.1, "accepted": 1, "points": 3, "below": [], "up_to": []}},
            "a list",
        ),
    ],
)
def test_metadata_that_are_refused(change, message):
    values = json.loads(METADATA.to_json()) | change
    with pytest.raises(ReaderError, match=message):
        ModelMetadata.parse(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"version": NaN}'])
def test_metadata_that_are_none(text):
    with pytest.raises(ReaderError):
        ModelMetadata.parse(text)


# --- without TensorFlow


def test_the_reader_needs_neither_tensorflow_nor_the_pipeline():
    code = (
        "import sys, digitwise, digitwise.recognizer, digitwise.limits, digitwise.onnx_network\n"
        "names = 'tensorflow', 'keras', 'absl', 'records', 'pipeline', 'alexnet', 'flags'\n"
        "other = [name for name in names if name in sys.modules]\n"
        "sys.exit(' '.join(other) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_reading_is_all_that_is_given():
    assert [field.name for field in dataclasses.fields(Reading)] == [
        "name", "code", "confidence", "probability", "characters", "accepted", "error",
    ]  # fmt: skip


def test_the_package_imports_only_what_it_may():
    """It is installed by itself: the standard library, NumPy, Pillow, and in one module ONNX Runtime."""
    for path in sorted((ROOT / "digitwise").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in {name.split(".")[0] for name in names}:
                allowed = {"digitwise", "numpy", "PIL", *sys.stdlib_module_names}
                allowed |= {"onnxruntime"} if path.name == "onnx_network.py" else set()
                assert name in allowed, f"{path.name} imports {name}"


def test_all_its_packages_are_installed():
    project = tomllib.loads((ROOT / "digitwise/pyproject.toml").read_text())
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "digitwise").rglob("*.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == {".".join(folder.parts) for folder in folders}


def test_metadata_from_before_images_were_fitted():
    content = json.loads(METADATA.to_json()) | {"version": 1}
    del content["shape"]["resizing"]
    assert ModelMetadata.parse(json.dumps(content)) == METADATA
    content["shape"]["resizing"] = "crop"
    with pytest.raises(ReaderError, match="the resizing 'crop' is neither none nor fit"):
        ModelMetadata.parse(json.dumps(content))
