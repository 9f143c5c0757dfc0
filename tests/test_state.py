"""What a checkpoint knows of its training: written, read back, read from older files, and refused where it is wrong."""

import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import pytest

from pipeline.config import TrainConfig
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.pace import Pace
from pipeline.model.provenance import EarlierTraining, Provenance, TrainedRecords
from pipeline.model.spec import ModelSpec
from pipeline.model.state import Best, Environment, TrainingState, ValidationResult
from records.errors import DigitwiseError
from records.split import SplitRule
from tests.training_fixtures import SPEC, make_state

VERSION_1 = pathlib.Path(__file__).parent / "data" / "checkpoint_version_1.json"
FULL = make_state(
    best=Best(12, ValidationResult(0.5, 0.75, 16)),
    highest=ValidationResult(0.625, 0.75, 16),
    dropout=0.5,
    cleaning="median",
    finished="all 2 epochs",
    provenance=Provenance(
        {"augmentation": 0.3},
        TrainedRecords("codes", "f00", 48, 16, SplitRule(0.25, 0.25, rotation=0.5)),
        {"noise_dots": 30},
        (EarlierTraining("abc", SplitRule(0.1, 0.2)), EarlierTraining("def", None)),
    ),
)


@pytest.mark.parametrize(
    "state",
    [make_state(), make_state(7), FULL, make_state(pace=Pace()), make_state(pace=Pace(0.25, 0.5, 2, 300, 420))],
)
def test_a_state_comes_back_from_json(state):
    assert TrainingState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_state_of_version_1_is_read():
    state = TrainingState.from_json(json.loads(VERSION_1.read_text())["state"])
    assert state.spec == dataclasses.replace(SPEC, dropout=0.5, revision=1)
    records = TrainedRecords("stripes", state.provenance.records.fingerprint, 48, 16, SplitRule(0.25, 0.25))
    assert state.provenance.records == records and records.fingerprint.startswith("01ed6dc2")
    assert state.provenance.settings["learning_rate"] == 0.003 and state.provenance.augmentation == 0.0
    assert state.provenance.synthetic["noise_dots"] == 30
    (earlier,) = state.provenance.earlier
    assert earlier.fingerprint.startswith("64fa4959") and earlier.split == SplitRule(0.25, 0.25)
    assert state.environment == Environment(1, 2, "2.21.0", "3.15.1")
    assert state.best == Best(12, ValidationResult(0.125, 0.34375, 16)) and state.best.result.right == 2
    assert state.highest == state.best.result
    assert (state.num_steps, state.validated_step, state.stale_validations) == (12, 12, 0)
    assert (state.finished, state.seconds) == ("all 1 epochs", 13.464)


