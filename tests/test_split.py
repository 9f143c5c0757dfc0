import dataclasses

import pytest

from records.split import SPLITS, TEST, TRAIN, VALIDATION, AnyCase, SplitRule, fraction_of

CODES = [f"{n:04d}" for n in range(10_000)]


def test_where_one_side_tells_no_case_any_way_to_write_a_code_counts():
    rule = SplitRule(0.2, 0.3)
    ways = ["aB1", "ab1", "Ab1", "AB1"]
    splits = {way: rule.by_hash(way) for way in ways}
    assert {AnyCase(rule).by_hash(way) for way in ways} == {next(split for split in SPLITS if split in splits.values())}
    codes = [f"{number:x}" for number in range(4000, 4400)]
    held_out = [code for code in codes if AnyCase(rule).by_hash(code) == TEST]
    assert 0 < len(held_out) < len([code for code in codes if rule.by_hash(code) == TEST])
    assert all(rule.by_hash(written) == TEST for code in held_out for written in (code, code.upper()))
    assert AnyCase(rule).by_hash("aB" * 20) == TRAIN  # a million ways


def test_fractions_are_the_same_everywhere():
    assert fraction_of("4071", "split") == 0.7547519660114494
    assert fraction_of("4071", "order") != fraction_of("4071", "split")


def test_the_code_alone_decides_and_the_fractions_are_kept():
    splits = [SplitRule(0.1, 0.2).split(code) for code in CODES]
    assert 1_900 < splits.count(TEST) < 2_100
    assert 900 < splits.count(VALIDATION) < 1_100
    assert set(splits) == set(SPLITS)
    assert {SplitRule(0, 0).split(code) for code in CODES[:100]} == {TRAIN}
    # A code leaves the test split only because the fraction shrinks.
    smaller = SplitRule(0.1, 0.1)
    assert all(SplitRule(0.1, 0.2).split(code) == TEST for code in CODES if smaller.split(code) == TEST)


def test_the_boundaries_are_those_of_the_fractions():
    """The fraction of "4071" is 0.7547...: it is in test above that, and in validation just below."""
    fraction = fraction_of("4071", "split")
    assert SplitRule(0.1, fraction).split("4071") == VALIDATION, "the upper end belongs to the next split"
    assert SplitRule(0.1, fraction + 1e-9).split("4071") == TEST
    assert SplitRule(0.1, fraction - 0.1 - 1e-9).split("4071") == TRAIN
    assert SplitRule(0.1, fraction - 0.1 + 1e-9).split("4071") == VALIDATION


def test_rotations_test_every_code_once():
    rules = [SplitRule(0.1, 0.2, rotation=fold / 5) for fold in range(5)]
    assert all([rule.split(code) for rule in rules].count(TEST) == 1 for code in CODES[:1000])
    fraction = fraction_of("4071", "split")
    assert SplitRule(0.0, 0.1, rotation=fraction).split("4071") == TEST
    assert SplitRule(0.0, 0.1, rotation=fraction + 1e-9).split("4071") == TRAIN, "it is last, one turn on"


def test_one_split_for_all():
    rule = SplitRule(0.1, 0.2, only=TEST)
    assert {rule.split(code) for code in CODES[:100]} == {TEST}
    assert not rule.separates_codes
    assert SplitRule(0.1, 0.2).separates_codes


def test_codes_for_training_are_left_out_where_only_the_held_out_are_wanted():
    rule, plain = SplitRule(0.1, 0.2, held_out_only=True), SplitRule(0.1, 0.2)
    for code in CODES[:1000]:
        assert rule.split(code) == (None if plain.split(code) == TRAIN else plain.split(code))
        assert rule.by_hash(code) == plain.split(code)


@pytest.mark.parametrize(
    "rule, content",
    [
        (SplitRule(0.04, 0.1), {"validation_fraction": 0.04, "test_fraction": 0.1}),
        (
            SplitRule(0.04, 0.1, rotation=0.2),
            {"validation_fraction": 0.04, "test_fraction": 0.1, "rotation": 0.2},
        ),
        (
            SplitRule(0.04, 0.1, only=TEST),
            {"validation_fraction": 0.04, "test_fraction": 0.1, "only_split": "test"},
        ),
        (
            SplitRule(0.04, 0.1, held_out_only=True),
            {"validation_fraction": 0.04, "test_fraction": 0.1, "held_out_only": True},
        ),
    ],
)
def test_settings_of_a_manifest_and_back(rule, content):
    assert rule.to_json() == content
    assert SplitRule.from_json({"name": "codes", "resize": False, **content}) == rule


def test_settings_that_do_not_say_how_codes_were_split():
    with pytest.raises(KeyError):
        SplitRule.from_json({"validation_fraction": 0.1})


def test_what_a_checkpoint_keeps_leads_back():
    rule = SplitRule(0.04, 0.1, rotation=0.2)
    assert rule.fractions == (0.04, 0.1, 0.2)
    assert SplitRule(*rule.fractions) == rule == dataclasses.replace(rule)
