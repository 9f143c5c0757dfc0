import pytest

from records.errors import printable, quoted


@pytest.mark.parametrize(
    "text, shown",
    [
        ("4071", "4071"),
        ("\u00e9\u4e2d", "\u00e9\u4e2d"),
        ("a\x1b[2Jb\nc\0", r"a\x1b[2Jb\nc\x00"),
        ("\u202e\udcff", r"\u202e\udcff"),
        ("x" * 300, "x" * 200 + "..."),
    ],
)
def test_text_from_elsewhere_is_escaped_and_cut(text, shown):
    assert printable(text) == shown


def test_in_quotes():
    assert quoted("a\nb") == r"'a\nb'"
    assert quoted("x" * 1_000_000) == "'" + "x" * 60 + "'..."
