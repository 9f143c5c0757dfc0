"""The order of batches, and that each example counts once."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pipeline.machine.shares import Part
from pipeline.model.cleaning import CLEANINGS
from pipeline.model.intake import records_parser
from pipeline.model.reading import evaluation_batches, shares_of_batches
from pipeline.training.augmentation import augment
from pipeline.training.feed import Feed, decode_split, epoch_seed, fits_in_memory
from pipeline.training.plan import steps_per_epoch
from records.dataset.reader import label_lookup, match_channels, read_in_order
from records.errors import DamagedRecords, DigitwiseError
from tests.training_fixtures import make_records


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("records"), train=26, validation=3, test=7, shards=3)


def as_lists(batches):
    return [(images.numpy().tolist(), label_ids.numpy().tolist()) for images, label_ids in batches]


def train_batches(manifest, start_step=0, part=Part(), **options):
    return as_lists(Feed(manifest, 1, 4, **{"num_epochs": 2, "seed": 0, **options}).batches(start_step, part))


def test_an_epoch_has_each_example_at_most_once_and_epochs_differ(manifest):
    batches = train_batches(manifest)
    assert len(batches) == 12
    pictures = [[str(image) for images, _ in epoch for image in images] for epoch in (batches[:6], batches[6:])]
    assert [len(set(epoch)) for epoch in pictures] == [24, 24]
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize("start_step", [1, 6, 7, 12])
def test_a_later_start_sees_what_was_left(manifest, start_step):
    assert train_batches(manifest, start_step) == train_batches(manifest)[start_step:]


def test_pictures_kept_in_memory_come_in_the_same_order(manifest):
    decoded = decode_split(manifest, "train", 1)
    assert train_batches(manifest, 5, decoded=decoded) == train_batches(manifest, 5)


def test_numbers_are_those_of_the_examples_in_their_split(manifest):
    parse = records_parser(manifest, 1)
    in_order = [
        image.tolist()
        for images, _ in read_in_order(manifest, "train").batch(26).map(parse)
        for image in images.numpy()
    ]
    decoded = decode_split(manifest, "train", 1)
    for part in (Part(), Part(2, 0, 2)):
        plain = train_batches(manifest, 3, part)
        for kept in (None, decoded):
            feed = Feed(manifest, 1, 4, num_epochs=2, seed=0, decoded=kept, numbered=True)
            numbered = [[value.numpy().tolist() for value in batch] for batch in feed.batches(3, part)]
            assert [(images, label_ids) for images, label_ids, _ in numbered] == plain
            assert [images for images, *_ in numbered] == [
                [in_order[number] for number in numbers] for *_, numbers in numbered
            ]


def test_records_other_than_the_manifest_counts_are_not_kept_in_memory(manifest):
    first, *rest = manifest.splits["train"]
    for missing in (1, -1):
        wrong = (dataclasses.replace(first, count=first.count + missing), *rest)
        with pytest.raises(tf.errors.FailedPreconditionError, match=f"expected to contain {26 + missing} elements"):
            decode_split(dataclasses.replace(manifest, splits={**manifest.splits, "train": wrong}), "train", 1)


def test_two_replicas_share_the_batches_of_one(manifest):
    whole = train_batches(manifest)
    halves = train_batches(manifest, part=Part(2, 0, 2))
    assert [(a + c, b + d) for (a, b), (c, d) in zip(halves[::2], halves[1::2], strict=True)] == whole
    assert train_batches(manifest, part=Part(2, 1, 2)) == halves[1::2]


@pytest.mark.parametrize(
    "options",
    [pytest.param({"augmentation": 1.0}, marks=pytest.mark.slow), {"augmentation": 1.0, "cleaning": "threshold"}],
)
def test_varied_images_are_the_same_however_a_step_is_come_to(manifest, options):
    whole = train_batches(manifest, **options)
    assert whole != train_batches(manifest)
    assert train_batches(manifest, 5, **options) == whole[5:]
    decoded = decode_split(manifest, "train", 1)
    assert train_batches(manifest, 7, decoded=decoded, **options) == whole[7:]
    halves = train_batches(manifest, 3, part=Part(2, 0, 2), **options)
    assert [(a + c, b + d) for (a, b), (c, d) in zip(halves[::2], halves[1::2], strict=True)] == whole[3:]
    assert train_batches(manifest, part=Part(2, 1, 2), decoded=decoded, **options)[3:] == halves[1::2]


def test_an_image_is_varied_by_its_number_in_the_whole_training(manifest):
    plain = list(Feed(manifest, 1, 4, num_epochs=2, seed=9).batches())
    varied = list(Feed(manifest, 1, 4, num_epochs=2, seed=9, augmentation=2.0).batches())
    for step, ((images, label_ids), (others, other_ids)) in enumerate(zip(plain, varied, strict=True)):
        expected = augment(images, tf.range(4 * step, 4 * step + 4, dtype=tf.int64), 9, 2.0)
        assert np.array_equal(others, expected) and np.array_equal(label_ids, other_ids)


def test_images_are_cleaned_after_they_are_varied(manifest):
    varied = train_batches(manifest, augmentation=1.0)
    cleaned = train_batches(manifest, augmentation=1.0, cleaning="threshold")
    for (images, _), (black_and_white, _) in zip(varied, cleaned, strict=True):
        assert np.array_equal(CLEANINGS["threshold"](tf.constant(images, tf.uint8)), black_and_white)


def test_the_order_depends_on_the_seed_alone(manifest):
    tf.random.set_seed(1)
    first = train_batches(manifest)
    tf.random.set_seed(2)
    assert train_batches(manifest) == first
    assert train_batches(manifest, seed=1) != first


def test_seeds_of_epochs():
    assert epoch_seed(0, 0) == epoch_seed(0, 0) < 2**63
    assert len({epoch_seed(seed, epoch) for seed in range(10) for epoch in range(10)}) == 100


def test_a_batch_larger_than_the_split_has_every_image_in_it(manifest):
    assert [steps_per_epoch(manifest, size) for size in (13, 26, 27, 60)] == [2, 1, 1, 1]
    batches = as_lists(Feed(manifest, 1, 60, num_epochs=2, seed=0).batches())
    first, second = ([str(image) for image in images] for images, _ in batches)
    assert len(first) == len(second) == 60
    assert sorted(collections.Counter(first).values()) == [2] * 18 + [3] * 8
    assert first != second


def test_without_training_examples_there_is_nothing_to_train(manifest):
    empty = dataclasses.replace(manifest, splits={**manifest.splits, "train": []})
    with pytest.raises(DigitwiseError, match="no examples to train on"):
        steps_per_epoch(empty, 4)


def test_evaluation_fills_the_last_batch_up(manifest):
    batches = list(evaluation_batches(manifest, "test", 3, 1))
    assert [indices.numpy().tolist() for indices, *_ in batches] == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]
    assert [mask.numpy().tolist() for *_, mask in batches] == [[True] * 3, [True] * 3, [True, False, False]]
    assert {tuple(images.shape) for _, images, _, _ in batches} == {(3, 16, 32, 1)}


def test_seven_images_in_batches_of_three_on_two_replicas_count_seven(manifest):
    batches = evaluation_batches(manifest, "test", 3, 1)
    shares = list(shares_of_batches(batches, Part(2, 0, 2)))
    assert len(shares) == 6
    assert [i for indices, _, _, mask in shares for i in indices.numpy()[mask.numpy()]] == list(range(7))


def test_an_empty_split_is_refused(manifest):
    with pytest.raises(DigitwiseError, match="no examples in its split 'other'"):
        evaluation_batches(manifest, "other", 3, 1)


def test_a_shard_that_is_cut_is_named(tmp_path):
    manifest = make_records(tmp_path / "records")
    path = manifest.paths("test")[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedRecords, match=rf"{path.name} has \d+ bytes and the manifest says \d+"):
        read_in_order(manifest, "test")


def test_a_quarter_of_the_memory_and_a_gigabyte_are_taken_at_most(manifest):
    size = 26 * 16 * 32
    assert fits_in_memory(manifest, "train", 1, available=4 * size)
    assert not fits_in_memory(manifest, "train", 1, available=4 * size - 1)
    assert not fits_in_memory(manifest, "train", 3, available=4 * size)
    gigabyte = {"available": 1 << 50, "fitted": (1 << 15, (1 << 15) // 26)}
    assert fits_in_memory(manifest, "train", 1, **gigabyte)
    assert not fits_in_memory(manifest, "train", 2, **gigabyte), "memory stays level"


def test_grey_is_what_pillow_makes():
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    grey = match_channels(tf.constant(image[None]), 1)[0, ..., 0]
    assert np.array_equal(grey, np.asarray(Image.fromarray(image).convert("L")))
    assert match_channels(tf.constant(image[None, ..., :1]), 3).shape == (1, 5, 7, 3)


def test_texts_become_ids():
    lookup = label_lookup("bä€a", 4)
    assert lookup(tf.constant(["abä€", "a", "€b"])).numpy().tolist() == [[3, 0, 1, 2], [3, -1, -1, -1], [2, 0, -1, -1]]
