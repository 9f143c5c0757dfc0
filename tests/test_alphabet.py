import pytest

from records.alphabet import Alphabet
from records.errors import DigitwiseError


def test_names_and_characters():
    assert Alphabet.parse("digits").characters == "0123456789"
    assert Alphabet.parse("digits+upper").characters == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert len(Alphabet.parse("alnum")) == 62
    assert Alphabet.parse("xyz-+").characters == "xyz-+"
    assert Alphabet.parse("e\u0301ab").characters == "\u00e9ab"


def test_ids_and_back():
    alphabet = Alphabet("abc")
    assert alphabet.ids("cab") == [2, 0, 1]
    assert alphabet.text([2, 0, 1, -1, -1]) == "cab"
    assert alphabet.unknown("abxa") == "x"
    assert alphabet.unknown("abca") is None


@pytest.mark.parametrize(
    "characters, folded, text, as_one",
    [
        ("digits+upper", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "aB3", "AB3"),
        ("digits+lower", "0123456789abcdefghijklmnopqrstuvwxyz", "aB3", "ab3"),
        ("alnum", "0123456789abcdefghijklmnopqrstuvwxyz", "aB3", "ab3"),
        ("digits+upper+lower", "0123456789abcdefghijklmnopqrstuvwxyz", "aB3", "ab3"),
        ("digits", "0123456789", "407", "407"),
        ("BabA", "ba", "ABab", "abab"),
        ("ÄÖ", "ÄÖ", "äöß", "ÄÖß"),  # SS would be two
    ],
)
def test_folding_makes_both_cases_one(characters, folded, text, as_one):
    alphabet = Alphabet.parse(characters)
    assert alphabet.folded().characters == folded
    assert alphabet.fold(text) == alphabet.folded().fold(text) == as_one


@pytest.mark.parametrize(
    "characters, message",
    [
        ("", "empty"),
        ("0120", "'0' more than once"),
        ("a\nb", "U\\+000A"),
        ("a\u0301", "U\\+0301"),
    ],
)
def test_unusable(characters, message):
    with pytest.raises(DigitwiseError, match=message):
        Alphabet(characters)


def test_a_name_that_is_none_is_told_with_those_that_are():
    with pytest.raises(DigitwiseError, match="'t' more than once; the names of alphabets are digits, lower, upper, al"):
        Alphabet.parse("letters")
