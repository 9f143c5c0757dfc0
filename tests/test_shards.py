from records.dataset.shards import is_shard_name, order_of, shard_count, shard_name


def test_names():
    assert shard_name("codes", "train", 3, 8) == "codes-train.tfrecord-00003-of-00008"
    assert is_shard_name("codes-train.tfrecord-00003-of-00008")
    assert not is_shard_name(".partial-codes-train.tfrecord-00003-of-00008-12-ab")
    assert not is_shard_name("codes-train.tfrecord")


def test_counts():
    assert [shard_count(n, 10) for n in (0, 1, 10, 11)] == [0, 1, 1, 2]


def test_the_order_of_examples_is_the_same_everywhere():
    assert order_of("a.png") == 0.04252918124248636
