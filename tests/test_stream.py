"""Images rendered while training: which they are depends on the step alone, and no held-out code is among them."""

import dataclasses
import itertools
import re

import numpy as np
import pytest

from pipeline.config import CodeConfig, DrawingConfig, GenerateConfig, RecordsConfig, RunConfig, TrainConfig
from pipeline.conversion.convert import convert
from pipeline.drawing.renderer import ImageSampler
from pipeline.drawing.stream import SyntheticImages, synthetic_batches
from pipeline.machine.shares import Part
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.provenance import EarlierTraining
from pipeline.model.variables import reading_arrays
from pipeline.stages.run import run_stages
from pipeline.training.feed import Feed, SyntheticShare
from pipeline.training.plan import Length, steps_per_epoch, usual_epochs
from pipeline.training.train import train
from pipeline.workdir import Workdir
from records.alphabet import Alphabet
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.split import SplitRule
from tests.conftest import from_text
from tests.training_fixtures import ALPHABET, assert_same_bits, final_arrays, make_records, settings_for_tests

pytestmark = pytest.mark.usefixtures("tiny_network")

CODE = CodeConfig(alphabet=ALPHABET)
DRAWING = DrawingConfig(font_sizes=(14,))


@pytest.fixture
def work(tmp_path):
    make_records(tmp_path / "records")
    return Workdir(tmp_path)


def config_for(work, code=CODE, drawing=DRAWING, source="synthetic", num_images=48, workers=1, **options):
    return RunConfig(
        workdir=str(work.root),
        workers=workers,
        code=code,
        generate=GenerateConfig(drawing=drawing, num_images=num_images),
        records=RecordsConfig(source=source),
        train=TrainConfig(**settings_for_tests(**options)),
    )


def synthetic_for(work, channels=1, seed=0, **changes):
    config = config_for(work, dataclasses.replace(CODE, **from_text(changes)), dataclasses.replace(DRAWING, seed=seed))
    return SyntheticImages.beside(Manifest.load(work.records), config, channels)


def test_an_image_is_its_number_and_its_code_is_for_training(work):
    synthetic = synthetic_for(work)
    assert synthetic.drawing.size == (32, 16) and synthetic.drawing.lengths == (2, 2)
    pixels, label_ids = synthetic.example(7)
    again, same_ids = synthetic_for(work).example(7)
    assert pixels.shape == (16, 32, 1) and pixels.dtype == np.uint8
    assert (pixels == again).all() and (label_ids == same_ids).all()
    assert (synthetic_for(work, seed=1).example(7)[0] != pixels).any()
    texts = {Alphabet(ALPHABET).text(synthetic.example(i)[1]) for i in range(300)}
    possible = {"".join(pair) for pair in itertools.product(ALPHABET, repeat=2)}
    assert texts == {text for text in possible if SplitRule(0.25, 0.25).split(text) == "train"} < possible


def test_the_number_of_workers_changes_nothing_and_any_step_can_be_the_first(work):
    synthetic = synthetic_for(work, channels=3)

    def batches(processes, step, count, part=Part()):
        with synthetic_batches(synthetic, 4, processes) as batches_from:
            return list(itertools.islice(batches_from(step, part), count))

    one = batches(1, 0, 6)
    assert [images.shape for images, _ in one] == [(4, 16, 32, 3)] * 6
    for (images, ids), (other_images, other_ids) in zip(one[2:], batches(2, 2, 4), strict=True):
        assert (images == other_images).all() and (ids == other_ids).all()
    (second_half, _), *_ = batches(1, 3, 1, Part(2, 1, 2))
    assert (second_half == one[3][0][2:]).all()


def test_shares_of_replicas_hold_records_and_synthetic_images(work):
    manifest = Manifest.load(work.records)
    images = np.arange(4, dtype=np.uint8).repeat(16 * 32).reshape(4, 16, 32, 1)
    label_ids = np.zeros((4, 2), np.int32)
    synthetic = SyntheticShare(4, lambda step, part: iter([(images + 4 * step, label_ids)] * 9))
    alone = list(Feed(manifest, 1, 12, 1, 0, synthetic=synthetic).batches(2).as_numpy_iterator())
    assert len(alone) == 48 // 8 - 2
    plain = list(Feed(manifest, 1, 8, 1, 0).batches(2).as_numpy_iterator())
    for (got, _), (recorded, _) in zip(alone, plain, strict=True):
        assert (got[:8] == recorded).all() and (got[8:] == images + 8).all()
    shared = list(Feed(manifest, 1, 12, 1, 0, synthetic=synthetic).batches(2, Part(2, 0, 2)).as_numpy_iterator())
    assert [got.shape for got, _ in shared] == [(6, 16, 32, 1)] * 8
    assert (shared[1][0] == np.concatenate([alone[0][0][4:8], images[2:] + 8])).all()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"alphabet": "digits"}, "--alphabet=0123456789 would show '0123456789', but .* have the alphabet 'abcd'"),
        ({"code_length": "3"}, "--code_length=3 does not fit .*, whose codes have 2 to 2 characters"),
        ({"image_size": "40x20"}, "--image_size=40x20: the records in .* are 32x16"),
    ],
)
def test_what_is_unlike_the_records_is_refused(work, changes, message):
    with pytest.raises(DigitwiseError, match=message):
        synthetic_for(work, **changes)


def test_the_alphabet_is_that_of_the_records_where_none_is_given(work):
    assert synthetic_for(work, alphabet=None).drawing.alphabet == ALPHABET


