"""Model files that are damaged, or are not what their metadata say, are one line when they are opened or first run."""

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from digitwise import Limits, Reader, ReaderError
from digitwise.errors import ModelError
from digitwise.metadata import ModelMetadata
from digitwise.model_file import Ends, check_ends, check_outputs, runnable
from tests.stripes import StripesNetwork, pixels, write_onnx

METADATA = StripesNetwork().metadata  # three digits, of ten classes
REFERENCE = {"count": 200, "threshold": 0.5, "accepted": 100, "points": [0.5], "below": [0.0], "up_to": [1.0]}


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(path)
    return path


def edited(stripes, folder, **changes):
    """The file with other metadata."""
    model = onnx.load(stripes)
    values = {**json.loads(METADATA.to_json()), **changes}
    onnx.helper.set_model_props(model, {"digitwise": json.dumps(values)})
    onnx.save(model, folder / "edited.onnx")
    return folder / "edited.onnx"


def test_a_file_as_it_was_exported_is_read(stripes):
    assert Reader(stripes).read(pixels("407"))[0].code == "407"


OTHER_MODELS = [
    ({"alphabet": "012345678"}, r"\[batch, 3, 10\], but .* out of 9 characters, need 3 positions of 9 classes"),
    ({"alphabet": "0123456789abc"}, "need 3 positions of 13 classes: export it again"),
    ({"min_length": 2}, "need 3 positions of 11 classes"),
    ({"min_length": 4, "max_length": 4}, "need 4 positions of 10 classes"),
    ({"min_length": 64, "max_length": 64}, "need 64 positions of 10 classes"),
    ({"readout": "ctc"}, "need 5 columns or more of 11 classes"),
    ({"readout": "ctc", "alphabet": "012345678"}, "need 5 columns or more of 10 classes"),
    ({"readout": "ctc", "alphabet": "012345678", "min_length": 1, "max_length": 1}, "label_ids .*needs 2 places"),
]


@pytest.mark.parametrize("changes, message", OTHER_MODELS)
def test_metadata_of_another_model(stripes, tmp_path, changes, message):
    with pytest.raises(ModelError, match=f"edited.onnx gives .*{message}"):
        Reader(edited(stripes, tmp_path, **changes))


@pytest.mark.parametrize("changes, message", OTHER_MODELS)
@pytest.mark.parametrize("limits", [None, Limits(characters="012")])
def test_shapes_that_no_file_states_are_seen_in_the_first_batch(limits, changes, message):
    network = StripesNetwork()
    network.metadata = dataclasses.replace(METADATA, **changes)
    with pytest.raises(ModelError, match=f"the model gives .*{message}"):
        Reader(network, limits).read(pixels("407"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"alphabet": "012345678\x1b"}, r"the alphabet '012345678\\x1b' has a character that no image can show"),
        ({"alphabet": "012345678\n"}, "no image can show"),
        ({"temperature": 10**400}, "temperature=1000.*, expected a finite number"),
        ({"temperature": float("nan")}, "temperature=nan, expected a finite number"),
        ({"promise": {"threshold": 0.0, "max_error": 1e-7, "codes": 0, "wrong": 0}}, "0 wrong of 0 codes do not show"),
        ({"promise": {"threshold": 0.5, "max_error": 0.01, "codes": 298, "wrong": 0}}, "0 wrong of 298 codes do not"),
        ({"promise": {"threshold": 0.5, "max_error": 0.01, "codes": 400, "wrong": 1}}, "1 wrong of 400 codes do not"),
        ({"promise": {"threshold": 0.5, "max_error": 0.01, "codes": 10**10, "wrong": 10**9}}, "is damaged"),
        ({"reference": REFERENCE | {"count": 10**10}}, "10,000,000,000 images; it takes 10,000,000 or fewer"),
        ({"reference": REFERENCE | {"points": [float("nan")]}}, "expected a list of finite numbers"),
        ({"reference": REFERENCE | {"points": [10**400]}}, "expected a list of finite numbers"),
        ({"reference": REFERENCE | {"below": [True]}}, "expected a list of finite numbers"),
        ({"reference": REFERENCE | {"threshold": float("inf")}}, "expected a finite number"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_metadata_that_no_model_can_have(stripes, tmp_path, changes, message):
    with pytest.raises(ReaderError, match=message):
        Reader(edited(stripes, tmp_path, **changes))


@pytest.mark.parametrize("codes, wrong", [(299, 0), (473, 1)])
def test_as_many_codes_as_a_certificate_takes(codes, wrong):
    promise = {"threshold": 0.0, "max_error": 0.01, "codes": codes, "wrong": wrong}
    values = json.loads(METADATA.to_json()) | {"promise": promise, "reference": REFERENCE}
    metadata = ModelMetadata.parse(json.dumps(values))
    assert (metadata.promise.codes, metadata.reference.count) == (codes, 200)


def test_the_classes_that_come_are_in_the_alphabet():
    class Other(StripesNetwork):
        def run(self, images):
            outputs = super().run(images)
            return dataclasses.replace(outputs, label_ids=outputs.label_ids + 6)

    with pytest.raises(ModelError, match="the model gives the class 13, but its alphabet has 10 characters"):
        Reader(Other()).read(pixels("407"))


def test_ctc_columns_and_places():
    metadata = dataclasses.replace(METADATA, readout="ctc")
    check_outputs(metadata, (1, 5, 11), (1, 4))
    check_outputs(metadata, ("n", None, -1), ("n", "places"))
    with pytest.raises(ModelError, match=r"\[batch, 4, 11\].* need 5 columns or more of 11 classes"):
        check_outputs(metadata, (1, 4, 11), (1, 4))
    with pytest.raises(ModelError, match=r"\[batch, 11\]"):
        check_outputs(metadata, (1, 11), (1, 4))


def test_what_a_model_takes_and_what_it_lacks():
    inputs = {"images": ("uint8", ["n", 8, 12, 1])}
    with pytest.raises(ModelError, match="m gives label_ids, but not probabilities, confidence, log_probabilities"):
        check_ends(METADATA, Ends(inputs, {"label_ids": [1, 3]}), "m")
    stated = dict.fromkeys(("probabilities", "confidence", "label_ids", "log_probabilities"), [])
    check_ends(METADATA, Ends(inputs, stated), "m")
    with pytest.raises(ModelError, match="m takes .*float32.*, but its metadata say 'images' as uint8"):
        check_ends(METADATA, Ends({"images": ("float32", ["n", 8, 12, 1])}, {}), "m")


def test_a_file_that_fails_while_it_runs_is_one_line(stripes):
    network = Reader(stripes).network
    with pytest.raises(ModelError, match=r"model.onnx is not an ONNX model that can be run \(") as raised:
        network.run(np.zeros((1, 3, 3, 1), np.uint8))
    assert str(raised.value).isprintable()


def test_what_runtimes_say_is_cut_to_one_line():
    with pytest.raises(ModelError) as raised, runnable("m", "a model"):
        raise RuntimeError("first\x1b[31m   line\nsecond line")
    assert str(raised.value) == "m is not a model that can be run (first?[31m line): export it again"
    with pytest.raises(ModelError, match=r"m is not a model that can be run \(IndexError\)"), runnable("m", "a model"):
        raise IndexError
    with pytest.raises(MemoryError), runnable("m", "a model"):
        raise MemoryError
