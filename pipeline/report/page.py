"""What a test found, as one page of HTML.

page(summary, examples, pictures)

The page loads nothing: every picture is inside it, there is no script, and its policy forbids any request. page.html is
its skeleton, page.css its look.
"""

import importlib.resources
import itertools
import json
import string
from collections.abc import Mapping, Sequence

from pipeline.model.metrics import Accuracy
from pipeline.report.examples import Character, Example, Examples
from pipeline.report.markup import card, data_uri, folded, plot_card, table, text
from pipeline.report.phrases import (
    equal_text,
    floor,
    interval,
    one_in,
    ratio,
    right_of,
    shortened,
    speed_text,
    unseen_text,
    visible,
)
from pipeline.report.promise import PromiseFigures
from pipeline.report.summary import CleaningResult, Figures, LookAlikes, Statement, Summary

_MANY_ROWS = 16  # of a table, from which on it is folded
_KINDS = {True: "good", False: "bad", None: "open"}
_MARKS = {True: ("✓", "passed"), False: ("✗", "failed"), None: ("?", "not known")}
_VERDICTS = {
    True: "Every check behind this result passed",
    False: "Careful: a check behind this result failed",
    None: "Some checks behind this result could not be made",
}


def page(summary: Summary, examples: Examples, pictures: Mapping[str, tuple[bytes, bytes]]) -> str:
    """`pictures` are the plots by name, each in its light and its dark form."""
    figures, records = summary.figures, summary.records
    whole, holds = figures.whole, summary.claim.holds
    sections = [
        _numbers_section(summary, pictures),
        _mistakes_section(figures.mistakes, examples.mistakes),
        _examples_section("Right, but least sure", "Read right, with the lowest confidence.", examples.unsure),
        _examples_section("Right", "The first in the split that were read right.", examples.right),
        _promise_section(summary.promise),
        _cleanings_section(summary.cleanings),
        _details_section(summary),
    ]
    # A Template, not format(): the braces of CSS stay as they are.
    return string.Template(_resource("page.html")).substitute(
        title=text(f"{right_of(whole)} codes read right"),
        style=_resource("page.css"),
        kind=_KINDS[holds],
        accuracy=ratio(whole.value),
        right_of=right_of(whole),
        split=text(records.split),
        interval=interval(whole),
        unseen=f"<p><b>New codes</b>: {text(unseen_text(figures.unseen))}</p>" if figures.unseen else "",
        chance=one_in(figures.chance.sequence),
        verdict=_VERDICTS[holds],
        statements="".join(map(_statement, summary.claim.statements)),
        facts=_facts(summary),
        sections="\n".join(filter(None, sections)),
    )


