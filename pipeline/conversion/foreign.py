"""Records of other projects as the settings name them: probed once in a run, and handed on as a source.

probes = Probes()
source = foreign_source(probes, config, workdir)
"""

import os
import pathlib
import re

from pipeline.config import RunConfig
from pipeline.values import SettingError
from pipeline.workdir import Workdir
from records.alphabet import Alphabet
from records.errors import DigitwiseError, printable
from records.foreign.listing import check_distinct
from records.foreign.mapping import SchemaMapping
from records.foreign.source import Entry, ForeignSource
from records.probe.characters import NUMBER
from records.probe.findings import Answers, Question
from records.probe.look import Look, look_at
from records.probe.tables import read_table

LIKELY = "likely"  # of --answers: the likeliest option of each question is taken
_NO_TEXT = "no text was found in these records; without it they can be neither trained on nor tested"
# The part and the field of a mapping that a flag settles; without a field it is all of the part.
_FIELDS: dict[str, tuple[str, str | None]] = {
    "--image_key": ("image", None),
    "--image_shape": ("image", "shape"),
    "--image_type": ("image", "item_type"),
    "--image_range": ("image", "value_range"),
    "--channel_order": ("image", "channel_order"),
    "--views": ("image", "views"),
    "--text_key": ("text", None),
    "--charset": ("text", "charset"),
    "--first_id": ("text", "first_id"),
    "--padding": ("text", "padding"),
    "--separator": ("text", "separator"),
    "--label_pattern": ("text", "pattern"),
}


class Probes:
    """What probing --records led to, found out and told once in a run: a stage takes what an earlier one found."""

    def __init__(self) -> None:
        self._looks: dict[object, list[Look]] = {}
        self._settled: dict[object, list[Look]] = {}

    def looks(self, config: RunConfig) -> list[Look]:
        """One for each entry of --records, with the questions that are open."""
        # All that probing depends on, as a key: settings are frozen, so they can be one.
        asked = (config.foreign, config.records.label_pattern)
        if asked not in self._looks:
            answers = answers_of(config)
            entries = zip(config.foreign.records, mappings_of(config), strict=True)
            looks = [look_at(entry, answers, mapping) for entry, mapping in entries]
            check_distinct(look.listing for look in looks)
            self._looks[asked] = looks
        return self._looks[asked]

    def settled(self, config: RunConfig, workdir: Workdir) -> list[Look]:
        """The same with no question left; stops where records have no image, no text, or a question is open."""
        asked = (config.foreign, config.records.label_pattern)
        if asked not in self._settled:
            self._settled[asked] = _settled(self.looks(config), config.foreign.answers, workdir)
        return self._settled[asked]


def foreign_source(probes: Probes, config: RunConfig, workdir: Workdir) -> ForeignSource:
    """The source that --records names."""
    looks = probes.settled(config, workdir)
    # Only where there are several entries: files of two of them may have the same name.
    prefixes = [f"{number + 1}/" if len(looks) > 1 else "" for number in range(len(looks))]
    entries = [
        Entry(look.listing.files, look.mapping, prefix)
        for look, prefix in zip(looks, prefixes, strict=True)
        if look.mapping
    ]
    return ForeignSource(tuple(entries), str(workdir.unpacked))


def _settled(looks: list[Look], asked: str, workdir: Workdir) -> list[Look]:
    for look in looks:
        if look.mapping is None and not look.questions:
            raise DigitwiseError(
                f"--records={look.listing.entry}: no key holds an image; --stage=inspect shows what the keys hold"
            )
        if not look.has_text:
            raise DigitwiseError(f"--records={look.listing.entry}: {_NO_TEXT} (--text_key names the key of a text)")
    if asked == LIKELY:
        paths = [mapping_file(workdir, looks, number) for number in range(len(looks))]
        looks = [take_likely("records", look, path) for look, path in zip(looks, paths, strict=True)]
    open_lines = [open_question(look, question) for look in looks for question in look.questions]
    if open_lines:
        hint = "--stage=inspect draws each of these readings"
        raise DigitwiseError("\n".join([*open_lines, *how_to_answer(looks), hint]))
    for look in looks:
        # One line on the image and one on the text; the inspect stage prints all of the evidence.
        for line in look.image.evidence[:1] + look.text.evidence[-1:]:
            print(f"records: {look.listing.entry}: {printable(line, 1000)}")
    return looks


