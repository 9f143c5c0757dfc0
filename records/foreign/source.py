"""Records of other projects as a source: (key, text) of each image, and its bytes.

look = look_at("data/*.tfrecord", Answers())
source = ForeignSource((Entry.of(look.listing, look.mapping),), unpacked="somewhere")
for key, text in source.rows(): data = source.load(key)
"""

import collections
import dataclasses
import functools
import hashlib
import os
import pathlib

from records.atomic import atomic_file
from records.dataset.manifest import FILE_NAME, Manifest
from records.dataset.schema import IMAGE, RAW, TEXT
from records.errors import DamagedRecords, DigitwiseError
from records.foreign.listing import Listing, list_records
from records.foreign.mapping import ImageReading, SchemaMapping, TextReading
from records.foreign.sample import MAX_RECORD, decode_record, kind_of, take_sample
from records.probe.findings import Answers, Finding
from records.probe.image import find_image, shape_keys_of
from records.probe.tables import find_tables, read_features
from records.probe.text import find_text
from records.tfrecord.framing import frame, read_record_at, read_records

MAX_UNPACKING = 1000
_UNPACKED_AT_LEAST = 1 << 30
_OPEN_FILES = 16


@dataclasses.dataclass(frozen=True)
class Look:
    """What a sample of one entry of --records showed."""

    listing: Listing
    sample: list
    image: Finding
    text: Finding

    @property
    def questions(self):
        return [*self.image.questions, *self.text.questions]

    @property
    def mapping(self):
        return SchemaMapping(self.image.reading, self.text.reading) if self.image.reading else None


def look_at(entry, answers=Answers(), mapping=None):
    """The Look of a path, folder or glob; a mapping that is given is taken as it is."""
    listing = list_records(entry)
    sample = take_sample(listing)
    mapping = mapping or own_mapping(entry)
    if mapping:
        given = ["it is given by the mapping"]
        return Look(listing, sample, Finding(mapping.image, given), Finding(mapping.text, given))
    features, tables = read_features(listing.folders), find_tables(listing.folders)
    alike = _alike(sample)
    image = find_image(alike, features, answers)
    text = find_text(alike, tables, answers, taken=shape_keys_of(image.reading))
    if len(alike) < len(sample):
        other = next(sampled for sampled in sample if sampled not in alike)
        image.evidence.append(
            f"{len(sample) - len(alike)} records looked at have other kinds of values, such as {other.where}"
        )
    return Look(listing, sample, image, text)


def _alike(sample):
    """The sample without the few records in which a key holds another kind of value than in most: reading them will
    stop at the first of them, and what they are is found out without them."""
    kinds = collections.defaultdict(collections.Counter)
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
    return alike if len(alike) >= 0.9 * len(sample) else sample


def own_mapping(entry):
    """The mapping of a folder that this project wrote, or None."""
    if not (pathlib.Path(entry) / FILE_NAME).is_file():
        return None
    try:
        manifest = Manifest.load(entry)
    except DigitwiseError:
        return None
    image = ImageReading(IMAGE, "encoded")
    if manifest.encoding == RAW:
        image = ImageReading(
            IMAGE, "pixels", item_type="uint8", shape=manifest.image_shape, axes="HWC", value_range=(0.0, 255.0)
        )
    return SchemaMapping(image, TextReading("string", (TEXT,)))


@dataclasses.dataclass(frozen=True)
class Entry:
    """Files that one mapping reads."""

    files: tuple
    mapping: SchemaMapping
    prefix: str = ""


