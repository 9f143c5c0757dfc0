"""What probing a sample led to: a reading, the evidence for it, what was rejected, and what only the user can tell."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Generic, TypeVar

from records.errors import printable, quoted
from records.foreign.readings import ImageReading, TextReading

# Words of keys, as seen in records of other projects. They only rank what its values allow: a key called `id` whose
# strings are codes is still found where nothing better is.
NAMES_OF_TEXT = frozenset(
    "text texts label labels code codes captcha transcription transcript gt groundtruth truth word words answer string "
    "target targets caption value plate digit digits solution character characters char chars content".split()
)
NAMES_OF_OTHERS = frozenset(
    "file filename fname path filepath imagepath imagepaths key id uid uuid guid name url uri source src format "
    "colorspace encoding split set subset comment comments font fonts writer author user date time timestamp lang "
    "language hash sha sha256 md5 creator version type license dataset device shape dtype index idx num count size "
    "length len width height depth channels channel rows cols orig original weight score confidence difficult area "
    "bbox xmin xmax ymin ymax mask seed style noise bg fg color colour mean std".split()
)
NAMES_OF_IMAGES = frozenset("image images img imgs picture pic pixels input inputs x photo frame encoded raw".split())

Reading = ImageReading | TextReading
R = TypeVar("R", ImageReading, TextReading)


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the user settled beforehand; an empty value means: find out."""

    image_key: str = ""
    text_key: str = ""
    image_shape: tuple[int, ...] = ()
    image_type: str = ""
    channel_order: str = ""
    image_range: tuple[float, ...] = ()
    views: int = 0
    charset: tuple[str | None, ...] = ()
    is_number: bool = False  # the ids are the codes themselves, written with `num_digits` digits or more
    num_digits: int = 0
    first_id: int | None = None
    padding: str = ""
    separator: str = ""
    label_pattern: str = ""


@dataclasses.dataclass(frozen=True)
class Question:
    """Several readings of `about` are plausible, and the flag settles which.

    `options` are (value of the flag, reading), the likeliest first; there are none where only the user can know.
    """

    flag: str
    about: str
    text: str
    options: tuple[tuple[str, Reading | None], ...]

    def __str__(self) -> str:
        values = [f"{self.flag}={printable(value)}" for value, _ in self.options]
        if not values:
            return f"{self.text}: {self.flag} settles it"
        values[0] += " (likely)"
        return f"{self.text}: {' or '.join(values)} settles it"


@dataclasses.dataclass
class Finding(Generic[R]):
    """`reading` is the likeliest where questions are open, and None where nothing can be read at all."""

    reading: R | None = None
    evidence: list[str] = dataclasses.field(default_factory=list)
    rejected: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    questions: list[Question] = dataclasses.field(default_factory=list)

    def reject(self, name: str, why: str) -> None:
        # Image and text are probed one after the other and may say the same of a key.
        if (name, why) not in self.rejected:
            self.rejected.append((name, why))

    def ask(self, flag: str, about: str, text: str, options: Iterable[tuple[object, Reading | None]]) -> None:
        self.questions.append(Question(flag, about, text, tuple((str(value), reading) for value, reading in options)))

    def drop_questions(self, *about: str) -> None:
        """Takes back what was asked about candidates that are out of the running."""
        self.questions[:] = [question for question in self.questions if question.about not in about]


@dataclasses.dataclass(frozen=True)
class TextCandidate:
    """Where the text may be: `reading` lacks nothing but a charset, `texts` or `ids` are those of the sample."""

    name: str
    keys: tuple[str, ...]
    reading: TextReading
    what: str
    texts: list[str] | None = None
    ids: list[list[int]] | None = None


def names(keys: Iterable[str]) -> str:
    """Keys in quotes, for a message."""
    return ", ".join(map(quoted, keys))


def words_of(key: str) -> list[str]:
    """The words of a key: `image/object/classText0` -> image, object, class, text."""
    # An acronym is one word, and the capital after it begins the next: IDText -> id, text.
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", key)]


def name_speaks(key: str) -> int:
    """1 where a key is called as text is, -1 where as something beside it, 0 where its name does not tell."""
    words = set(words_of(key))
    return bool(words & NAMES_OF_TEXT) - bool(words & NAMES_OF_OTHERS)