def take_likely(stage: str, look: Look, path: pathlib.Path) -> Look:
    """The look with the likeliest answers, which are announced and written to a mapping."""
    taken = [question for question in look.questions if question.options]
    for question in taken:
        value, _ = question.options[0]
        print(f"{stage}: {look.listing.entry}: {question.text}: took {question.flag}={printable(value)}, the likeliest")
    settled = look.settled()
    if taken and settled.mapping:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mapping(settled, path)
        print(f"{stage}: {look.listing.entry}: the answers are in {path}")
    return settled


def write_mapping(look: Look, path: pathlib.Path) -> None:
    """The mapping with what speaks for it; what is open is marked in it."""
    notes = {
        "records": look.listing.entry,
        "image": look.image.evidence,
        "text": look.text.evidence,
        "rejected": dict(look.image.rejected + look.text.rejected),
    }
    if look.mapping:
        look.mapping.save(path, notes, {_FIELDS[question.flag]: str(question) for question in look.questions})


def mapping_file(workdir: Workdir, looks: list[Look], number: int) -> pathlib.Path:
    return workdir.inspect / f"mapping{suffix_of(looks, number)}.json"


def suffix_of(looks: list[Look], number: int) -> str:
    """What tells the files of one entry from those of the others."""
    return f"-{number + 1}" if len(looks) > 1 else ""


def open_question(look: Look, question: Question) -> str:
    return f"--records={look.listing.entry}: {question}"


def how_to_answer(looks: list[Look]) -> list[str]:
    """The last line below open questions."""
    if all(question.options for look in looks for question in look.questions):
        return ["--answers=likely takes the one marked as likely for each question"]
    return []


def answers_of(config: RunConfig) -> Answers:
    """What the flags settle."""
    foreign = config.foreign
    charset, first_id = _charset(foreign.charset)
    number = _NUMBER.fullmatch(foreign.charset)
    return Answers(
        image_key=foreign.image_key,
        text_key=foreign.text_key,
        image_shape=foreign.image_shape,
        image_type=foreign.image_type,
        channel_order=foreign.channel_order,
        image_range=foreign.image_range or (),
        views=foreign.views,
        charset=charset,
        is_number=bool(number),
        num_digits=int(number[1] or 0) if number else 0,
        first_id=first_id if foreign.first_id is None else foreign.first_id,
        padding="" if foreign.padding is None else str(foreign.padding),
        separator=foreign.separator,
        label_pattern=config.records.label_pattern,
    )


def mappings_of(config: RunConfig) -> list[SchemaMapping | None]:
    """The mapping given for each entry: one for all, or one for each, some of them left empty."""
    given, count = config.foreign.mapping, len(config.foreign.records)
    if not given:
        return [None] * count
    if len(given) not in (1, count):
        raise SettingError(
            f"--mapping has {len(given)} files and --records {count} entries: "
            "give one for all, or one for each (--mapping=a.json,,c.json leaves the second to be found)"
        )
    return [SchemaMapping.load(path) if path else None for path in (given if len(given) > 1 else given * count)]


_NUMBER = re.compile(NUMBER + r"(?::(\d{1,2}))?")


def _charset(text: str) -> tuple[tuple[str | None, ...], int | None]:
    """(characters by id, the first id or None) of --charset: a file, or as --alphabet takes it."""
    if not text or _NUMBER.fullmatch(text):
        return (), None
    if os.path.isfile(text):
        table = read_table(text)
        if not table:
            raise DigitwiseError(f"--charset={text}: it is no table of characters: a line for each id, such as 0<TAB>a")
        return table.charset, table.first_id
    # Probably a path with a mistake in it: as characters it would read every code wrongly without a word.
    if re.search(r"[/\\]|\.txt$|\.json$", text):
        raise DigitwiseError(f"--charset={text}: there is no such file")
    return tuple(Alphabet.parse(text).characters), None
