"""The inspect stage: what records of other projects hold, and how (image, text) is read from them.

Prints files, keys, and the mapping with the evidence for it; leaves a sheet of samples and a mapping file under
inspect/. Where several readings are plausible it makes pictures of each, and stops with the flags that settle it.
"""

import os
import pathlib
import re
import time
from typing import Any

from PIL import Image

from pipeline.config import RunConfig
from pipeline.conversion.foreign import (
    LIKELY,
    Probes,
    how_to_answer,
    mapping_file,
    open_question,
    suffix_of,
    take_likely,
    write_mapping,
)
from pipeline.drawing.sheet import sheet
from pipeline.machine.progress import progress
from pipeline.values import SettingError
from pipeline.workdir import Workdir
from records.atomic import atomic_file
from records.errors import DigitwiseError, counted, printable
from records.foreign.mapping import SchemaMapping
from records.foreign.readings import ImageReading
from records.foreign.sample import Sampled, count_records, key_facts
from records.foreign.source import Entry, ForeignSource
from records.images.files import in_mode
from records.probe.findings import Finding, Question, Reading
from records.probe.probe import Probe

_SAMPLES = 24  # as many as fit a screen: four rows of six
_OPTION_SAMPLES = 6  # one row for each option of a question
_WIDEST, _NARROWEST = 320, 96  # pixels of a sample on the sheet
_PROBLEMS_SHOWN = 3
_NO_TEXT = "not found: records without it can be neither trained on nor tested"


def inspect(config: RunConfig, workdir: Workdir, probes: Probes | None = None) -> bool:
    """Shows every entry of --records; stops with the questions that are open. There is no result to keep: False."""
    if not config.foreign.records:
        raise SettingError("--stage=inspect needs --records: files, folders or globs of TFRecords")
    _clear_pictures(workdir.inspect)
    began = time.monotonic()
    probed = (probes or Probes()).probed(config)
    open_lines: list[str] = []
    is_open = False
    for number, probe in enumerate(probed):
        path, suffix = mapping_file(workdir, probed, number), suffix_of(probed, number)
        _print_facts(probe)
        _print_finding("image", probe.image)
        _print_finding("text", probe.text)
        if not probe.has_text:
            open_lines.append(f"--records={probe.listing.entry}: text {_NO_TEXT}")
        if config.foreign.answers == LIKELY:
            probe = take_likely("inspect", probe, path)
        _write_sheet(probe, workdir.inspect / f"sheet{suffix}.png")
        if probe.mapping and not _is_given(config, number):
            write_mapping(probe, path)
            print(f"  mapping      {path}: edit it if needed, and use it with --mapping={path}")
        is_open |= bool(probe.questions)
        for question in probe.questions:
            pictures = _write_options(probe, question, workdir.inspect, suffix)
            seen = f" (see {', '.join(map(str, pictures))})" if pictures else ""
            open_lines.append(f"{open_question(probe, question)}{seen}")
        if config.foreign.full_check:
            _check_all(probe)
    print(f"inspect: took {time.monotonic() - began:.1f} s")
    if is_open:
        raise DigitwiseError("\n".join([*open_lines, *how_to_answer(probed)]))
    return False


def _print_facts(probe: Probe) -> None:
    listing = probe.listing
    count, exact = count_records(listing)
    packed = sorted({file.compression or "none" for file in listing.files})
    sequence = sum(sampled.record.is_sequence for sampled in probe.sample)
    kind = {0: "Example", len(probe.sample): "SequenceExample"}.get(sequence, "Example and SequenceExample")
    print(f"inspect: {listing.entry}")
    first = printable(listing.files[0].name)
    print(f"  files        {len(listing.files):,}, {_bytes(listing.total_bytes)}, the first is {first}")
    for reason in dict.fromkeys(reason for _, reason in listing.skipped):
        paths = [os.path.basename(path) for path, why in listing.skipped if why == reason]
        few = printable(", ".join(paths[:3])) + (", ..." if len(paths) > 3 else "")
        print(f"  skipped      {len(paths):,} ({few}): {reason}")
    about = "" if exact else "about "
    print(f"  records      {about}{count:,}{'' if exact else ', estimated from the size of those counted'}")
    print(f"  compression  {', '.join(packed)}")
    print(f"  kind         {kind}")
    print(f"  keys         in a sample of {len(probe.sample):,} records")
    for key, facts in key_facts(probe.sample).items():
        step = " in steps" if facts.in_steps else ""
        lengths = _span(facts.lengths, "value")
        sizes = f", {_span(facts.byte_lengths, 'byte')}" if facts.byte_lengths else ""
        share = "all" if facts.present == len(probe.sample) else f"{facts.present:,} of {len(probe.sample):,}"
        print(f"    {printable(key, 60):<28} {facts.kind}{step}, {lengths}{sizes}; in {share}; {facts.example}")