def test_a_checkpoint_of_version_1_is_loaded(tmp_path):
    content = json.loads(VERSION_1.read_text())
    np.savez(tmp_path / "step-00000012.npz", **{"network/0/kernel": np.ones(3, np.float32)})
    content["arrays_sha256"] = hashlib.sha256((tmp_path / "step-00000012.npz").read_bytes()).hexdigest()
    content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (tmp_path / "step-00000012.json").write_text(json.dumps(content))
    checkpoint = Checkpoints(tmp_path).choose("best")
    assert checkpoint.state.best.step == checkpoint.step == 12
    assert checkpoint.arrays["network/0/kernel"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"network": "resnet"}, "has the network 'resnet', which must be one of alexnet, alexnet_large, "),
        ({"readout": "words"}, "has the readout 'words', which must be one of positions, ctc$"),
        ({"precision": "auto"}, "has the precision 'auto', which must be one of float32, bfloat16, float16$"),
        ({"cleaning": "soap"}, "has the cleaning 'soap', which must be one of none, "),
        ({"alphabet": "aa"}, r"the alphabet 'aa' has 'a' more than once$"),
        ({"min_length": 3}, "has codes of 3 to 2 characters$"),
        ({"min_length": 0}, "has codes of 0 to 2 characters$"),
        ({"image_shape": (16, 32, 2)}, "has images of 32x16 with 2 channels: .* channels 1 or 3$"),
        ({"image_shape": (1 << 20, 16, 1)}, "has images of 16x1048576 with 1 channels: sides are 1 to 4096 pixels"),
        ({"max_length": 1 << 20}, "has codes of 2 to 1048576 characters$"),
        ({"image_shape": (15, 32, 1)}, r"^--network=alexnet on images of 32x15 \(grey\): alexnet needs at least 16x16"),
        ({"network": "crnn"}, r"^--network=crnn on images of 32x16 \(grey\): crnn has columns and no positions"),
        ({"dropout": 1.0}, "has the dropout 1.0, which must be from 0 up to 1$"),
    ],
)
def test_a_spec_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(DigitwiseError, match=message) as refused:
        dataclasses.replace(SPEC, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"version": 4}, "^spec has version 4, this program reads up to 3$"),
        ({"network": 3}, "^spec.network is 3, expected text$"),
        ({"max_length": True}, "^spec.max_length is true, expected a whole number$"),
        ({"max_length": 2.5}, "^spec.max_length is 2.5, expected a whole number$"),
        ({"image_shape": [16, 32]}, r"^spec.image_shape is \[16, 32\], expected 3 items$"),
        ({"dropout": "much"}, '^spec.dropout is "much", expected a number$'),
    ],
)
def test_a_spec_with_fields_of_other_kinds_is_refused(changes, message):
    with pytest.raises(DigitwiseError, match=message):
        ModelSpec.from_json({**SPEC.to_json(), **changes})


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("version", 3, "^state has version 3, this program reads up to 2$"),
        ("num_steps", None, "^state.num_steps is null, expected a whole number$"),
        ("best", {"step": 1, "count": 2}, "^best.sequence_accuracy is missing$"),
        ("environment", [], r"^state.environment is \[\], expected an object$"),
        ("provenance", {"train": {}}, "^provenance.records is missing$"),
    ],
)
def test_a_state_with_fields_of_other_kinds_is_refused(name, value, message):
    with pytest.raises(DigitwiseError, match=message):
        TrainingState.from_json({**FULL.to_json(), name: value})


def test_a_checkpoint_whose_state_cannot_be_used_is_named(tmp_path):
    Checkpoints(tmp_path).save(5, {}, dataclasses.replace(FULL, num_steps="many"))
    with pytest.raises(DigitwiseError, match=r"step-00000005\.json: state.num_steps is \"many\", expected"):
        Checkpoints(tmp_path).load(5)


def test_what_changed_around_a_training():
    before, now = Environment(1, 2, "2.21.0", "3.15.1"), Environment(2, 2, "2.22.0", "3.15.1")
    assert now.changes_since(before) == [("replicas", 1, 2), ("tensorflow", "2.21.0", "2.22.0")]
    assert before.changes_since(before) == []


def test_the_lineage_begins_with_the_training_itself():
    own = EarlierTraining("f00", SplitRule(0.25, 0.25, rotation=0.5))
    assert FULL.provenance.lineage == (own, *FULL.provenance.earlier)


def test_a_spec_reads_its_settings():
    assert SPEC.text([2, 0, -1]) == "ca"
    assert SPEC.described_size == "32x16 (grey)"
    assert dataclasses.replace(SPEC, image_shape=(16, 32, 3)).described_size == "32x16 (colour)"
    assert TrainConfig().network == SPEC.network


def read_right(right, count=900):
    return ValidationResult(right / count, 0.5, count)


@pytest.mark.parametrize(
    "later, before, expected",
    [
        (read_right(700), read_right(700), True),
        (read_right(897), read_right(891), True),
        (read_right(891), read_right(897), True),  # 6 of 12 wrong ones may be chance
        (read_right(889), read_right(897), False),  # 8 codes: 64 is more than four times 14 wrong ones
        (read_right(658), read_right(700), True),  # 1,764 of 1,768
        (read_right(657), read_right(700), False),  # 1,849 of 1,772
        (read_right(16, 20), read_right(20, 20), True),
        (read_right(15, 20), read_right(20, 20), False),
    ],
)
def test_of_two_results_that_chance_could_explain_the_later_is_the_better(later, before, expected):
    assert later.is_as_good_as(before) is expected
