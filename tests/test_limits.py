"""Reading within limits, against all codes tried one by one."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitwise.errors import ReaderError
from digitwise.limits import CHECK_DIGITS, Limits, OutOfBudget
from digitwise.limits.automaton import from_steps
from digitwise.limits.ctc import best_columns, score_columns
from digitwise.limits.patterns import pattern_automaton

DIGITS = "0123456789"


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def drawn(seed, rows, outputs, spread=2.0):
    return log_softmax(np.random.default_rng(seed).normal(0, spread, (rows, outputs)))


def all_codes(alphabet, least, most):
    return ["".join(code) for n in range(least, most + 1) for code in itertools.product(alphabet, repeat=n)]


def position_probabilities(log_probabilities, alphabet, codes):
    found = {}
    for code in codes:
        total = sum(log_probabilities[i, alphabet.index(c)] for i, c in enumerate(code))
        ended = len(code) < len(log_probabilities)
        found[code] = float(np.exp(total + (log_probabilities[len(code), len(alphabet)] if ended else 0)))
    return found


def ctc_probabilities(log_probabilities, alphabet):
    """Each way through the columns, counted for the code it shows."""
    found = {}
    characters = alphabet + "_"
    for way in itertools.product(range(len(characters)), repeat=len(log_probabilities)):
        code = "".join(characters[n] for n, _ in itertools.groupby(way)).replace("_", "")
        probability = float(np.exp(sum(row[n] for row, n in zip(log_probabilities, way, strict=True))))
        found[code] = found.get(code, 0.0) + probability
    return found


def luhn(code):
    doubled = [int(c) * (1 + n % 2) for n, c in enumerate(reversed(code))]
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def check(fit, alphabet, probabilities, fits):
    """The best of all that fit, its probability, and its share."""
    fitting = {code: p for code, p in probabilities.items() if fits(code)}
    best = max(fitting, key=fitting.get)
    assert fit.is_exact
    assert "".join(alphabet[i] for i in fit.label_ids) == best
    np.testing.assert_allclose(fit.probability, fitting[best], rtol=1e-8)
    np.testing.assert_allclose(fit.among_fitting, fitting[best] / sum(fitting.values()), rtol=1e-8)


LIMITS = [
    (Limits(characters="02"), lambda code: set(code) <= set("02")),
    (Limits(lengths=(2,)), lambda code: len(code) == 2),
    (Limits(lengths=(1, 3)), lambda code: len(code) in (1, 3)),
    (Limits(pattern=r"0+(1|22)?"), lambda code: re.fullmatch(r"0+(1|22)?", code)),
    (Limits(pattern=r"[^1]\d*"), lambda code: re.fullmatch(r"[^1]\d*", code)),
    (Limits(codes=("01", "11", "2", "122", "9")), lambda code: code in ("01", "11", "2", "122")),
    (Limits(check_digit="luhn"), luhn),
    (Limits(check_digit="luhn", characters="01", lengths=(3,)), lambda c: luhn(c) and len(c) == 3 and "2" not in c),
    (Limits(function=lambda code: int(code) % 7 == 3), lambda code: int(code) % 7 == 3),
    (Limits(codes=("01", "11", "2", "122"), pattern="1.*"), lambda code: code in ("11", "122")),
]


@pytest.mark.parametrize("limits, fits", LIMITS)
@pytest.mark.parametrize("seed", range(6))
def test_positions_of_several_lengths(limits, fits, seed):
    log_probabilities = drawn(seed, 3, 4)
    probabilities = position_probabilities(log_probabilities, "012", all_codes("012", 1, 3))
    fit = limits.compile("012", 1, 3).read_positions(log_probabilities)
    if limits.function:  # what was not tried may fit as well, so the share is the least it can be
        fitting = {code: p for code, p in probabilities.items() if fits(code)}
        assert fit.probability == pytest.approx(max(fitting.values()))
        assert 0 < fit.among_fitting <= max(fitting.values()) / sum(fitting.values()) + 1e-12
    else:
        check(fit, "012", probabilities, fits)


@pytest.mark.parametrize("limits, fits", LIMITS)
@pytest.mark.parametrize("seed", range(6))
def test_columns(limits, fits, seed):
    log_probabilities = drawn(seed, 6, 4)
    probabilities = ctc_probabilities(log_probabilities, "012")
    probabilities = {code: p for code, p in probabilities.items() if 1 <= len(code) <= 3}
    fit = limits.compile("012", 1, 3).read_columns(log_probabilities)
    if limits.function:
        fitting = {code: p for code, p in probabilities.items() if fits(code)}
        assert fit.probability == pytest.approx(max(fitting.values()))
        assert 0 < fit.among_fitting <= max(fitting.values()) / sum(fitting.values()) + 1e-12
    else:
        check(fit, "012", probabilities, fits)


def test_positions_of_one_length():
    log_probabilities = drawn(3, 4, 10)
    probabilities = position_probabilities(log_probabilities, DIGITS, all_codes(DIGITS, 4, 4))
    check(
        Limits(check_digit="luhn").compile(DIGITS, 4, 4).read_positions(log_probabilities), DIGITS, probabilities, luhn
    )


def test_the_best_code_that_fits_is_not_the_best_code_repaired():
    # Read greedily, the code is 11; changing its least certain character gives 10. But 01 is more probable.
    log_probabilities = np.log([[0.45, 0.55], [0.46, 0.54]])
    fit = Limits(codes=("00", "01", "10")).compile("01", 2, 2).read_positions(log_probabilities)
    assert fit.label_ids == (1, 0)
    fit = Limits(codes=("00", "01")).compile("01", 2, 2).read_positions(log_probabilities)
    assert fit.label_ids == (0, 1)
    np.testing.assert_allclose([fit.probability, fit.among_fitting], [0.45 * 0.54, 0.54])


def test_no_code_that_fits_is_possible():
    log_probabilities = np.array([[0.0, -np.inf], [0.0, -3e38]])
    assert Limits(characters="b").compile("ab", 2, 2).read_positions(log_probabilities) is None
    assert Limits(codes=("bb", "ab")).compile("ab", 2, 2).read_positions(log_probabilities) is None
    columns = np.log(np.full((2, 3), 1 / 3))  # aa takes three columns
    assert Limits(codes=("aa",)).compile("ab", 2, 2).read_columns(columns) is None
    assert Limits(pattern="aa").compile("ab", 2, 2).read_columns(columns) is None


def test_very_improbable_codes_are_still_told_apart():
    columns = np.full((30, 3), -90.0)  # all columns show a, far above b and the blank
    columns[:, 0] = 0.0
    columns[:, 2] = -60.0
    columns[7, 1] = -50.0
    fit = Limits(characters="b").compile("ab", 1, 2).read_columns(columns)
    assert fit.label_ids == (1,)
    assert Limits(codes=("b", "bb")).compile("ab", 1, 2).read_columns(columns).label_ids == (1,)


def test_equal_neighbours_need_a_blank():
    columns = np.log([[0.8, 0.1, 0.1], [0.3, 0.1, 0.6], [0.7, 0.2, 0.1]])
    fit = Limits(pattern="aa|b").compile("ab", 1, 2).read_columns(columns)
    assert fit.label_ids == (0, 0)
    np.testing.assert_allclose(fit.probability, 0.8 * 0.6 * 0.7)
    listed = Limits(codes=("aa", "b")).compile("ab", 1, 2).read_columns(columns)
    np.testing.assert_allclose(listed.probability, 0.8 * 0.6 * 0.7)


# --- check digits


@pytest.mark.parametrize("hidden", range(8))
def test_luhn_restores_one_hidden_character(hidden):
    code = "49927398"
    code += next(d for d in DIGITS if luhn(code + d))
    rows = np.full((len(code), 10), 0.001)
    rows[np.arange(len(code)), [int(c) for c in code]] = 0.991
    rows[hidden] = 0.1  # nothing can be seen there
    fit = Limits(check_digit="luhn").compile(DIGITS, len(code), len(code)).read_positions(np.log(rows))
    assert "".join(map(str, fit.label_ids)) == code
    assert fit.among_fitting > 0.9
    np.testing.assert_allclose(fit.probability, 0.1 * 0.991 ** (len(code) - 1))


@pytest.mark.parametrize(
    "name, valid",
    [
        ("luhn", ["79927398713", "18", "0"]),
        ("mod11-2", ["07940", "079X", "0000000218250097", "000000021694233X"]),
        ("mod37-2", ["A999914123456N"]),
        ("mod97-10", ["79444", "3214282912345698765432161182"]),
        ("mod661-26", ["BAISDLAFKBM"]),
        ("mod1271-36", ["ISO793W"]),
        ("mod11,10", ["07945", "794623"]),
        ("mod37,36", ["A12425GABC1234002M", "a12425gabc1234002m"]),
    ],
)
def test_check_digits_of_known_codes(name, valid):
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*"
    automaton = from_steps(CHECK_DIGITS[name], alphabet)
    for code in valid:
        label_ids = [alphabet.index(c) for c in code]
        assert automaton.accepts_code(label_ids), code
        changed = label_ids.copy()
        changed[0] = (changed[0] + 1) % 10 if label_ids[0] < 10 else changed[0] + 1
        assert not automaton.accepts_code(changed), code


@pytest.mark.parametrize("name", CHECK_DIGITS)
def test_every_single_mistake_is_found(name):
    """What check digits are for; and every beginning has exactly one ending, where one character checks."""
    alphabet = {"mod661-26": "ABCXYZ", "mod27,26": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}.get(name, "0123456789")
    alphabet += {
        "mod11-2": "X",
        "mod37-2": "ABCDEFGHIJKLMNOPQRSTUVWXYZ*",
        "mod37,36": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    }.get(name, "")
    automaton = from_steps(CHECK_DIGITS[name], alphabet)
    rng = np.random.default_rng(0)
    two = name in ("mod97-10", "mod661-26", "mod1271-36")
    checked = 0
    for _ in range(200):
        label_ids = rng.integers(0, min(len(alphabet), 10), 5).tolist()
        ends = [[*label_ids, *end] for end in itertools.product(range(len(alphabet)), repeat=1 + two)]
        valid = [code for code in ends if automaton.accepts_code(code)]
        assert two or len(valid) == 1
        for code in valid[:1]:
            place = int(rng.integers(5))
            others = [[*code[:place], other, *code[place + 1 :]] for other in range(10 if not two else len(alphabet))]
            assert [other for other in others if other != code and automaton.accepts_code(other)] == []
            checked += 1
    assert checked > 0


# --- patterns


@pytest.mark.parametrize(
    "pattern",
    [
        "", "a", "a*", "(ab|b)+c?", "a{2,3}", "(a|b){2}", "[a-b]+", "[^a]c", r"\d\w", r"\D+", ".", "^ab$",
        "(?i)AB", "(?i)[^A]",
        "a+?b*?", "(?:a|)b", "(?P<x>a)b", "a|", "x", "(a{0,2}b){1,2}", r"[\d\-a]+", r"\Aab\Z",
    ],
)  # fmt: skip
def test_patterns_match_as_python_does(pattern):
    alphabet = "abc1-"
    automaton = pattern_automaton(pattern, alphabet)
    for code in all_codes(alphabet, 0, 4):
        expected = re.fullmatch(pattern, code) is not None
        assert automaton.accepts_code([alphabet.index(c) for c in code]) == expected, (pattern, code)


_parts = st.recursive(
    st.sampled_from(["a", "b", "1", ".", "[ab]", "[^a]", r"\d", r"\w"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "*?"])).map(
            lambda t: f"(?:{t[0]}){t[1]}"
        ),
    ),
    max_leaves=6,
)


@given(_parts)
@settings(max_examples=60)
def test_drawn_patterns_match_as_python_does(pattern):
    automaton = pattern_automaton(pattern, "ab1")
    for code in all_codes("ab1", 0, 4):
        assert automaton.accepts_code(["ab1".index(c) for c in code]) == (re.fullmatch(pattern, code) is not None)


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("(", "is not a regular expression"),
        (r"(a)\1", "has a back reference"),
        ("(?=a)b", "has look-ahead"),
        ("a++", "has a possessive repeat"),
        ("a^b", "inside the pattern"),
        ("a{5000}", "more than 1,000 repeats"),
        ("((a{900}){900}){900}", "more than 20,000 parts"),
        ("(a|b)*a(a|b){18}", "more than 20,000 states"),
    ],
)
def test_patterns_that_cannot_be_a_limit(pattern, message):
    with pytest.raises(ReaderError, match=message):
        pattern_automaton(pattern, "ab")


# --- what cannot be


@pytest.mark.parametrize(
    "limits, message",
    [
        ({"lengths": (7,)}, "lengths of 7, but the model reads codes of 4 to 6 characters"),
        ({"pattern": "A+"}, "no code of 4 to 6 characters fits the limits"),
        ({"characters": "xyz"}, "none of the characters 'xyz' is in the model's alphabet"),
        ({"codes": ("12", "ABCD")}, "none of the 2 listed codes can be read"),
        ({"check_digit": "luhm"}, "the check digit 'luhm' is not one of luhn, mod11-2"),
        ({"budget": 0}, "at least 1 step"),
    ],
)
def test_limits_that_leave_nothing(limits, message):
    with pytest.raises(ReaderError, match=message):
        Limits(**limits).compile(DIGITS, 4, 6)


def test_a_search_that_is_cut_off_says_so():
    columns = drawn(1, 8, 4, spread=0.1)  # all codes are about equally probable
    compiled = Limits(budget=12).compile("012", 1, 4)
    fit = compiled.read_columns(columns)
    assert not fit.is_exact
    assert Limits().compile("012", 1, 4).read_columns(columns).is_exact
    never = Limits(function=lambda code: False, budget=30)
    with pytest.raises(OutOfBudget, match="no code within the limits was found in 30 steps"):
        never.compile("012", 4, 4).read_positions(drawn(1, 4, 3))
    with pytest.raises(OutOfBudget, match="in 30 steps"):
        never.compile("012", 1, 4).read_columns(columns)
    assert Limits(function=lambda code: False).compile("012", 2, 2).read_positions(drawn(1, 2, 3)) is None


# --- many codes


def ten_thousand():
    rng = np.random.default_rng(5)
    return tuple(dict.fromkeys("".join(map(str, row)) for row in rng.integers(0, 10, (10_200, 6))))[:10_000]


def test_ten_thousand_codes_in_positions():
    codes = ten_thousand()
    compiled = Limits(codes=codes).compile(DIGITS, 6, 6)
    log_probabilities = drawn(7, 6, 10)
    check(
        compiled.read_positions(log_probabilities), DIGITS,
        position_probabilities(log_probabilities, DIGITS, codes), lambda code: True,
    )  # fmt: skip


@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_ten_thousand_codes_in_columns(spread):
    """Against an automaton that accepts the same codes."""
    codes = ten_thousand()[:500]
    log_probabilities = drawn(8, 20, 11, spread)
    listed = Limits(codes=codes).compile(DIGITS, 6, 6).read_columns(log_probabilities)
    pattern = Limits(pattern="|".join(codes), budget=100_000).compile(DIGITS, 6, 6).read_columns(log_probabilities)
    assert listed.label_ids == pattern.label_ids
    np.testing.assert_allclose(listed.probability, pattern.probability, rtol=1e-8)
    np.testing.assert_allclose(listed.among_fitting, pattern.among_fitting, rtol=1e-8)


def test_most_of_a_list_need_not_be_scored_where_the_image_is_clear():
    codes = ten_thousand()
    compiled = Limits(codes=codes).compile(DIGITS, 6, 6)
    shown = [x for c in codes[17] for x in (int(c), 10, 10)]
    rows = np.full((18, 11), 1e-8)
    rows[np.arange(18), shown] = 1 - 1e-7
    scored = score_columns(np.log(rows), compiled.codes)
    assert len(scored.numbers) < 2000
    fit = compiled.read_columns(np.log(rows))
    assert "".join(map(str, fit.label_ids)) == codes[17]


def test_the_best_columns_of_a_code():
    columns = np.log([[0.6, 0.1, 0.3], [0.7, 0.1, 0.2], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1], [0.2, 0.5, 0.3]])
    np.testing.assert_allclose(best_columns(columns, (0, 0, 1)), [0.7, 0.8, 0.5])
    assert best_columns(columns, ()).tolist() == []
