"""What a look at a sample led to: a reading, what speaks for it, what was rejected, and what only the user can tell."""

import dataclasses
import re

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


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the user settled beforehand; nothing means: find out."""

    image_key: str = ""
    text_key: str = ""
    image_shape: tuple = ()
    image_type: str = ""
    channel_order: str = ""
    image_range: tuple = ()
    views: int = 0
    charset: tuple = ()
    first_id: int | None = None
    padding: str = ""
    separator: str = ""
    label_pattern: str = ""


@dataclasses.dataclass(frozen=True)
class Question:
    """Several readings are plausible, and the flag settles which. `options` are (value of the flag, reading)."""

    flag: str
    text: str
    options: tuple

    def __str__(self):
        values = [f"{self.flag}={value}" for value, _ in self.options]
        return f"{self.text}: {' or '.join(values) or self.flag} settles it"


@dataclasses.dataclass
class Finding:
    """`reading` is the likeliest where questions are open, and None where nothing can be read at all."""

    reading: object = None
    evidence: list = dataclasses.field(default_factory=list)
    rejected: list = dataclasses.field(default_factory=list)
    questions: list = dataclasses.field(default_factory=list)

    def reject(self, what, why):
        if (what, why) not in self.rejected:
            self.rejected.append((what, why))

    def ask(self, flag, text, options):
        self.questions.append(Question(flag, text, tuple(options)))


@dataclasses.dataclass(frozen=True)
class TextCandidate:
    """Where the text may be: `reading` lacks nothing but a charset, `texts` or `ids` are those of the sample."""

    name: str
    keys: tuple
    reading: object
    what: str
    texts: list = None
    ids: list = None


def words_of(key):
    """The words of a key: `image/object/classText0` -> image, object, class, text."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", key)]


def name_speaks(key):
    """1 where a key is called as text is, -1 where as something beside it, 0 where its name does not tell."""
    words = set(words_of(key))
    return bool(words & NAMES_OF_TEXT) - bool(words & NAMES_OF_OTHERS)
