"""A tiny network, exported to every format, read back, and compared."""

import dataclasses
import functools
import io
import json
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet import NETWORKS
from alexnet.readout import READOUTS
from digitwise import Limits, Reader, ReaderError
from digitwise.images import InputShape
from digitwise.metadata import ModelMetadata, Promise
from digitwise.onnx_network import OnnxNetwork
from digitwise.reader import Outputs
from digitwise.watch import Reference
from pipeline.config import CodeConfig, DrawingConfig
from pipeline.export import formats
from pipeline.export.export import CARD, CARD_JSON, PARITY, Certified, export
from pipeline.export.formats import FORMATS
from pipeline.export.graph import ReadingGraph
from pipeline.export.networks import GraphNetwork
from pipeline.export.parity import answers, difference
from pipeline.model.cleaning import CLEANINGS
from records.errors import DigitwiseError
from records.split import SplitRule
from tests.conftest import ROOT

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytest.importorskip("ai_edge_litert")

HEIGHT, WIDTH = 12, 20


def graph_of(readout="positions", lengths=(3, 3), cleaning="none", channels=1):
    """Each column of pixels is looked at by itself, so that different images give different codes."""
    reads = READOUTS[readout](5, *lengths)
    images = keras.Input((HEIGHT, WIDTH, channels))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = keras.layers.Permute((2, 1, 3))(x)
    x = keras.layers.Reshape((WIDTH, HEIGHT * channels))(x)
    if reads.num_positions:
        x = keras.layers.Reshape((1, -1))(x)
        x = keras.layers.Dense(reads.num_positions * reads.num_outputs, kernel_initializer=_drawn(1))(x)
        x = keras.layers.Reshape((reads.num_positions, reads.num_outputs))(x)
    else:
        x = keras.layers.Dense(reads.num_outputs, kernel_initializer=_drawn(2), bias_initializer=_blank)(x)
    shape = InputShape(HEIGHT, WIDTH, channels, channels)
    metadata = ModelMetadata("01abc", *lengths, readout, shape, cleaning, temperature=1.5)
    return ReadingGraph(keras.Model(images, x), reads, CLEANINGS[cleaning], metadata)


def _drawn(seed):
    return keras.initializers.RandomNormal(stddev=0.6, seed=seed)


def _blank(shape, dtype=None):
    return tf.constant([0.0] * (shape[0] - 1) + [2.0], dtype)


@functools.cache
def images(count=40, channels=1):
    """Noise; with one channel those of which the network is surest, as 8 bits may turn a reading that is close."""
    drawn = np.random.default_rng(0).integers(0, 256, (5 * count, HEIGHT, WIDTH, channels), np.uint8)
    if channels == 1:
        drawn = drawn[np.argsort(-GraphNetwork(graph_of()).run(drawn).confidences)]
    return list(drawn[:count])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    graph = graph_of()

    def certify(network):
        confidences = network.run(np.stack(images())).confidences
        threshold = float(np.median(confidences))
        return Certified(Promise(threshold, 0.01, 300, 0), Reference.of(np.tile(confidences, 5), threshold))

    return graph, folder, export(graph, folder, images(), certify=certify, name="tiny")


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_reads_as_the_checkpoint_does(exported, name):
    graph, folder, card = exported
    network = FORMATS[name].open(folder / FORMATS[name].path)
    expected, got = GraphNetwork(graph).run(np.stack(images())), network.run(np.stack(images()))
    rtol = 0.2 if name == "litert_dynamic" else 1e-4
    np.testing.assert_allclose(got.confidences, expected.confidences, rtol=rtol, atol=1e-6)
    if name != "litert_dynamic":
        np.testing.assert_array_equal(got.label_ids, expected.label_ids)
        np.testing.assert_allclose(got.probabilities, expected.probabilities, rtol=1e-4)
        np.testing.assert_allclose(got.log_probabilities, expected.log_probabilities, rtol=1e-4, atol=1e-5)
    (file,) = [file for file in card.files if file.format == name]
    assert file.difference.num_images == 40
    assert file.promise == network.metadata.promise
    assert network.metadata.reference is not None
    assert len(set(answers(network, images()).texts)) > 10  # the images are told apart


