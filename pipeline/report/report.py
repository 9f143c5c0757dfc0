"""What a test found, told: a table for the terminal, and report.json, predictions.csv, plots and one page of HTML.

    print_summary(summary, shown["table"])
    write(folder, summary, shown, keys, readings, alphabet)

The page asks for nothing: every picture is inside it, there is no script, and its policy forbids any request.
"""

import base64
import csv
import html
import io
import itertools
import json
import math
import string
from typing import NamedTuple

from rich.cells import cell_len

from pipeline.model import metrics
from records.atomic import atomic_file, remove_partial, write_text

PAGE_FILE = "report.html"
SUMMARY_FILE = "report.json"
PREDICTIONS_FILE = "predictions.csv"
PREDICTIONS_HEADER = ("key", "code", "prediction", "confidence", "right")
_COLUMNS = 10
_LOOK_ALIKES_SHOWN = 4
_IMAGES_A_CODE = 10
_VERDICTS = {True: "holds", False: "does NOT hold", None: "is not fully checked"}


class Character(NamedTuple):
    """What stands in the image, what was read there, and how probable that was; None where there is none."""

    label: str | None
    read: str | None
    probability: float | None


class Shown(NamedTuple):
    """One image to show with what was read; `picture` is a PNG or JPEG file."""

    key: str
    code: str
    read: str
    confidence: float
    characters: list
    picture: bytes

    @property
    def right(self):
        return self.code == self.read


def print_summary(summary, table, write=print):
    """The result for a terminal."""
    for line in summary_lines(summary, table):
        write(line)


def summary_lines(summary, table):
    whole, records = summary["sequence_accuracy"], summary["records"]
    yield (
        f"test: {whole['count']:,} images of {records['folder']} (split {records['split']}), "
        f"read by the checkpoint of step {summary['checkpoint']['step']:,}"
    )
    yield ""
    if table:
        yield from table_lines(table, whole["count"])
        yield ""
    yield from position_lines(summary)
    yield (
        f"whole code  {ratio(whole['value'])}   {whole['right']:,} of {whole['count']:,} right; 95 % interval "
        f"{ratio(whole['low'])} to {ratio(whole['high'])}; chance {one_in(summary['chance']['sequence'])}"
    )
    yield from code_lines(whole["count"], records.get("different_codes", {}).get("tested"))
    yield from length_lines(summary["length_accuracy"])
    pairs = [pair_text(pair) for pair in summary["confused_pairs"][:5]]
    yield "confused    " + ("; ".join(pairs) or "nothing")
    yield from look_alike_lines(summary["look_alikes"])
    yield "speed       " + speed_text(summary["images_per_second"])
    yield "claim       " + _VERDICTS[summary["claim"]["holds"]]
    for statement in summary["claim"]["statements"]:
        if not statement["holds"]:
            yield f"            {'NO: ' if statement['holds'] is False else '?   '}{statement['text']}"


def table_lines(table, count):
    """Digit-wise predictions; a wrong character stands in brackets, [ ] is one that was missed."""
    wrong = sum(not shown.right for shown in table)
    right = len(table) - wrong
    parts = [f"the first {n} read {what}" for n, what in ((wrong, "wrong"), (right, "right")) if n]
    yield f"{len(table)} of {count:,} images, in the order of the records: {' and '.join(parts)}"
    rows = [("image", "code", "read", "each character and its probability", "whole", "")]
    for shown in table:
        characters = "  ".join(map(_character_text, shown.characters))
        mark = "" if shown.right else "<- wrong"
        rows.append((_short(shown.key), shown.code, shown.read, characters, floor(shown.confidence), mark))
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(["", *(text + " " * (width - cell_len(text)) for text, width in zip(row, widths))]).rstrip()


