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
from records.probe.probe import Probe, probe_records
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
        self._probed: dict[object, list[Probe]] = {}
        self._settled: dict[object, list[Probe]] = {}

    def probed(self, config: RunConfig) -> list[Probe]:
        """One for each entry of --records, with the questions that are open."""
        # All that probing depends on, as a key: settings are frozen, so they can be one.
        asked = (config.foreign, config.records.label_pattern)
        if asked not in self._probed:
            answers = answers_of(config)
            entries = zip(config.foreign.records, mappings_of(config), strict=True)
            probed = [probe_records(entry, answers, mapping) for entry, mapping in entries]
            check_distinct(probe.listing for probe in probed)
            self._probed[asked] = probed
        return self._probed[asked]

    def settled(self, config: RunConfig, workdir: Workdir) -> list[Probe]:
        """The same with no question left; stops where records have no image, no text, or a question is open."""
        asked = (config.foreign, config.records.label_pattern)
        if asked not in self._settled:
            self._settled[asked] = _settled(self.probed(config), config.foreign.answers, workdir)
        return self._settled[asked]


def foreign_source(probes: Probes, config: RunConfig, workdir: Workdir) -> ForeignSource:
    """The source that --records names."""
    probed = probes.settled(config, workdir)
    # Only where there are several entries: files of two of them may have the same name.
    prefixes = [f"{number + 1}/" if len(probed) > 1 else "" for number in range(len(probed))]
    entries = [
        Entry(probe.listing.files, probe.mapping, prefix)
        for probe, prefix in zip(probed, prefixes, strict=True)
        if probe.mapping
    ]
    return ForeignSource(tuple(entries), str(workdir.unpacked))


def _settled(probed: list[Probe], asked: str, workdir: Workdir) -> list[Probe]:
    for probe in probed:
        if probe.mapping is None and not probe.questions:
            raise DigitwiseError(
                f"--records={probe.listing.entry}: no key holds an image; --stage=inspect shows what the keys hold"
            )
        if not probe.has_text:
            raise DigitwiseError(f"--records={probe.listing.entry}: {_NO_TEXT} (--text_key names the key of a text)")
    if asked == LIKELY:
        paths = [mapping_file(workdir, probed, number) for number in range(len(probed))]
        probed = [take_likely("records", probe, path) for probe, path in zip(probed, paths, strict=True)]
    open_lines = [open_question(probe, question) for probe in probed for question in probe.questions]
    if open_lines:
        hint = "--stage=inspect makes pictures of each reading"
        raise DigitwiseError("\n".join([*open_lines, *how_to_answer(probed), hint]))
    for probe in probed:
        # One line on the image and one on the text; the inspect stage prints all of the evidence.
        for line in probe.image.evidence[:1] + probe.text.evidence[-1:]:
            print(f"records: {probe.listing.entry}: {printable(line, 1000)}")
    return probed


def take_likely(stage: str, probe: Probe, path: pathlib.Path) -> Probe:
    """The probe with the likeliest answers, which are announced and written to a mapping."""
    taken = [question for question in probe.questions if question.options]
    for question in taken:
        value, _ = question.options[0]
        print(
            f"{stage}: {probe.listing.entry}: {question.text}: took {question.flag}={printable(value)}, the likeliest"
        )
    settled = probe.settled()
    if taken and settled.mapping:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mapping(settled, path)
        print(f"{stage}: {probe.listing.entry}: the answers are in {path}")
    return settled


def write_mapping(probe: Probe, path: pathlib.Path) -> None:
    """The mapping with what speaks for it; what is open is marked in it."""
    notes = {
        "records": probe.listing.entry,
        "image": probe.image.evidence,
        "text": probe.text.evidence,
        "rejected": dict(probe.image.rejected + probe.text.rejected),
    }
    if probe.mapping:
        probe.mapping.save(path, notes, {_FIELDS[question.flag]: str(question) for question in probe.questions})


def mapping_file(workdir: Workdir, probed: list[Probe], number: int) -> pathlib.Path:
    return workdir.inspect / f"mapping{suffix_of(probed, number)}.json"


def suffix_of(probed: list[Probe], number: int) -> str:
    """What tells the files of one entry from those of the others."""
    return f"-{number + 1}" if len(probed) > 1 else ""


def open_question(probe: Probe, question: Question) -> str:
    return f"--records={probe.listing.entry}: {question}"


def how_to_answer(probed: list[Probe]) -> list[str]:
    """The last line below open questions."""
    if all(question.options for probe in probed for question in probe.questions):
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
            raise DigitwiseError(
                f"--charset={text}: not a table of characters: expected a line for each id, such as 0<TAB>a"
            )
        return table.charset, table.first_id
    # Probably a path with a mistake in it: as characters it would read every code wrongly without a word.
    if re.search(r"[/\\]|\.txt$|\.json$", text):
        raise DigitwiseError(f"--charset={text}: there is no such file")
    return tuple(Alphabet.parse(text).characters), None