def test_the_folder_is_whole(exported):
    _, folder, card = exported
    parity = json.loads((folder / PARITY).read_text())
    assert [file["format"] for file in parity] == list(FORMATS)
    assert all(len(file["sha256"]) == 64 and file["bytes"] > 1000 for file in parity)
    assert json.loads((folder / CARD_JSON).read_text())["metadata"]["alphabet"] == "01abc"
    text = (folder / CARD).read_text()
    assert text == card.to_markdown()
    assert "Reads codes of 3 characters out of `01abc` in grey images" in text
    assert "| `model.onnx` | ONNX Runtime, and digitwise.Reader |" in text
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_saved_model_reads_files_and_pixels_to_texts(exported):
    graph, folder, _ = exported
    model = tf.saved_model.load(str(folder / "saved_model/1"))
    expected = [reading.code for reading in Reader(GraphNetwork(graph)).read(images())]
    pixels = model.signatures["pixels"](images=tf.constant(np.stack(images())))
    files = model.signatures["serving_default"](files=tf.constant([png(image) for image in images()]))
    for outputs in (pixels, files):
        assert [text.decode() for text in outputs["text"].numpy()] == expected
        np.testing.assert_allclose(outputs["confidence"], pixels["confidence"], rtol=1e-5)
        assert set(outputs["accepted"].numpy()) == {True, False}
    assert 15 <= files["accepted"].numpy().sum() <= 25  # the threshold is the median


def test_a_saved_model_decodes_odd_files_as_the_reader_does(exported):
    graph, _, _ = exported
    decode = graph._decoded
    rng = np.random.default_rng(3)
    rgba = rng.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    deep = Image.fromarray(rng.integers(0, 65536, (HEIGHT, WIDTH), np.uint16))
    large = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 9), np.uint8)).resize((90, 60)))
    palette = io.BytesIO()
    Image.fromarray(rgba[..., :3]).quantize(8).save(palette, "PNG")
    bits = io.BytesIO()
    Image.fromarray(rgba[..., 0]).convert("1").save(bits, "PNG")
    clear = io.BytesIO()
    Image.fromarray(rgba[..., :3]).quantize(8).save(clear, "PNG", transparency=2)
    file = io.BytesIO()
    deep.save(file, "PNG")
    reader = Reader(GraphNetwork(graph))
    exact = [png(rgba[..., :3]), *(stream.getvalue() for stream in (palette, bits, clear, file))]
    for data, allowed in [*((data, 0) for data in exact), (png(rgba), 1), (png(large), 1)]:
        difference = decode(tf.constant(data)).numpy().astype(int) - reader.prepare(data)
        assert np.abs(difference).max() <= allowed


def test_a_model_that_fits_images_reads_files_of_any_size(exported, tmp_path):
    graph = exported[0]
    shape = dataclasses.replace(graph.metadata.shape, resizing="fit")
    fitting = graph.with_metadata(dataclasses.replace(graph.metadata, shape=shape))
    FORMATS["onnx"].write(fitting, tmp_path / "model.onnx")
    reader = Reader(tmp_path / "model.onnx")
    assert reader.metadata.shape.resizing == "fit"
    files = [png(np.random.default_rng(n).integers(0, 256, (7 + n, 20 - n), np.uint8)) for n in range(6)]
    for data in files:
        difference = fitting._decoded(tf.constant(data)).numpy().astype(int) - reader.prepare(data)
        assert np.abs(difference).max() <= 1
    expected = Reader(GraphNetwork(fitting)).read(files)
    assert [reading.code for reading in reader.read(files)] == [reading.code for reading in expected]
    assert not any(reading.error for reading in expected)


def test_the_reader_reads_the_onnx_file(exported, tmp_path):
    graph, folder, _ = exported
    path = tmp_path / "a.png"
    path.write_bytes(png(images()[0]))
    reader = Reader(folder)
    reading, missing = reader.read([path, tmp_path / "b.png"])
    expected = Reader(GraphNetwork(graph)).read([path])[0]
    assert (reading.code, reading.name) == (expected.code, str(path))
    assert reading.confidence == pytest.approx(expected.confidence, rel=1e-4)
    assert reading.accepted is (reading.confidence >= reader.metadata.promise.threshold)
    assert missing.error.startswith("the file cannot be read")
    limited = Reader(folder / "model.onnx", limits=Limits(codes=("000", "abc"))).read(images())
    assert {reading.code for reading in limited} == {"000", "abc"}