def position_lines(summary):
    """Accuracy at each position, and what one would get there who always said the most frequent character."""
    rows = (
        ("position", [str(place) for place in range(1, len(summary["position_accuracy"]) + 1)]),
        ("accuracy", [ratio(value) for value in summary["position_accuracy"]]),
        ("baseline", [ratio(value) for value in summary["chance"]["most_frequent"]]),
    )
    for start in range(0, len(rows[0][1]), _COLUMNS):
        for name, cells in rows:
            note = "  (always the most frequent character)" if name == "baseline" else ""
            yield f"{name:<12}" + "  ".join(f"{cell:<6}" for cell in cells[start : start + _COLUMNS]).rstrip() + note
        yield ""


def code_lines(count, codes):
    """A word where many images show one code: they are right or wrong together, which no interval knows of."""
    if codes and count > _IMAGES_A_CODE * codes:
        yield f"            they show {codes:,} different codes only: take the interval for wider than it says"


def length_lines(accuracies):
    """Accuracy of whole codes of each length, where there are several."""
    if len(accuracies) > 1:
        for length, of in accuracies.items():
            yield (
                f"length {length:<5}{ratio(of['value'])}   {of['right']:,} of {of['count']:,} right; 95 % interval "
                f"{ratio(of['low'])} to {ratio(of['high'])}"
            )


def look_alike_lines(look_alikes):
    """The pairs that were taken for each other most often, and what whole codes come to where that counts as right."""
    if not look_alikes:
        return
    pairs = confused_look_alikes(look_alikes)
    if not pairs:
        yield "look-alikes none was taken for another"
        return
    lines = [*map(look_alike_text, pairs[:_LOOK_ALIKES_SHOWN]), equal_text(look_alikes["sequence_accuracy"])]
    yield from (f"{head:<12}{line}" for head, line in itertools.zip_longest(["look-alikes"], lines, fillvalue=""))