@dataclasses.dataclass(frozen=True)
class ForeignSource:
    """Images in records of other projects. A key is `file:number@offset`, by which any process finds the record.

    Compressed files, in which nothing can be found by its offset, are unpacked into the folder `unpacked` at the first
    pass over them.
    """

    entries: tuple
    unpacked: str

    def rows(self):
        """Yields (key, text) for each record; its image is not looked at."""
        for entry, file, number, offset, record in self._records():
            try:
                text = entry.mapping.text.read(record, file.path)
            except ValueError as error:
                raise DigitwiseError(f"{_where(file, number, offset)}: {error}") from None
            yield f"{entry.prefix}{file.name}:{number}@{offset}", text

    def load(self, key):
        """The bytes of an image file."""
        entry, file, number, offset = self._find(key)
        plain = self._plain(entry, file)
        if file.compression and not os.path.exists(plain):
            collections.deque(self._read(entry, file), maxlen=0)
        data = read_record_at(file.path, _opened(plain), offset, MAX_RECORD, number)
        record = decode_record(file.path, number, offset, data)
        try:
            return entry.mapping.image.file(record)
        except ValueError as error:
            raise DigitwiseError(f"{_where(file, number, offset)}: {error}") from None

    def check(self):
        """Yields the text of each record, or None without one, once its pixels have been decoded too."""
        for entry, file, number, offset, record in self._records():
            try:
                entry.mapping.image.picture(record).load()
                yield entry.mapping.text.read(record, file.path) if entry.mapping.text else None
            except (ValueError, OSError, SyntaxError) as error:
                raise DigitwiseError(f"{_where(file, number, offset)}: {error}") from None

    def name(self, key):
        """Where the image is, and under which keys."""
        entry, file, number, offset = self._find(key)
        keys = [entry.mapping.image.key, *(entry.mapping.text.keys if entry.mapping.text else ())]
        return f"{_where(file, number, offset)} ({', '.join(map(repr, keys))})"

    def fingerprint(self):
        """What tells these files, read so, from others: names, sizes, times and mappings."""
        described = []
        for entry in self.entries:
            digest = hashlib.sha256()
            for file in entry.files:
                status = os.stat(file.path)
                digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
            described.append({"files": len(entry.files), "sha256": digest.hexdigest(), **entry.mapping.as_json()})
        return described

    def check_labelled(self):
        """Raises where an entry has no text: such records can be read, not learned from."""
        for entry in self.entries:
            if entry.mapping.text is None:
                raise DigitwiseError(
                    f"{os.path.dirname(entry.files[0].path) or '.'}: no text was found in these records; "
                    "without it they can be neither trained on nor tested (--text_key names the key of a text)"
                )

    def _records(self):
        for entry in self.entries:
            for file in entry.files:
                for number, (offset, data) in enumerate(self._read(entry, file)):
                    yield entry, file, number, offset, decode_record(file.path, number, offset, data)

    def _read(self, entry, file):
        """The records of a file, which leaves a plain copy of a compressed one."""
        plain = self._plain(entry, file)
        if not file.compression or not self.unpacked or os.path.exists(plain):
            yield from read_records(file.path, MAX_RECORD)
            return
        os.makedirs(self.unpacked, exist_ok=True)
        with atomic_file(plain) as copy:
            for offset, data in read_records(file.path, MAX_RECORD):
                if offset + len(data) > max(_UNPACKED_AT_LEAST, MAX_UNPACKING * file.size):
                    raise DamagedRecords(
                        f"{file.path}: at byte {offset} it has unpacked to more than {MAX_UNPACKING:,} times its size"
                    )
                copy.write(frame(data))
                yield offset, data

    def _plain(self, entry, file):
        if not file.compression:
            return file.path
        digest = hashlib.sha256(f"{file.path}\0{file.size}\0{os.stat(file.path).st_mtime_ns}".encode()).hexdigest()
        return os.path.join(self.unpacked, f"{digest[:32]}.tfrecord")

    def _find(self, key):
        name, place = key.rsplit(":", 1)
        number, offset = map(int, place.split("@"))
        entry, file = self._by_name[name]
        return entry, file, number, offset

    @functools.cached_property
    def _by_name(self):
        return {f"{entry.prefix}{file.name}": (entry, file) for entry in self.entries for file in entry.files}


def _where(file, number, offset):
    return f"{file.path}: record {number} at byte {offset}"


@functools.lru_cache(maxsize=_OPEN_FILES)
def _opened(path):
    """Kept open: records of a shard come from all over the files."""
    return open(path, "rb")