def _print_finding(what: str, finding: Finding[Any]) -> None:
    if finding.reading is None:
        print(f"  {what:<12} {_NO_TEXT if what == 'text' else 'not found: nothing can be read'}")
    else:
        reading = finding.reading
        keys = (reading.key,) if isinstance(reading, ImageReading) else reading.keys
        print(f"  {what:<12} {printable(', '.join(keys))}, {reading.form}")
    for line in finding.evidence:
        print(f"    because    {printable(line, 1000)}")
    for name, reason in finding.rejected:
        print(f"    not        {printable(name, 60)}: {printable(reason, 1000)}")


def _is_given(config: RunConfig, number: int) -> bool:
    """Whether the mapping of an entry is the user's."""
    given = config.foreign.mapping
    return bool(given and given[number if len(given) > 1 else 0])


def _clear_pictures(folder: pathlib.Path) -> None:
    """Removes the pictures of an earlier run. Mappings stay: the user may be editing one."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*folder.glob("sheet*.png"), *folder.glob("question*.png")]:
        path.unlink()


def _write_sheet(probe: Probe, page: pathlib.Path) -> None:
    if probe.mapping is None:
        return
    problems = _write(probe, probe.mapping, page, _SAMPLES)
    print(f"  sheet        {page}: {min(_SAMPLES, len(probe.sample))} samples with their text")
    for problem in problems[:_PROBLEMS_SHOWN]:
        print(f"  problem      {printable(problem, 1000)}")


def _write(probe: Probe, mapping: SchemaMapping, path: pathlib.Path, count: int) -> list[str]:
    """Writes a sheet of samples with their text; the result says what could not be read."""
    problems: list[str] = []
    shown = []
    # Spread over the sample: records side by side often have the same label.
    step = max(1, len(probe.sample) // count)
    for sampled in probe.sample[::step][:count]:
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


def _caption(mapping: SchemaMapping, sampled: Sampled, problems: list[str]) -> str:
    if mapping.text is None:
        return ""
    try:
        return mapping.text.read(sampled.record, sampled.path)
    except ValueError as error:
        problems.append(f"{sampled.where}: {error}")
        return "?"


def _fitted(picture: Image.Image) -> Image.Image:
    """In RGB, of a size that people can see well."""
    picture = in_mode(picture, 3)
    if max(picture.size) > _WIDEST:
        picture.thumbnail((_WIDEST, _WIDEST))
    elif picture.width < _NARROWEST:
        # A whole number of times, without smoothing: the pixels stay visible.
        times = min(-(-_NARROWEST // picture.width), _WIDEST // picture.height)
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    return picture


def _write_options(probe: Probe, question: Question, folder: pathlib.Path, suffix: str) -> list[pathlib.Path]:
    """The pictures of its options."""
    pictures = []
    for value, reading in question.options:
        mapping = _with(probe, reading)
        # A value may hold anything; in a file name it must not be a path, nor too long for the file system.
        name = re.sub(r"[^\w.\-]+", "_", f"{question.flag.strip('-')}-{value}")[:60]
        path = folder / f"question{suffix}-{name}.png"
        if mapping:
            _write(probe, mapping, path, _OPTION_SAMPLES)
            if path.exists():
                pictures.append(path)
    return pictures


def _with(probe: Probe, reading: Reading | None) -> SchemaMapping | None:
    """The mapping with another reading of the image, or of the text."""
    if isinstance(reading, ImageReading):
        return SchemaMapping(reading, probe.text.reading)
    return SchemaMapping(probe.image.reading, reading) if probe.image.reading else None


def _check_all(probe: Probe) -> None:
    """Reads every record: framing, checksums, the text and the pixels."""
    if probe.mapping is None or probe.questions:  # with open questions it is not clear what to check
        return
    source = ForeignSource((Entry(probe.listing.files, probe.mapping),), unpacked="")
    total, _ = count_records(probe.listing)
    characters: set[str] = set()
    lengths: set[int] = set()
    count = 0
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


def _span(pair: tuple[int, int], unit: str) -> str:
    minimum, maximum = pair
    if minimum == maximum:
        return counted(minimum, unit)
    return f"{minimum:,} to {maximum:,} {unit}s"


def _bytes(size: float) -> str:
    unit, *larger = ("bytes", "kB", "MB", "GB", "TB")
    while size >= 1000 and larger:
        size, unit = size / 1000, larger.pop(0)
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