def _resource(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def _statement(statement: Statement) -> str:
    mark, said = _MARKS[statement.holds]
    name = statement.name[:1].upper() + statement.name[1:]
    return (
        f'<li class="{_KINDS[statement.holds]}"><span class="mark" role="img" aria-label="{said}">{mark}</span>'
        f"<span><b>{text(name)}.</b> {text(statement.text)}</span></li>"
    )


def _facts(summary: Summary) -> str:
    records, model, checkpoint = summary.records, summary.model, summary.checkpoint
    facts = {
        "Images": _joined(records.counts, ","),
        "Network": f"{model.network}, readout {model.readout}, {model.precision}",
        "Records": f"{records.folder} ({records.fingerprint[:12]})",
        "Checkpoint": f"step {checkpoint.step:,} in {checkpoint.folder}",
        "Speed": speed_text(summary.speed),
        "Seconds": _joined(summary.seconds, ",.1f"),
        "Seeds": _joined(summary.seeds),
        "Versions": _joined(summary.versions),
    }
    return "".join(f"<dt>{name}</dt><dd>{text(value)}</dd>" for name, value in facts.items() if value)


def _joined(values: Mapping[str, object], form: str = "") -> str:
    return " · ".join(f"{name} {value:{form}}" for name, value in values.items())


def _mistakes_section(mistakes: int, shown: Sequence[Example]) -> str:
    if not mistakes:
        note = "None: every code was read right."
    elif not shown:
        note = f"{mistakes:,} codes were read wrong; none is shown."
    elif mistakes == len(shown) == 1:
        note = "The only one: what was read, and how probable each character was."
    elif mistakes == len(shown):
        note = f"All {mistakes:,}, the highest confidence first: what was read, and how probable each character was."
    else:
        note = f"The {len(shown):,} of {mistakes:,} with the highest confidence, and how probable each character was."
    return _section_of_examples("Mistakes", note, shown)


def _examples_section(title: str, note: str, shown: Sequence[Example]) -> str:
    return _section_of_examples(title, note, shown) if shown else ""


def _section_of_examples(title: str, note: str, shown: Sequence[Example]) -> str:
    cards = "\n".join(map(_example_card, shown))
    return f'<section><h2>{title}</h2><p class="note">{note}</p><div class="readings">{cards}</div></section>'


def _example_card(example: Example) -> str:
    chips = "".join(map(_chip, example.characters))
    # In <bdi>, as a code in Arabic or Hebrew letters must not reorder the text around it.
    code, read = visible(example.code), visible(example.read)
    described = f"image of {code}, read as {read or 'nothing'}"
    return (
        f'<figure class="reading{"" if example.right else " wrong"}">'
        f'<img src="{data_uri(example.picture)}" alt="{text(described)}">'
        f'<figcaption><p class="codes"><span>code <bdi>{text(code)}</bdi></span>'
        f"<span>read <bdi>{text(read) or '–'}</bdi></span></p>"
        f'<p class="chips">{chips}</p>'
        f'<p class="key">confidence {floor(example.confidence)}<br><bdi>{text(shortened(example.key, 40))}</bdi></p>'
        "</figcaption></figure>"
    )


def _chip(character: Character) -> str:
    label, read = (None if one is None else text(visible(one)) for one in (character.label, character.read))
    if read is None or character.probability is None:
        return f'<span class="chip wrong"><b>·</b><i>missed {label}</i></span>'
    probability = floor(character.probability)  # never rounded up to 1.000
    if character.read == character.label:
        return f'<span class="chip"><b>{read}</b><i>{probability}</i></span>'
    instead = "extra" if label is None else f"not {label}"
    return f'<span class="chip wrong"><b>{read}</b><i>{probability}</i><i>{instead}</i></span>'


def _numbers_section(summary: Summary, pictures: Mapping[str, tuple[bytes, bytes]]) -> str:
    """What belongs together lies in one column: how much is read right, and how sure that is; then what is confused."""
    figures = summary.figures
    left = _positions_card(figures, pictures["accuracy"]) + _lengths_card(figures.lengths)
    left += _coverage_card(figures, pictures["coverage"])
    right = _confusion_card(figures, pictures["confusion"]) + _look_alikes_card(figures.look_alikes)
    if "training" in pictures:
        right += plot_card("Loss and validation accuracy by training step", pictures["training"])
    return f'<section><h2>In numbers</h2><div class="plots"><div>{left}</div><div>{right}</div></div></section>'


def _positions_card(figures: Figures, pictures: tuple[bytes, bytes]) -> str:
    rows = [
        (
            place,
            ratio(position.accuracy),
            f"{ratio(position.low)}–{ratio(position.high)}" if position.count else "-",
            f"{position.count:,}",
            ratio(position.most_frequent),
        )
        for place, position in enumerate(figures.positions, 1)
    ]
    content = table(("position", "accuracy", "95 % interval", "counted", "baseline"), rows)
    return plot_card(
        "Accuracy at each position of the code and of whole codes",
        pictures,
        folded("Each position in numbers", content) if len(rows) > _MANY_ROWS else content,
        "A missing or an extra character counts as wrong. Baseline: always guessing the most frequent character.",
    )


def _lengths_card(accuracies: Mapping[int, Accuracy]) -> str:
    if len(accuracies) < 2:
        return ""
    rows = [
        (length, ratio(of.value), f"{ratio(of.low)}–{ratio(of.high)}", right_of(of))
        for length, of in accuracies.items()
    ]
    return card("Whole codes of each length", table(("characters", "accuracy", "95 % interval", "right"), rows))


def _coverage_card(figures: Figures, pictures: tuple[bytes, bytes]) -> str:
    rows = [
        (f"{point.threshold:g}", ratio(point.share), f"{point.wrong:,} of {point.count:,}", ratio(point.error))
        for point in figures.coverage
        if point.count
    ]
    heads = ("confidence at least", "share read", "wrong", "error")
    return plot_card("Share of wrong codes if only those of high confidence are read", pictures, table(heads, rows))


def _confusion_card(figures: Figures, pictures: tuple[bytes, bytes]) -> str:
    rows = [
        (
            "none" if pair.code is None else visible(pair.code),
            "none" if pair.read is None else visible(pair.read),
            f"{pair.count:,}",
            "-" if pair.code is None else f"{pair.of:,}",
        )
        for pair in figures.confused_pairs
    ]
    heads = ("in the image", "read as", "times", "of")
    return plot_card("Which characters are read as which", pictures, table(heads, rows))


def _look_alikes_card(look_alikes: LookAlikes | None) -> str:
    if not look_alikes or not look_alikes.confused:
        return ""
    rows = [
        (a, b, f"{count:,}", f"{of:,}")
        for pair in look_alikes.confused
        for (a, b), count, of in zip(itertools.permutations(pair.characters), pair.taken_for_other, pair.shown)
    ]
    content = table(("in the image", "read as", "times", "of"), rows)
    return card("Look-alikes taken for each other", content, f"Whole codes {equal_text(look_alikes)}.")


def _promise_section(promise: PromiseFigures | None) -> str:
    """What may be accepted without a second look."""
    if promise is None:
        return ""
    items = "".join(f"<li>{text(line[:1].upper() + line[1:])}.</li>" for line in promise.lines())
    return (
        '<section id="promise"><h2>Read or refuse</h2><p class="note">The threshold was certified on half of the codes '
        "of this split; all other figures on this page are those of the other half.</p>"
        f'<div class="card"><ul>{items}</ul></div></section>'
    )


def _cleanings_section(cleanings: Sequence[CleaningResult]) -> str:
    """What the cleanings stage found on these records."""
    if not cleanings:
        return ""
    rows = [
        (row.cleaning, ratio(row.accuracy.value), right_of(row.accuracy), interval(row.accuracy), row.flags)
        for row in cleanings
    ]
    return (
        '<section id="cleanings"><h2>Does cleaning help?</h2>'
        '<p class="note">Whole codes of the validation split: the same training on the same images, cleaned in each '
        "of these ways.</p>"
        f'<div class="card">{table(("cleaning", "accuracy", "right", "95 % interval", "flags"), rows)}</div></section>'
    )


def _details_section(summary: Summary) -> str:
    rows = [
        (split, place, len(counts), f"{min(counts.values()):,} to {max(counts.values()):,}" if counts else "-")
        for split, positions in summary.records.classes.items()
        for place, counts in enumerate(positions, 1)
    ]
    heads = ("split", "position", "different characters", "images of each")
    # As report.json has them, so that a person finds the same names in both.
    settings = json.dumps(summary.to_json()["settings"], indent=2, ensure_ascii=False)
    return (
        '<section><h2>Counts and settings</h2><details class="card">'
        f"<summary>Characters at each position, in each split</summary>{table(heads, rows)}</details>"
        f'<details class="card"><summary>All settings</summary><pre>{text(settings)}</pre></details>'
        "</section>"
    )
