from records.dataset.shards import fraction_of, is_shard_name, order_of, shard_count, shard_name, split_of


def test_names():
    assert shard_name("codes", "train", 3, 8) == "codes-train.tfrecord-00003-of-00008"
    assert is_shard_name("codes-train.tfrecord-00003-of-00008")
    assert not is_shard_name(".partial-codes-train.tfrecord-00003-of-00008-12-ab")
    assert not is_shard_name("codes-train.tfrecord")


def test_counts():
    assert [shard_count(n, 10) for n in (0, 1, 10, 11)] == [0, 1, 1, 2]


def test_fractions_are_the_same_everywhere():
    assert fraction_of("4071", "split") == 0.7547519660114494
    assert fraction_of("4071", "order") != fraction_of("4071", "split")
    assert order_of("a.png") == order_of("a.png")


def test_split_looks_at_the_code_alone_and_keeps_the_fractions():
    codes = [f"{n:04d}" for n in range(10_000)]
    splits = [split_of(code, 0.1, 0.2) for code in codes]
    assert 1_900 < splits.count("test") < 2_100
    assert 900 < splits.count("validation") < 1_100
    assert {split_of(code, 0, 0) for code in codes[:100]} == {"train"}
    # A code leaves the test split only because the fraction shrinks.
    assert all(split_of(code, 0.1, 0.2) == "test" for code in codes if split_of(code, 0.1, 0.1) == "test")
