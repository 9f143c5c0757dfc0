"""The weights that come with the program: when a training begins with them, and what they have learned."""

import dataclasses
import itertools

import numpy as np
import pytest

from alexnet import alexnet
from pipeline.model import included
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.included import LearnedCodes, hash_of, may_have_learned
from pipeline.model.provenance import EarlierTraining
from pipeline.model.variables import NETWORK, assign_what_fits, numbered_paths
from pipeline.report.claim import find_exposure
from pipeline.report.scans import TESTED, scan_splits
from pipeline.train_config import AUTO_WEIGHTS, INCLUDED_WEIGHTS, NO_WEIGHTS, TrainConfig
from pipeline.training.plan import begins_with, weights_for
from pipeline.training.transfer import Transfer
from records.split import TEST, TRAIN, SplitRule
from tests.small_records import make_records
from tests.training_fixtures import make_state


@pytest.fixture(scope="module")
def given():
    return Checkpoints(included.FOLDER).choose("best")


def test_they_are_what_the_network_reads_with_and_no_more(given):
    network = alexnet.build(given.state.spec.image_shape, len(given.state.spec.alphabet) + 1, 7)
    names = [f"{NETWORK}/{path}" for path in numbered_paths(network.variables)]
    assert [name for name in given.arrays if "seed_generator" not in name] == names
    assert all(np.isfinite(given.arrays[name]).all() for name in names)


def test_a_network_for_grey_digits_takes_all_of_them(given):
    network = alexnet.build((56, 128, 1), 10, 4)
    spec = make_state(alphabet="0123456789", image_shape=(56, 128, 1), min_length=4, max_length=4).spec
    taken, left = assign_what_fits(given.arrays, network.variables, Transfer(given.state.spec, spec).fitted)
    assert not left and len(taken) == len(network.variables)


def test_a_network_that_reads_columns_takes_all_but_the_positions(given):
    network = alexnet.build((48, 96, 1), 5)
    spec = dataclasses.replace(given.state.spec, readout="ctc", alphabet="0123", image_shape=(48, 96, 1))
    taken, left = assign_what_fits(given.arrays, network.variables, Transfer(given.state.spec, spec).fitted)
    assert not left and len(taken) == len(network.variables)
    kernel = network.get_layer("logits").kernel.numpy()
    learned = next(array for name, array in given.arrays.items() if name.endswith("logits/kernel"))
    np.testing.assert_array_equal(kernel[:, :4], learned[:, :4])
    assert not np.allclose(kernel[:, 4], learned[:, 62]), "the blank between characters is no end of a code"


def weights(found=None, count=48, synthetic=0, alphabet="0123456789", fold_case=False, **settings):
    class Records:
        def __init__(self):
            self.alphabet, self.settings = alphabet, {"fold_case": fold_case}

        def count(self, split):
            assert split == TRAIN
            return count

    return weights_for(TrainConfig(**settings), found, Records(), synthetic)


def test_trainings_of_their_network_begin_with_them():
    assert weights() == weights(count=10_000) == weights(synthetic=16) == INCLUDED_WEIGHTS
    assert weights(readout="ctc") == INCLUDED_WEIGHTS
    assert weights(network="vgg") == weights(network="alexnet_large") == weights(network="crnn", readout="ctc") == ""
    assert weights(initialize_from=NO_WEIGHTS) == ""
    assert weights(initialize_from="folder") == "folder"
    assert weights(initialize_from=INCLUDED_WEIGHTS, network="vgg") == INCLUDED_WEIGHTS


def test_many_images_begin_with_them_where_no_code_can_be_among_those_that_they_learned():
    for alphabet, fold_case, may_share in (
        ("0123ab", False, False),
        ("0123AB", False, False),
        ("abAB", True, False),
        ("01aB", False, True),
        ("0123ab", True, True),
    ):
        many = weights(count=10_000, alphabet=alphabet, fold_case=fold_case)
        assert many == weights(count=0, synthetic=64, alphabet=alphabet, fold_case=fold_case)
        assert (many == "") == may_share == may_have_learned(alphabet, fold_case)
        assert weights(count=9_999, alphabet=alphabet, fold_case=fold_case) == INCLUDED_WEIGHTS


def test_a_training_goes_on_with_what_it_began_with():
    for began in ("", "folder", INCLUDED_WEIGHTS):
        state = make_state()
        state.provenance.settings["initialize_from"] = began
        assert weights(state) == began
    assert weights(make_state()) == ""  # from before there were any


def test_what_a_training_begins_with(tmp_path):
    Checkpoints(tmp_path).save(1, {"network/0/a": np.zeros(1, np.float32)}, make_state(1))
    assert begins_with(TrainConfig(initialize_from=str(tmp_path))).folder == tmp_path
    assert begins_with(TrainConfig(initialize_from=INCLUDED_WEIGHTS)).folder == included.FOLDER
    assert begins_with(TrainConfig(initialize_from="")) is None
    assert TrainConfig().given_weights == TrainConfig(initialize_from=NO_WEIGHTS).given_weights == ""
    assert TrainConfig(initialize_from="x").given_weights == "x" and TrainConfig().initialize_from == AUTO_WEIGHTS


def test_no_code_of_digits_or_of_one_case_was_learned():
    learned = LearnedCodes.load()
    assert len(learned.hashes) > 10_000
    digits = ("".join(code) for length in (3, 4, 5) for code in itertools.product("0123456789", repeat=length))
    one_case = ("".join(code) for code in itertools.product("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=3))
    assert all(learned.by_hash(code) == TEST for code in itertools.chain(digits, one_case))


def test_codes_are_learned_as_they_are_written():
    learned = LearnedCodes(frozenset([hash_of("7kQ2")]))
    assert learned.by_hash("7kQ2") == TRAIN
    assert learned.by_hash("7KQ2") == learned.by_hash("7kQ3") == TEST


def test_where_records_tell_no_case_a_code_counts_in_any():
    learned = LearnedCodes(frozenset(map(hash_of, ["7kQ2", "aBcDeF1"])), any_case=True)
    assert {learned.by_hash(code) for code in ("7kq2", "7KQ2", "7kQ2", "abcdef1")} == {TRAIN}
    assert learned.by_hash("7kq3") == learned.by_hash("a" * 1000) == TEST


def test_tested_codes_that_they_learned_are_counted(tmp_path, workdir, monkeypatch):
    monkeypatch.setattr(LearnedCodes, "load", lambda: LearnedCodes(frozenset(map(hash_of, ["a1", "b2"]))))
    manifest = make_records(tmp_path, train=["c3"], validation=[], test=["b2", "a1", "A1", "d4"])
    monkeypatch.setattr(included, "fingerprints", lambda: {"last", "before"})
    earlier = EarlierTraining("last", None), EarlierTraining("before", SplitRule(0.1, 0.1))
    provenance = dataclasses.replace(make_state().provenance, earlier=earlier)
    for fold_case, expected in ((False, 2), (True, 3)):
        manifest = dataclasses.replace(manifest, settings=manifest.settings | {"fold_case": fold_case})
        exposure = find_exposure(provenance, manifest, workdir)
        assert len(exposure.earlier) == 1
        assert scan_splits(manifest, "test", exposure, processes=1)[TESTED].earlier == expected
