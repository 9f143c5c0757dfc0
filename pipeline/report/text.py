"""What a test found, for a terminal.

print_summary(summary, examples.table)
"""

import itertools
import sys
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from pipeline.report.examples import Character, Example
from pipeline.report.phrases import (
    confused_text,
    equal_text,
    floor,
    interval,
    look_alike_text,
    one_in,
    ratio,
    right_of,
    shortened,
    speed_text,
    unseen_text,
    visible,
)
from pipeline.report.summary import Claim, Figures, LookAlikes, Summary

_COLUMNS = 10  # positions in a row
_PAIRS_SHOWN = 5
_LOOK_ALIKES_SHOWN = 4
_IMAGES_A_CODE = 10  # from here on images of one code decide the figure more than their number does


def print_summary(summary: Summary, table: Sequence[Example]) -> None:
    """A character that the terminal cannot show is printed as its number: a code may be of any alphabet."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for line in summary_lines(summary, table):
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def summary_lines(summary: Summary, table: Sequence[Example]) -> Iterator[str]:
    figures, records = summary.figures, summary.records
    whole = figures.whole
    half = "half of " if summary.promise else ""  # the other half certified the threshold
    yield (
        f"test: {whole.count:,} images of {half}the {records.split} split in {records.folder}, "
        f"read with the checkpoint of step {summary.checkpoint.step:,}"
    )
    yield ""
    if table:
        yield from table_lines(table, whole.count)
        yield ""
    yield from position_lines(figures)
    yield (
        f"whole code  {ratio(whole.value)}   {right_of(whole)} right; 95 % interval {interval(whole)}; "
        f"chance {one_in(figures.chance.sequence)}"
    )
    yield from code_lines(whole.count, records.different_codes.get("tested"))
    if figures.unseen:
        yield f"new codes   {unseen_text(figures.unseen)}"
    yield from length_lines(figures)
    yield "confused    " + ("; ".join(map(confused_text, figures.confused_pairs[:_PAIRS_SHOWN])) or "nothing")
    yield from look_alike_lines(figures.look_alikes)
    if summary.promise:
        yield from summary.promise.terminal_lines()
    yield "speed       " + speed_text(summary.speed)
    yield from claim_lines(summary.claim)


def table_lines(table: Sequence[Example], count: int) -> Iterator[str]:
    """Digit-wise predictions; a wrong character stands in brackets, [ ] is one that was missed."""
    wrong = sum(not example.right for example in table)
    parts = [f"{n} read {what}" for n, what in ((wrong, "wrong"), (len(table) - wrong, "right")) if n]
    yield f"{len(table)} of {count:,} images: {', then '.join(parts)}{'; wrong characters in brackets' * bool(wrong)}"
    rows = [("image", "code", "read", "each character and its probability", "whole", "")]
    for example in table:
        characters = "  ".join(map(_character_text, example.characters))
        mark = "" if example.right else "<- wrong"
        codes = visible(example.code), visible(example.read)
        rows.append((shortened(example.key), *codes, characters, floor(example.confidence), mark))
    # Cells, not characters: East Asian characters take two.
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(["", *(text + " " * (width - cell_len(text)) for text, width in zip(row, widths))]).rstrip()


def position_lines(figures: Figures) -> Iterator[str]:
    """Accuracy at each position, and what guessing the most frequent character would reach there."""
    cells = [
        (str(place), ratio(position.accuracy), ratio(position.most_frequent))
        for place, position in enumerate(figures.positions, 1)
    ]
    for start in range(0, len(cells), _COLUMNS):
        places, accuracies, baselines = (
            "  ".join(f"{cell:<6}" for cell in row).rstrip() for row in zip(*cells[start : start + _COLUMNS])
        )
        yield f"position    {places}"
        yield f"accuracy    {accuracies}"
        yield f"baseline    {baselines}  (always the most frequent character)"
        yield ""


def code_lines(count: int, codes: int | None) -> Iterator[str]:
    """A warning where many images show one code: they are right or wrong together, of which no interval knows."""
    if codes and count > _IMAGES_A_CODE * codes:
        yield f"            they show only {codes:,} different codes, so the true interval is wider"


def length_lines(figures: Figures) -> Iterator[str]:
    """Accuracy of whole codes of each length, where there are several."""
    if len(figures.lengths) > 1:
        for length, of in figures.lengths.items():
            yield f"length {length:<5}{ratio(of.value)}   {right_of(of)} right; 95 % interval {interval(of)}"


def look_alike_lines(look_alikes: LookAlikes | None) -> Iterator[str]:
    """The pairs that were taken for each other most often, and accuracy where that counts as right."""
    if not look_alikes:
        return
    if not look_alikes.confused:
        yield "look-alikes none was taken for another"
        return
    lines = [*map(look_alike_text, look_alikes.confused[:_LOOK_ALIKES_SHOWN]), equal_text(look_alikes)]
    yield from (f"{head:<12}{line}" for head, line in itertools.zip_longest(["look-alikes"], lines, fillvalue=""))


def claim_lines(claim: Claim) -> Iterator[str]:
    """How many of the checks behind the figure passed, and what is wrong with the others."""
    total = len(claim.statements)
    failed = [statement for statement in claim.statements if statement.holds is False]
    unknown = [statement for statement in claim.statements if statement.holds is None]
    if not failed and not unknown:
        yield f"checks      all {total} passed"
        return
    kinds = ((failed, "FAILED"), (unknown, "could not be made"))
    yield "checks      " + ", ".join(f"{len(some)} of {total} {what}" for some, what in kinds if some)
    for statements, mark in ((failed, "FAILED "), (unknown, "unknown")):
        yield from (f"            {mark}  {statement.text}" for statement in statements)


def _character_text(character: Character) -> str:
    if character.read is None or character.probability is None:
        return "[ ]"
    read = visible(character.read)
    return f"{read if character.read == character.label else f'[{read}]'} {floor(character.probability)}"