def test_both_cases_are_rendered_where_they_are_one(work):
    code = CodeConfig(alphabet="abcdABCD")
    folded = dataclasses.replace(config_for(work, code), records=RecordsConfig(source="synthetic", fold_case=True))
    manifest = Manifest.load(work.records)
    synthetic = SyntheticImages.beside(manifest, folded, 1)
    texts = set()

    def is_wanted(text):
        texts.add(text)
        return synthetic.is_for_training(text)

    for index in range(40):
        _, label_ids = synthetic.example(index)
        text, _ = synthetic.drawing.render(ImageSampler(f"{DRAWING.seed} while training", index), is_wanted)
        assert Alphabet(ALPHABET).text(label_ids) == text.lower()
        assert synthetic.rule.split(text.lower()) == "train"
    assert any(text != text.lower() for text in texts)
    with pytest.raises(DigitwiseError, match="--alphabet=abcdABCD would show"):
        SyntheticImages.beside(manifest, config_for(work, code), 1)


def test_too_few_codes_are_refused(work):
    manifest = dataclasses.replace(
        Manifest.load(work.records), settings={"validation_fraction": 0.0, "test_fraction": 0.999999}
    )
    with pytest.raises(DigitwiseError, match="none of 10,000 random codes is for training"):
        SyntheticImages.beside(manifest, config_for(work), 1)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"synthetic_share": 0.5, "source": "images"}])
def test_a_training_goes_on_with_the_images_that_come_next(work, options, capsys):
    state = train(config_for(work, epochs=2, dropout=0.5, **options), work)
    assert state.num_steps == (24 if options else 12)  # of a half batch from 48 records, or of a whole synthetic one
    expected = final_arrays(work.root)
    steps = Checkpoints(work.checkpoints).steps()
    for path in work.checkpoints.glob(f"step-{steps[-1]:08d}.*"):
        path.unlink()
    capsys.readouterr()
    train(config_for(work, epochs=2, dropout=0.5, workers=2, **options), work)
    assert f"continuing from step {steps[-2]}" in capsys.readouterr().out
    assert_same_bits(final_arrays(work.root), expected)
    with pytest.raises(DigitwiseError, match="--noise_dots: 30 -> 2"):
        train(
            config_for(work, drawing=dataclasses.replace(DRAWING, noise_dots=2), epochs=2, dropout=0.5, **options), work
        )


@pytest.mark.slow
def test_stages_without_files(tmp_path, capsys):
    work = Workdir(tmp_path)
    code = CodeConfig(ALPHABET, code_length=(2, 3), image_size=(32, 16))
    config = config_for(work, code, num_images=200, epochs=1)
    records = dataclasses.replace(config.records, validation_fraction=0.1, test_fraction=0.5)
    config = dataclasses.replace(config, records=records, stages=("records", "train", "test"))
    assert run_stages(config) == 0
    manifest = Manifest.load(work.records)
    assert manifest.count("train") == 0 < manifest.count("test")
    output = capsys.readouterr().out
    assert "25 in all" in output and re.search(r"checks      all \d passed", output)
    assert not work.images.exists()
    # Records of all splits hold the held-out ones too; the other way round something is missing.
    with pytest.raises(DigitwiseError, match="held_out_only: true -> nothing"):
        convert(config, work)


@pytest.mark.slow
def test_a_killed_rendering_worker_is_one_line(work, monkeypatch):
    from pipeline.drawing import stream as synthetic

    monkeypatch.setattr(synthetic, "render_piece", _die)
    with pytest.raises(DigitwiseError, match="a worker process was killed"):
        train(config_for(work, epochs=1), work)


def _die(_):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_how_long_a_training_with_a_planned_end_is(work):
    manifest = Manifest.load(work.records)

    def length(num_synthetic=0, num_images=100, **options):
        return Length.of(
            TrainConfig(batch_size=8, schedule="one_cycle", **options), manifest, num_synthetic, num_images
        )

    assert steps_per_epoch(manifest, 8) == 6
    assert length(epochs=2) == Length(2, 6, 6)
    assert length(epochs=100) == Length(100, 6, 30)  # twenty validations
    assert length(epochs=100, validation_steps=7).validation_every == 7
    assert length(num_synthetic=8, epochs=2) == Length(2, 12, 12)
    assert length(num_synthetic=4, epochs=2) == Length(2, 12, 12)
    assert length().epochs == usual_epochs(6, 8) == 1344
    assert length(augmentation=1.0).epochs == usual_epochs(6, 8, varied=True) == 4032
    assert usual_epochs(1000, 64) == 3
    # 75 passes at the full rate and twice as many on the way down, unless 9,600 images are fewer.
    assert length(initialize_from="included").epochs == 225
    assert length(initialize_from="included", validation_steps=5, epochs=2).epochs == 2


@pytest.mark.slow
def test_a_training_begins_with_the_weights_of_another(work, tmp_path, capsys):
    train(config_for(work, source="images", epochs=1), work)
    other = Workdir(tmp_path / "other")
    make_records(other.records, seed=3)
    options = {"source": "images", "epochs": 1, "initialize_from": str(work.checkpoints), "learning_rate": 1e-9}
    train(config_for(other, **options), other)
    assert f"arrays from step 6 of {work.checkpoints}" in capsys.readouterr().out
    earlier = Checkpoints(other.checkpoints).best_state().provenance.earlier
    assert earlier == (EarlierTraining(Manifest.load(work.records).fingerprint, SplitRule(0.25, 0.25)),)
    before, after = reading_arrays(final_arrays(work.root)), final_arrays(other.root)
    kernels = [name for name in before if name.startswith("network/") and name.endswith("kernel")]
    assert kernels and all(np.allclose(before[name], after[name], atol=1e-6) for name in kernels)
    with pytest.raises(DigitwiseError, match="--initialize_from=.*none: there is no such folder"):
        train(
            config_for(other, **{**options, "initialize_from": str(tmp_path / "none")}),
            Workdir(tmp_path / "new"),
            other.records,
        )