def test_an_onnx_file_without_our_metadata_is_refused(exported, tmp_path):
    import onnx

    model = onnx.load(exported[1] / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ReaderError, match="bare.onnx was not exported by digitwise"):
        Reader(tmp_path / "bare.onnx")
    metadata = dataclasses.replace(exported[0].metadata, shape=InputShape(9, 9, 1, 1))
    onnx.helper.set_model_props(model, {"digitwise": metadata.to_json()})
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ReaderError, match="but its metadata say 'images' as uint8"):
        Reader(tmp_path / "other.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ReaderError, match="text.onnx is not an ONNX model that can be run"):
        Reader(tmp_path / "text.onnx")
    with pytest.raises(ReaderError, match="is not a file"):
        Reader(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    "arguments",
    [
        {"lengths": (1, 3)},
        {"readout": "ctc", "lengths": (2, 4)},
        {"cleaning": "median_threshold", "channels": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_readouts_and_cleanings_are_part_of_the_file(arguments, name, tmp_path):
    graph = graph_of(**arguments)
    channels = arguments.get("channels", 1)
    card = export(graph, tmp_path / "model", images(channels=channels), formats=[name])
    assert card.files[0].difference.changed_readings == ()
    assert card.files[0].difference.largest_confidence_difference < 1e-4
    network = FORMATS[name].open(tmp_path / "model" / FORMATS[name].path)
    assert len(set(answers(network, images(channels=channels)).texts)) > 5


def test_where_the_network_looked_is_part_of_the_file(tmp_path):
    reads = READOUTS["positions"](5, 3, 3)
    network = NETWORKS["alexnet"]((32, 80, 1), reads.num_outputs, reads.num_positions)
    metadata = ModelMetadata("01abc", 3, 3, "positions", InputShape(32, 80, 1, 1))
    graph = ReadingGraph(network, reads, CLEANINGS["none"], metadata)
    formats.write_onnx(graph, tmp_path / "model.onnx")
    batch = np.random.default_rng(0).integers(0, 256, (2, 32, 80, 1), np.uint8)
    looked = GraphNetwork(graph).looks(batch)
    assert looked.shape == (2, 3, 20)
    np.testing.assert_allclose(looked.sum(axis=-1), np.ones((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(looked.argmax(axis=-1), [[3, 10, 16]] * 2, atol=1)  # untrained: its part of the width
    np.testing.assert_allclose(OnnxNetwork(tmp_path / "model.onnx").looks(batch), looked, atol=1e-5)
    assert GraphNetwork(graph_of()).looks(np.stack(images(2))) is None


def test_a_file_that_reads_differently_is_not_exported(tmp_path, monkeypatch):
    class Wrong:
        def __init__(self, metadata):
            self.metadata = metadata

        def run(self, batch):
            outputs = GraphNetwork(graph).run(batch)
            return Outputs((outputs.label_ids + 1) % 5, *dataclasses.astuple(outputs)[1:])

    graph = graph_of()
    wrong = dataclasses.replace(FORMATS["onnx"], open=lambda path: Wrong(graph.metadata))
    monkeypatch.setitem(formats.FORMATS, "onnx", wrong)
    with pytest.raises(
        DigitwiseError, match="onnx reads 40 of 40 images differently from the checkpoint, such as image 0; 0 may"
    ):
        export(graph, tmp_path / "model", images(), formats=["onnx"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DigitwiseError, match="there are none"):
        export(graph, tmp_path / "model", [])


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(DigitwiseError, match=r"exporting needs tf2onnx, .* pip install -e '.\[export\]'"):
        export(graph_of(), tmp_path / "model", images(2), formats=["onnx"])


def test_differences_by_hand():
    graph = GraphNetwork(graph_of())
    expected = answers(graph, images(3))
    got = dataclasses.replace(
        expected,
        texts=(expected.texts[0], "zzz", expected.texts[2]),
        confidences=expected.confidences + [0, 0, 0.25],
        accepted=(None, None, True),
    )
    found = difference(expected, got)
    assert (found.changed_readings, found.changed_decisions) == ((1,), (2,))
    assert found.largest_confidence_difference == pytest.approx(0.25)
    assert found.changed_share == 1 / 3


def test_the_temperature_makes_it_less_sure_and_changes_no_reading():
    graph = graph_of()
    hot = graph.with_metadata(dataclasses.replace(graph.metadata, temperature=3.0))
    warm, cold = answers(GraphNetwork(hot), images()), answers(GraphNetwork(graph), images())
    assert warm.texts == cold.texts
    assert (warm.confidences < cold.confidences).mean() > 0.9


@pytest.mark.slow
def test_the_first_code_comes_soon_and_without_tensorflow(exported, tmp_path):
    """The promise of half a second is for an idle machine; here CPU time counts, and what is imported."""
    path = tmp_path / "a.png"
    path.write_bytes(png(images()[0]))
    code = (
        "import sys, time\n"
        "from digitwise import Reader\n"
        f"code = Reader({str(exported[1] / 'model.onnx')!r}).read({str(path)!r})[0].code\n"
        "print(code, time.process_time(), 'tensorflow' in sys.modules)"
    )
    expected = Reader(exported[1] / "model.onnx").read(path)[0].code
    started = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 60
    text, seconds, has_tensorflow = run.stdout.split()
    assert (text, has_tensorflow) == (expected, "False")
    assert float(seconds) < 5


@pytest.mark.parametrize(
    "arguments", [{}, {"lengths": (1, 3)}, {"readout": "ctc", "lengths": (1, 10)}], ids=["one", "several", "ctc"]
)
def test_within_limits_a_code_is_as_probable_as_the_network_says(arguments):
    network = GraphNetwork(graph_of(**arguments))
    readings = [reading for reading in Reader(network).read(images()) if reading.code]
    assert len({reading.code for reading in readings}) > 10
    codes = tuple(reading.code for reading in readings)
    listed = Reader(network, limits=Limits(codes=codes)).read(images())
    by_code = [(one, other) for one, other in zip(Reader(network).read(images()), listed, strict=True) if one.code]
    same = [(one, other) for one, other in by_code if one.code == other.code]
    assert len(same) > len(by_code) / 2
    for one, other in same:
        assert other.probability == pytest.approx(one.probability, rel=1e-4)
        found = [each.probability for each in other.characters]
        assert found == pytest.approx([each.probability for each in one.characters], rel=1e-4)
    # Class by class the network takes the best, which need not be the best code; the search finds that.
    assert all(other.probability >= one.probability * (1 - 1e-4) for one, other in by_code)


def test_a_benchmark_measures_the_promise_on_images(exported, capsys, monkeypatch):
    from benchmarks import promise_on_images
    from pipeline.drawing.renderer import Drawing

    model = str(exported[1])
    drawing = Drawing.of(CodeConfig("01abc", (3, 3), (40, 20)), DrawingConfig())
    read = promise_on_images.read_piece(
        promise_on_images.Piece(model, drawing, "seed", 4, 7, "test", "JPEG of quality 10")
    )
    rule = SplitRule(0.04, 0.1)
    assert [rule.split(shown) for shown, _, _ in read] == ["test"] * 3
    assert all(len(got) == 3 and 0 < confidence <= 1 for _, got, confidence in read)

    def read_as_if(piece):
        """Right and sure, but for blank images, which are read wrong, half of them with confidence."""
        is_blank = piece.shift == "blank"
        for number in range(piece.first, piece.last):
            shown = f"{piece.seed}{number}"
            confidence = 0.5 if is_blank and number % 2 else 0.9 + 0.09 * (number * 0.618 % 1)
            yield shown, "?" if is_blank else shown, confidence

    monkeypatch.setattr(promise_on_images, "read_piece", lambda piece: list(read_as_if(piece)))
    promise_on_images.main([model, "--sets=2", "--codes=400", "--fresh=700", "--shifted=60", "--max_error=0.01"])
    result = json.loads(capsys.readouterr().out)
    assert (result["certified"], result["broken"], result["fresh_right"]) == (2, 0, 700)
    assert len(result["shifts"]) == 12
    blank, unchanged = result["shifts"]["blank"], result["shifts"]["none"]
    assert (blank["read_right"], blank["accepted"], blank["accepted_wrong"]) == (0, 30, 30)
    assert blank["images_until_alarm"] <= 50 and blank["accepted_wrong_until_alarm"] <= 25
    assert (unchanged["read_right"], unchanged["accepted"], unchanged["images_until_alarm"]) == (60, 60, None)


def test_errors_and_coverage_on_images_by_hand():
    from benchmarks.promise_on_images import best_coverage, error_and_coverage
    from pipeline.promise.certificate import Outcomes

    read = Outcomes(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, True]), list("abcd"))
    assert error_and_coverage(read, 0.7) == (1, 3)
    assert best_coverage(read, 0.0) == 0.25 and best_coverage(read, 0.3) == 1.0
    assert best_coverage(read, 0.24) == 0.25


# --- files that are damaged


@pytest.fixture
def copied(exported, tmp_path):
    shutil.copytree(exported[1], tmp_path / "model")
    return tmp_path / "model"


def plain_metadata(path):
    """As exports of earlier versions have it: without the sum of the file."""
    values = json.loads(path.read_text())
    del values["file_sha256"]
    path.write_text(json.dumps(values))


def test_an_onnx_file_whose_weights_or_metadata_were_changed_is_refused(copied):
    path = copied / "model.onnx"
    content = path.read_bytes()
    places = (len(content) // 3, content.index(b'"alphabet"'), len(content) - 1)  # the last byte is the seal's own
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ReaderError, match="model.onnx is damaged: it is not as it was exported; export it again"):
            Reader(copied)
    path.write_bytes(content)
    assert not Reader(copied).read(images()[:1])[0].error


def test_an_onnx_file_of_an_earlier_version_has_no_seal_and_is_read(copied):
    import onnx

    path = copied / "model.onnx"
    expected = Reader(copied).read(images())
    model = onnx.load(path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert sorted(properties) == ["digitwise", "digitwise_sha256"]
    onnx.helper.set_model_props(model, {"digitwise": properties["digitwise"]})
    onnx.save(model, path)
    assert Reader(copied).read(images()) == expected


def test_a_litert_file_is_bound_to_its_metadata(exported, copied):
    path, metadata = copied / "model.tflite", copied / "model.tflite.json"
    shutil.copy(copied / "model-dynamic.tflite.json", metadata)
    with pytest.raises(
        ReaderError, match=r"model.tflite is not the file that model.tflite.json was written for.* again"
    ):
        FORMATS["litert"].open(path)
    shutil.copy(exported[1] / "model.tflite.json", metadata)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ReaderError, match="it is damaged, or they are of different exports; export it again"):
        FORMATS["litert"].open(path)


def test_a_litert_file_of_an_earlier_version_is_read_and_its_faults_are_one_line(copied):
    path, metadata = copied / "model.tflite", copied / "model.tflite.json"
    plain_metadata(metadata)
    assert len(set(answers(FORMATS["litert"].open(path), images(4)).texts)) > 1
    values = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(values | {"alphabet": "01ab"}))
    with pytest.raises(ReaderError, match="model.tflite gives .* need 3 positions of 4 classes"):
        FORMATS["litert"].open(path)
    metadata.write_text(json.dumps(values | {"shape": values["shape"] | {"height": 9}}))
    with pytest.raises(ReaderError, match="model.tflite takes .*, but its metadata say 'images' as uint8"):
        FORMATS["litert"].open(path)
    metadata.write_bytes(b"\xff{}")
    with pytest.raises(DigitwiseError, match="model.tflite.json is not UTF-8 text"):
        FORMATS["litert"].open(path)
    metadata.write_text(json.dumps(values))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        ReaderError, match=r"model.tflite is not a LiteRT model that can be run \(.*\): export it again"
    ):
        FORMATS["litert"].open(path)


def test_a_saved_model_that_is_damaged_is_one_line(copied):
    folder = copied / "saved_model/1"
    text = (folder / "digitwise.json").read_text()
    (folder / "digitwise.json").write_text(text.replace('"01abc"', '"01abcd"'))
    with pytest.raises(ReaderError, match="saved_model/1 gives .* need 3 positions of 6 classes"):
        FORMATS["saved_model"].open(folder)
    (folder / "digitwise.json").write_text(text)
    (variables,) = folder.glob("variables/*.data-*")
    variables.write_bytes(variables.read_bytes()[:10])
    with pytest.raises(ReaderError, match=r"saved_model/1 is not a SavedModel that can be run \(.*\): export it again"):
        FORMATS["saved_model"].open(folder)
