"""What a sample of records shows: which keys hold the image and the text, and what is open.

found = probe_records("data/*.tfrecord", Answers())
found.mapping, found.questions
"""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence

from records.dataset.manifest import FILE_NAME, Manifest
from records.dataset.schema import IMAGE, TEXT
from records.errors import DigitwiseError
from records.foreign.listing import Listing, list_records
from records.foreign.mapping import SchemaMapping
from records.foreign.readings import ImageReading, TextReading
from records.foreign.sample import Sampled, kind_of, take_sample
from records.images.files import RAW
from records.probe.findings import Answers, Finding, Question
from records.probe.image import ImageFinding, find_image, shape_keys_of
from records.probe.keys import Keys
from records.probe.strings import TextFinding
from records.probe.tables import find_tables, read_features
from records.probe.text import find_text

_ALIKE_SHARE = 0.9  # of the sample: fewer are not a few odd records, but records of several kinds
_NO_ANSWERS = Answers()


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a sample of one entry of --records showed."""

    listing: Listing
    sample: list[Sampled]
    image: Finding[ImageReading]
    text: Finding[TextReading]

    @property
    def questions(self) -> list[Question]:
        return [*self.image.questions, *self.text.questions]

    @property
    def mapping(self) -> SchemaMapping | None:
        """The likeliest where questions are open; None where no key holds an image."""
        return SchemaMapping(self.image.reading, self.text.reading) if self.image.reading else None

    @property
    def has_text(self) -> bool:
        """Whether there is a text, or may be one."""
        return self.text.reading is not None or bool(self.text.questions)

    def settled(self) -> "Probe":
        """The same with the likeliest option of each question taken; those without options stay open."""
        image = dataclasses.replace(self.image, questions=[q for q in self.image.questions if not q.options])
        text = dataclasses.replace(self.text, questions=[q for q in self.text.questions if not q.options])
        return dataclasses.replace(self, image=image, text=text)


def probe_records(entry: str, answers: Answers = _NO_ANSWERS, mapping: SchemaMapping | None = None) -> Probe:
    """The Probe of a path, folder or glob; a mapping that is given is taken as it is."""
    listing = list_records(entry)
    sample = take_sample(listing)
    # Our own records need no probe; other records beside a manifest that is damaged do.
    mapping = mapping or own_mapping(entry)
    if mapping:
        given = ["it is given by the mapping"]
        return Probe(listing, sample, ImageFinding(mapping.image, given), TextFinding(mapping.text, given))
    features, tables = read_features(listing.folders), find_tables(listing.folders)
    alike = _alike(sample)
    keys = Keys(alike)
    # The image first: the keys of its height and width would otherwise be candidates for a text of digits.
    image = find_image(keys, features, answers)
    text = find_text(keys, tables, answers, taken=shape_keys_of(image.reading))
    if len(alike) < len(sample):
        other = next(sampled for sampled in sample if sampled not in alike)
        image.evidence.append(
            f"{len(sample) - len(alike)} of the sampled records have other kinds of values, such as {other.where}"
        )
    return Probe(listing, sample, image, text)


def own_mapping(entry: str) -> SchemaMapping | None:
    """The mapping of a folder that this project wrote, or None."""
    if not (pathlib.Path(entry) / FILE_NAME).is_file():
        return None
    try:
        manifest = Manifest.load(entry)
    except DigitwiseError:
        return None
    image = ImageReading(IMAGE, "encoded")
    if manifest.encoding == RAW:
        shape = (manifest.height, manifest.width, manifest.channels)
        image = ImageReading(IMAGE, "pixels", item_type="uint8", shape=shape, axes="HWC", value_range=(0.0, 255.0))
    return SchemaMapping(image, TextReading("string", (TEXT,)))


def _alike(sample: Sequence[Sampled]) -> list[Sampled]:
    """The sample without the few records in which a key holds another kind of value than in most, or all of it where
    they are many. Reading will stop at the first of the few; what the others are is found out without them."""
    kinds: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for sampled in sample:
        for key, value in sampled.record.values.items():
            if value is not None:
                kinds[key][kind_of(value)] += 1
    usual = {key: counter.most_common(1)[0][0] for key, counter in kinds.items()}
    alike = [
        sampled
        for sampled in sample
        if all(value is None or kind_of(value) == usual[key] for key, value in sampled.record.values.items())
    ]
    return alike if len(alike) >= _ALIKE_SHARE * len(sample) else list(sample)
