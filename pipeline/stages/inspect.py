"""The inspect stage: what records of other projects hold, and how (image, text) is read from them.

Prints files, keys, and the mapping with what speaks for it; leaves a sheet of samples and a mapping file under
inspect/. Where two readings are plausible it draws both, and stops with the flag that settles it.
"""

import dataclasses
import os
import re
import time

from pipeline.config import SettingError
from pipeline.drawing.sheet import sheet
from pipeline.machine.progress import progress
from records.alphabet import Alphabet
from records.atomic import atomic_file
from records.errors import DigitwiseError
from records.foreign.mapping import SchemaMapping
from records.foreign.sample import count_records, key_facts
from records.foreign.source import Entry, ForeignSource, look_at
from records.probe.characters import NUMBER
from records.probe.findings import Answers
from records.probe.tables import read_table

_SAMPLES = 24
_OPTION_SAMPLES = 6
_WIDEST, _NARROWEST = 320, 96
# The part and the field of a mapping that a flag settles; without a field it is all of the part.
_FIELDS = {
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


def inspect(config, workdir):
    """Looks at every entry of --records; stops with the questions that are open."""
    if not config.foreign.records:
        raise SettingError("--stage=inspect needs --records: files, folders or globs of TFRecords")
    _clear_pictures(workdir.inspect)
    open_questions = []
    for number, entry in enumerate(config.foreign.records):
        began = time.monotonic()
        mapping = mapping_of(config.foreign, number)
        look = look_at(entry, answers_of(config), mapping)
        suffix = f"-{number + 1}" if len(config.foreign.records) > 1 else ""
        _print_facts(look)
        _print_finding("image", look.image)
        _print_finding("text", look.text)
        _write(look, workdir.inspect, suffix, is_given=mapping is not None)
        open_questions += _draw_questions(look, workdir.inspect, suffix)
        print(f"inspect: {entry} took {time.monotonic() - began:.1f} s")
        if config.foreign.full_check:
            _check_all(look)
    if open_questions:
        raise DigitwiseError("\n".join(open_questions))


def find_foreign(config, workdir):
    """The ForeignSource that the settings name; stops where a question is open."""
    entries, open_questions = [], []
    _clear_pictures(workdir.inspect)
    for number, entry in enumerate(config.foreign.records):
        look = look_at(entry, answers_of(config), mapping_of(config.foreign, number))
        if look.mapping is None and not look.questions:
            raise DigitwiseError(f"--records={entry}: no key holds an image; --stage=inspect shows what the keys hold")
        suffix = f"-{number + 1}" if len(config.foreign.records) > 1 else ""
        open_questions += _draw_questions(look, workdir.inspect, suffix)
        for line in look.image.evidence[:1] + look.text.evidence[-1:]:
            print(f"records: {entry}: {line}")
        prefix = f"{number + 1}/" if len(config.foreign.records) > 1 else ""
        if not open_questions:
            entries.append(Entry(look.listing.files, look.mapping, prefix))
    if open_questions:
        raise DigitwiseError("\n".join(open_questions))
    return ForeignSource(tuple(entries), str(workdir.unpacked))


def answers_of(config):
    """What the flags settle."""
    foreign = config.foreign
    charset, first_id = _charset(foreign.charset)
    return Answers(
        image_key=foreign.image_key,
        text_key=foreign.text_key,
        image_shape=foreign.image_shape,
        image_type=foreign.image_type,
        channel_order=foreign.channel_order,
        image_range=foreign.image_range or (),
        views=foreign.views,
        charset=charset,
        first_id=first_id if foreign.first_id is None else foreign.first_id,
        padding="" if foreign.padding is None else str(foreign.padding),
        separator=foreign.separator,
        label_pattern=config.records.label_pattern,
    )


def mapping_of(foreign, number):
    """The mapping given for the entry of this number: one for all, or one for each, some of them left empty."""
    if not foreign.mapping:
        return None
    if len(foreign.mapping) not in (1, len(foreign.records)):
        raise SettingError(
            f"--mapping has {len(foreign.mapping)} files and --records {len(foreign.records)} entries: "
            "give one for all, or one for each (--mapping=a.json,,c.json leaves the second to be found)"
        )
    path = foreign.mapping[number if len(foreign.mapping) > 1 else 0]
    return SchemaMapping.load(path) if path else None


def _charset(text):
    """(characters by id, the first id or None) of --charset: a file, or as --alphabet takes it."""
    if not text:
        return (), None
    number = re.fullmatch(NUMBER + r"(?::(\d{1,2}))?", text)
    if number:
        return (NUMBER, number[1] or "0"), None
    if os.path.isfile(text):
        table = read_table(text)
        if not table:
            raise DigitwiseError(f"--charset={text}: it is no table of characters: a line for each id, such as 0<TAB>a")
        return table.charset, table.first_id
    if re.search(r"[/\\]|\.txt$|\.json$", text):
        raise DigitwiseError(f"--charset={text}: there is no such file")
    return tuple(Alphabet.parse(text).characters), None


def _print_facts(look):
    listing = look.listing
    count, exact = count_records(listing)
    packed = sorted({file.compression or "none" for file in listing.files})
    sequence = sum(sampled.record.is_sequence for sampled in look.sample)
    kind = {0: "Example", len(look.sample): "SequenceExample"}.get(sequence, "Example and SequenceExample")
    print(f"inspect: {listing.entry}")
    print(f"  files        {len(listing.files):,}, {_bytes(listing.bytes)}, the first is {listing.files[0].name}")
    for reason in dict.fromkeys(reason for _, reason in listing.skipped):
        paths = [os.path.basename(path) for path, why in listing.skipped if why == reason]
        print(f"  passed over  {len(paths):,} ({', '.join(paths[:3])}{', ...' if len(paths) > 3 else ''}): {reason}")
    about = "" if exact else "about "
    print(f"  records      {about}{count:,}{'' if exact else ' by the size of those counted'}")
    print(f"  compression  {', '.join(packed)}")
    print(f"  kind         {kind}")
    print(f"  keys         of {len(look.sample):,} records looked at")
    for key, facts in key_facts(look.sample).items():
        step = " in steps" if facts.in_steps else ""
        lengths = _span(facts.lengths, "value")
        sizes = f", {_span(facts.byte_lengths, 'byte')}" if facts.byte_lengths else ""
        share = "all" if facts.present == len(look.sample) else f"{facts.present:,} of {len(look.sample):,}"
        print(f"    {key:<28} {facts.kind}{step}, {lengths}{sizes}; in {share}; {facts.example}")


def _print_finding(what, finding):
    if finding.reading is None:
        missing = "records without it can be neither trained on nor tested" if what == "text" else "nothing can be read"
        print(f"  {what:<12} not found: {missing}")
    else:
        keys = (finding.reading.key,) if what == "image" else finding.reading.keys
        print(f"  {what:<12} {', '.join(keys)}, {finding.reading.form}")
    for line in finding.evidence:
        print(f"    because    {line}")
    for name, reason in finding.rejected:
        print(f"    not        {name}: {reason}")


def _clear_pictures(folder):
    """Takes away what an earlier look drew. Mappings stay: the user may be editing one."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*folder.glob("sheet*.png"), *folder.glob("question*.png")]:
        path.unlink()


def _write(look, folder, suffix, is_given):
    """The sheet, and the mapping unless it was given: that is the user's."""
    if look.mapping is None:
        return
    page = folder / f"sheet{suffix}.png"
    problems = _draw(look, look.mapping, page, _SAMPLES)
    print(f"  sheet        {page}: {min(_SAMPLES, len(look.sample))} samples with their text")
    for problem in problems[:3]:
        print(f"  problem      {problem}")
    if not is_given:
        _write_mapping(look, folder / f"mapping{suffix}.json")


def _write_mapping(look, path):
    notes = {
        "records": look.listing.entry,
        "image": look.image.evidence,
        "text": look.text.evidence,
        "rejected": {name: reason for name, reason in look.image.rejected + look.text.rejected},
    }
    look.mapping.save(path, notes, {_FIELDS[question.flag]: str(question) for question in look.questions})
    print(f"  mapping      {path}: edit it, and give it back with --mapping={path}")


def _draw(look, mapping, path, count):
    """Draws samples with their text; the result says what could not be read."""
    problems, shown = [], []
    step = max(1, len(look.sample) // count)
    for sampled in look.sample[::step][:count]:
        try:
            picture = _fitted(mapping.image.picture(sampled.record))
        except ValueError as error:
            problems.append(f"{sampled.where}: {error}")
            continue
        shown.append((picture, _caption(mapping, sampled, problems)))
    if shown:
        with atomic_file(path) as file:
            sheet(shown).save(file, "PNG")
    return problems


def _caption(mapping, sampled, problems):
    if mapping.text is None:
        return ""
    try:
        return mapping.text.read(sampled.record, sampled.path)
    except ValueError as error:
        problems.append(f"{sampled.where}: {error}")
        return "?"


def _fitted(picture):
    """In RGB, of a size that people can look at."""
    from records.images.files import in_mode

    picture = in_mode(picture, 3)
    if picture.width < _NARROWEST:
        times = -(-_NARROWEST // picture.width)
        return picture.resize((picture.width * times, picture.height * times), 0)
    picture.thumbnail((_WIDEST, _WIDEST))
    return picture


def _draw_questions(look, folder, suffix):
    """Draws each option of each question; the result is a line for each question that names the pictures."""
    lines = []
    for question in look.questions:
        pictures = []
        for value, reading in question.options:
            mapping = _with(look, reading)
            name = re.sub(r"[^\w.\-]+", "_", f"{question.flag.strip('-')}-{value}")[:60]
            path = folder / f"question{suffix}-{name}.png"
            if mapping and mapping.image:
                _draw(look, mapping, path, _OPTION_SAMPLES)
                if path.exists():
                    pictures.append(str(path))
        seen = f" (see {', '.join(pictures)})" if pictures else ""
        lines.append(f"--records={look.listing.entry}: {question}{seen}")
    return lines


def _with(look, reading):
    if hasattr(reading, "value_range"):
        return dataclasses.replace(look.mapping, image=reading) if look.mapping else SchemaMapping(reading, None)
    return dataclasses.replace(look.mapping, text=reading) if look.mapping else None


def _check_all(look):
    """Reads every record: framing, checksums, the text and the pixels."""
    if look.mapping is None or look.questions:
        return
    source = ForeignSource((Entry(look.listing.files, look.mapping),), unpacked="")
    total, _ = count_records(look.listing)
    characters, lengths, count = set(), set(), 0
    with progress("check", total, unit="records") as advance:
        for text in source.check():
            if text is not None:
                characters |= set(text)
                lengths.add(len(text))
            count += 1
            advance(1)
    print(f"  checked      all {count:,} records: framing, checksums, images" + (", texts" if lengths else ""))
    if lengths:
        print(f"  texts        {min(lengths)} to {max(lengths)} characters of {''.join(sorted(characters))!r}")


def _span(pair, unit):
    least, most = pair
    return f"{least:,} {unit}{'s' if least != 1 else ''}" if least == most else f"{least:,} to {most:,} {unit}s"


def _bytes(size):
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