def write(folder, summary, shown, keys, readings, alphabet):
    """Writes the files of a report, each whole or not at all, report.json last."""
    from pipeline.report import plots

    folder.mkdir(parents=True, exist_ok=True)
    remove_partial(folder)
    summary = finite(summary)
    pictures = draw(summary, readings, alphabet, (plots.LIGHT, plots.DARK))
    write_predictions(folder / PREDICTIONS_FILE, keys, readings, alphabet)
    for name in ("accuracy", "confusion"):
        with atomic_file(folder / f"{name}.png") as file:
            file.write(pictures[name][0])
    write_text(folder / PAGE_FILE, page(summary, shown, pictures))
    write_text(folder / SUMMARY_FILE, json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_predictions(path, keys, readings, alphabet):
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(PREDICTIONS_HEADER)
        columns = (readings.label_ids, readings.decoded_ids, readings.confidence.tolist(), readings.right.tolist())
        for key, label, decoded, confidence, right in zip(keys, *columns, strict=True):
            rows.writerow((key, alphabet.text(label), alphabet.text(decoded), f"{confidence:.6f}", int(right)))
        text.flush()
        text.detach()


def draw(summary, readings, alphabet, themes):
    """{name: its PNG in each theme}."""
    from pipeline.report import plots

    whole, split = summary["sequence_accuracy"], summary["records"]["split"]
    chances = summary["chance"]["position"], summary["chance"]["sequence"]
    positions = [
        None if value is None else (value, *interval)
        for value, interval in zip(summary["position_accuracy"], summary["position_interval"])
    ]
    confusion = metrics.confusion_counts(readings.label_ids, readings.decoded_ids)
    curve = metrics.coverage_curve(readings.confidence, readings.right)
    bars = (positions, (whole["value"], whole["low"], whole["high"]), chances, f"{whole['count']:,} {split}")
    drawn = {
        "accuracy": [plots.accuracy_plot(*bars, theme=theme) for theme in themes],
        "confusion": [plots.confusion_plot(confusion, alphabet.characters, theme=theme) for theme in themes],
        "coverage": [plots.coverage_plot(curve, theme=theme) for theme in themes],
    }
    if len(summary["history"]) > 1:
        drawn["training"] = [plots.training_plot(summary["history"], theme=theme) for theme in themes]
    return drawn


def finite(value):
    """The same without nan and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def ratio(value):
    """Four digits, and 1.0000 only where nothing is missing."""
    if value is None:
        return "-"
    return "0.9999" if 0.99995 <= value < 1 else f"{value:.4f}"


def floor(probability):
    """Three digits, never rounded up: 1.000 is certainty."""
    return f"{math.floor(probability * 1000) / 1000:.3f}"


def one_in(chance):
    return f"1 in {round(1 / chance):,}"


def pair_text(pair):
    if pair["code"] is None:
        return f"{pair['read']} read where there is none: {pair['count']:,} times"
    what = "missed" if pair["read"] is None else f"read as {pair['read']}"
    return f"{pair['code']} {what}: {pair['count']:,} of {pair['of']:,}"


def confused_look_alikes(look_alikes):
    """The pairs that were taken for each other, the most often first."""
    pairs = [pair for pair in look_alikes["pairs"] if any(pair["taken_for_other"])]
    return sorted(pairs, key=lambda pair: -sum(pair["taken_for_other"]))


def look_alike_text(pair):
    (a, b), (as_b, as_a), (shown_a, shown_b) = pair["characters"], pair["taken_for_other"], pair["shown"]
    return f"{a} read as {b}: {as_b:,} of {shown_a:,}, {b} as {a}: {as_a:,} of {shown_b:,}"


def equal_text(whole):
    """Accuracy of whole codes where look-alikes count as equal."""
    return f"with look-alikes counted as equal: {ratio(whole['value'])} ({whole['right']:,} of {whole['count']:,})"


def speed_text(speed):
    if speed["value"] is None:
        return "too fast to be measured"
    counted = f"{speed['images']:,} images in {speed['seconds']:.2f} s"
    return f"{speed['value']:,.0f} images/s ({counted}; {speed['includes']})"


def _character_text(character):
    if character.read is None:
        return "[ ]"
    read = character.read if character.read == character.label else f"[{character.read}]"
    return f"{read} {floor(character.probability)}"


def _short(key, most=28):
    key = "".join(c if c.isprintable() else "?" for c in key)
    return key if len(key) <= most else "..." + key[3 - most :]


# The page.


def page(summary, shown, pictures):
    """The report as one file of HTML. Everything that comes from outside goes through `_text`."""
    whole = summary["sequence_accuracy"]
    mistakes = summary["mistakes"]
    sections = [
        _plots_section(summary, pictures),
        _readings_section("Mistakes", _mistakes_note(mistakes, len(shown["mistakes"])), shown["mistakes"]),
        _readings_section("Right, but least sure", "Read right, with the least confidence.", shown["unsure"]),
        _readings_section("Right", "The first of the split that were read right.", shown["right"]),
        _cleanings_section(summary),
        _details_section(summary),
    ]
    return string.Template(_PAGE).substitute(
        title=_text(f"{whole['right']:,} of {whole['count']:,} codes read right"),
        style=_STYLE,
        claim=_claim_card(summary),
        sections="\n".join(filter(None, sections)),
    )


def _claim_card(summary):
    whole, records, claim = summary["sequence_accuracy"], summary["records"], summary["claim"]
    kind = {True: "good", False: "bad", None: "open"}
    marks = {True: ("✓", "holds"), False: ("✗", "does not hold"), None: ("?", "not known")}
    heads = {
        True: "What this figure rests on: all of it holds",
        False: "Careful: part of what this figure should rest on does not hold",
        None: "Part of what this figure rests on is not known",
    }
    statements = "".join(
        f'<li class="{kind[s["holds"]]}"><span class="mark" role="img" aria-label="{marks[s["holds"]][1]}">'
        f"{marks[s['holds']][0]}</span><span><b>{_text(s['name'].capitalize())}.</b> {_text(s['text'])}</span></li>"
        for s in claim["statements"]
    )
    counts = " · ".join(f"{name} {count:,}" for name, count in records["counts"].items())
    seeds = " · ".join(f"{name} {value}" for name, value in summary["seeds"].items())
    versions = " · ".join(f"{name} {value}" for name, value in summary["versions"].items())
    seconds = " · ".join(f"{name} {value:,.1f}" for name, value in summary.get("seconds", {}).items())
    network = summary["settings"]["training"]["network"]
    facts = {
        "Images": counts,
        "Network": f"{network['network']}, readout {network['readout']}, {network['precision']}",
        "Records": f"{records['folder']} ({records['fingerprint'][:12]})",
        "Checkpoint": f"step {summary['checkpoint']['step']:,} of {summary['checkpoint']['folder']}",
        "Speed": speed_text(summary["images_per_second"]),
        "Seconds": seconds,
        "Seeds": seeds,
        "Versions": versions,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts.items() if value)
    return f"""<section class="card claim {kind[claim["holds"]]}" id="claim">
<div class="figure"><p class="big">{ratio(whole["value"])}</p>
<p class="unit">whole-code accuracy</p>
<p><b>{whole["right"]:,} of {whole["count"]:,}</b> codes of the {_text(records["split"])} split,
every character right</p>
<p>95 % interval <b>{ratio(whole["low"])} to {ratio(whole["high"])}</b><br>
chance {one_in(summary["chance"]["sequence"])}</p></div>
<div><h2>{heads[claim["holds"]]}</h2>
<ul class="statements">{statements}</ul></div>
<dl>{rows}</dl>
</section>"""


def _mistakes_note(mistakes, shown):
    if not mistakes:
        return "None: every code was read right."
    if not shown:
        return f"{mistakes:,} codes were read wrong; none is shown."
    if mistakes == shown:
        return f"All {mistakes:,}, the surest first: what was read, with the probability of each character."
    return f"The {shown:,} surest of {mistakes:,}: what was read, with the probability of each character."


def _readings_section(title, note, readings):
    if not readings and title != "Mistakes":
        return ""
    cards = "\n".join(map(_reading_card, readings))
    return f'<section><h2>{title}</h2><p class="note">{note}</p><div class="readings">{cards}</div></section>'


def _reading_card(shown):
    chips = "".join(map(_chip, shown.characters))
    said = f"image of {shown.code}, read as {shown.read or 'nothing'}"
    return (
        f'<figure class="reading {"" if shown.right else "wrong"}">'
        f'<img src="{_data_uri(shown.picture)}" alt="{_text(said)}">'
        f'<figcaption><p class="codes"><span>code <bdi>{_text(shown.code)}</bdi></span>'
        f"<span>read <bdi>{_text(shown.read) or '–'}</bdi></span></p>"
        f'<p class="chips">{chips}</p>'
        f'<p class="key">confidence {floor(shown.confidence)}<br><bdi>{_text(_short(shown.key, 40))}</bdi></p>'
        "</figcaption></figure>"
    )


def _chip(character):
    if character.read == character.label:
        return f'<span class="chip"><b>{_text(character.read)}</b><i>{floor(character.probability)}</i></span>'
    if character.read is None:
        return f'<span class="chip wrong"><b>·</b><i>missed {_text(character.label)}</i></span>'
    instead = "extra" if character.label is None else f"not {_text(character.label)}"
    probability = floor(character.probability)
    return f'<span class="chip wrong"><b>{_text(character.read)}</b><i>{probability}</i><i>{instead}</i></span>'


def _plots_section(summary, pictures):
    positions = zip(
        itertools.count(1),
        summary["position_accuracy"],
        summary["position_interval"],
        summary["position_count"],
        summary["chance"]["most_frequent"],
    )
    position_rows = [
        (place, ratio(value), f"{ratio(low)}–{ratio(high)}" if count else "-", f"{count:,}", ratio(frequent))
        for place, value, (low, high), count, frequent in positions
    ]
    pair_rows = [
        (pair["code"] or "none", pair["read"] or "none", pair["count"], pair["of"] if pair["code"] else "-")
        for pair in summary["confused_pairs"]
    ]
    coverage_rows = [
        (f"{c['threshold']:g}", ratio(c["share"]), f"{c['wrong']:,} of {c['count']:,}", ratio(c["error"]))
        for c in summary["coverage"]
        if c["count"]
    ]
    left = _plot_card(
        "Accuracy at each position of the code and of whole codes",
        pictures["accuracy"],
        _table(("position", "accuracy", "95 % interval", "counted", "baseline"), position_rows),
        "A missing or an extra character counts as wrong. Baseline: always giving the most frequent character.",
    )
    left += _lengths_card(summary["length_accuracy"])
    left += _plot_card(
        "Share of wrong codes when only the surest are read",
        pictures["coverage"],
        _table(("confidence at least", "read", "wrong", "error"), coverage_rows) if coverage_rows else "",
    )
    right = _plot_card(
        "Which characters are read as which",
        pictures["confusion"],
        _table(("in the image", "read as", "times", "of"), pair_rows) if pair_rows else "",
    )
    right += _look_alikes_card(summary["look_alikes"])
    if "training" in pictures:
        right += _plot_card("Loss and validation accuracy by training step", pictures["training"])
    return f'<section><h2>In numbers</h2><div class="plots"><div>{left}</div><div>{right}</div></div></section>'


def _lengths_card(accuracies):
    if len(accuracies) < 2:
        return ""
    rows = [
        (length, ratio(of["value"]), f"{ratio(of['low'])}–{ratio(of['high'])}", f"{of['right']:,} of {of['count']:,}")
        for length, of in accuracies.items()
    ]
    return _card("Whole codes of each length", _table(("characters", "accuracy", "95 % interval", "right"), rows))


def _look_alikes_card(look_alikes):
    pairs = confused_look_alikes(look_alikes) if look_alikes else []
    if not pairs:
        return ""
    rows = []
    for pair in pairs:
        for (a, b), count, of in zip(
            itertools.permutations(pair["characters"]), pair["taken_for_other"], pair["shown"]
        ):
            rows.append((a, b, f"{count:,}", f"{of:,}"))
    table = _table(("in the image", "read as", "times", "of"), rows)
    note = f"Whole codes {equal_text(look_alikes['sequence_accuracy'])}."
    return _card("Look-alikes that were taken for each other", table, note)


def _card(said, table, note=""):
    below = f'<p class="note">{note}</p>' if note else ""
    return f'<div class="card"><p><b>{said}</b></p>{table}{below}</div>'


def _plot_card(said, pictures, table="", note=""):
    light, dark = map(_data_uri, pictures)
    below = table + (f'<p class="note">{note}</p>' if note else "")
    return (
        f'<div class="card plot"><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{said}"></picture>{below}</div>'
    )


def _cleanings_section(summary):
    """What the cleanings stage found on these records."""
    if not summary.get("cleanings"):
        return ""
    rows = [
        (
            row["cleaning"],
            ratio(row["value"]),
            f"{row['right']:,} of {row['count']:,}",
            f"{ratio(row['low'])} to {ratio(row['high'])}",
            row["flags"],
        )
        for row in summary["cleanings"]
    ]
    return (
        '<section id="cleanings"><h2>What cleaning is worth</h2>'
        '<p class="note">The same training on the same images, cleaned in each way: whole codes of validation.</p>'
        f'<div class="card">{_table(("cleaning", "accuracy", "right", "95 % interval", "flags"), rows)}</div></section>'
    )


def _details_section(summary):
    classes = summary["records"]["classes"]
    rows = []
    for split, positions in classes.items():
        for place, counts in enumerate(positions, 1):
            spread = f"{min(counts.values()):,} to {max(counts.values()):,}" if counts else "-"
            rows.append((split, place, len(counts), spread))
    table = _table(("split", "position", "different characters", "images of each"), rows)
    settings = _text(json.dumps(summary["settings"], indent=2, ensure_ascii=False))
    return (
        '<section><h2>Counts and settings</h2><details class="card">'
        f"<summary>Characters at each position, in each split</summary>{table}</details>"
        f'<details class="card"><summary>All settings</summary><pre>{settings}</pre></details>'
        "</section>"
    )


def _table(heads, rows):
    head = "".join(f"<th>{_text(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _text(value):
    """Text that is only text on a page: markup escaped, what cannot be printed shown as a question mark."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else "�" for c in str(value)))


def _data_uri(picture):
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<header><p>digitwise · test</p><h1>$title</h1></header>
$claim
$sections
</main>
</body>
</html>
"""

_STYLE = """
:root { --page: #f4f6f8; --card: #ffffff; --text: #1b2430; --faint: #5b6878; --line: #dfe4ea; --accent: #1f5fd0;
  --good: #17794a; --bad: #b83a0c; --open: #8a6100; --bad-card: #fdf0ea; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f151b; --card: #182029; --text: #e6ebf1; --faint: #9aa7b6; --line: #323d4a; --accent: #7db0ff;
    --good: #5fcf97; --bad: #fb923c; --open: #e8b84a; --bad-card: #33241b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 24px 20px 64px; }
header p { margin: 0; color: var(--faint); }
h1 { margin: 0 0 20px; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 0; font-size: 1.2rem; line-height: 1.3; }
p { margin: 0; }
section { margin-top: 36px; }
.note { color: var(--faint); font-size: .93rem; margin-top: 2px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px; }
.claim { display: grid; grid-template-columns: 270px minmax(0, 1fr); gap: 20px 32px; margin-top: 0;
  border-top: 5px solid; }
.claim.good { border-top-color: var(--good); }
.claim.bad { border-top-color: var(--bad); }
.claim.open { border-top-color: var(--open); }
.claim.bad h2 { color: var(--bad); }
.claim.open h2 { color: var(--open); }
.figure p + p { margin-top: 8px; }
.figure .big { font-size: 3.6rem; font-weight: 700; line-height: 1; letter-spacing: -.02em; }
.figure .unit { margin-top: 4px; color: var(--faint); }
.statements { list-style: none; margin: 12px 0 0; padding: 0; display: grid; gap: 9px; }
.statements li { display: flex; gap: 10px; }
.mark { flex: none; width: 1.2em; font-weight: 700; text-align: center; }
li.good .mark { color: var(--good); }
li.bad .mark, li.bad b { color: var(--bad); }
li.open .mark { color: var(--open); }
dl { grid-column: 1 / -1; display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px; margin: 0;
  padding-top: 16px; border-top: 1px solid var(--line); font-size: .93rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
.readings { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 14px; margin-top: 14px; }
.reading { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
.reading.wrong { border-color: var(--bad); }
.reading img { display: block; width: 100%; height: auto; background: #fff; }
figcaption { padding: 10px 12px 12px; }
.codes { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px; color: var(--faint);
  font-size: .87rem; }
.codes bdi { color: var(--text); font: 600 1.05rem ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.chips { display: flex; flex-wrap: wrap; gap: 5px; margin-top: 8px; }
.chip { flex: 1 0 31px; max-width: 76px; padding: 2px 0 3px; text-align: center; border-radius: 7px;
  border: 1px solid var(--line); }
.chip b { display: block; font: 600 1.05rem ui-monospace, Menlo, Consolas, monospace; }
.chip i { display: block; font-style: normal; font-size: .7rem; line-height: 1.25; color: var(--faint);
  font-variant-numeric: tabular-nums; }
.chip.wrong { border-color: var(--bad); background: var(--bad-card); }
.chip.wrong b, .chip.wrong i:last-child { color: var(--bad); }
.key { margin-top: 8px; color: var(--faint); font-size: .78rem; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; margin-top: 14px;
  align-items: start; }
.plots > div { display: grid; grid-template-columns: minmax(0, 1fr); gap: 16px; }
.plot img { display: block; width: 100%; max-width: 500px; height: auto; margin: 0 auto; }
.table { overflow-x: auto; margin-top: 12px; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--faint); }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
details { margin-top: 12px; }
.table + .note { margin-top: 10px; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; font: .82rem/1.45 ui-monospace, Menlo, Consolas, monospace; }
@media (max-width: 820px) {
  .claim, .plots { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 480px) {
  main { padding: 16px 12px 48px; }
  h1 { font-size: 1.4rem; }
  .card { padding: 14px; }
  .readings { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10px; }
  figcaption { padding: 8px; }
  table { font-size: .8rem; }
  th, td { padding-right: 6px; }
  .chips { gap: 3px; }
  .chip i { font-size: .66rem; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: 8px; }
}
"""
