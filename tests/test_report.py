"""What a report says, on readings small enough to write every word of it out by hand."""

import csv
import dataclasses
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from pipeline.model.metrics import Accuracy
from pipeline.model.spec import ModelSpec
from pipeline.report import files, phrases, text
from pipeline.report.examples import Character, Example, Examples
from pipeline.report.figures import measure
from pipeline.report.history import TrainingPoint
from pipeline.report.readings import Readings, Speed
from pipeline.report.summary import (
    CheckpointUsed,
    Claim,
    CleaningResult,
    ConfusedPair,
    LookAlikePair,
    LookAlikes,
    Position,
    RecordsUsed,
    Settings,
    Statement,
    Summary,
    load_summary,
)
from records.alphabet import Alphabet
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from tests.conftest import ROOT

HOSTILE = '"><script>alert(1)</script>&\x00'


def picture(kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 4), "red").save(file, kind)
    return file.getvalue()


def shown(code, read, *characters, key="1.png", confidence=0.5, kind="PNG"):
    return Example(key, code, read, confidence, tuple(Character(*each) for each in characters), picture(kind))


RIGHT = shown("40", "40", ("4", "4", 1.0), ("0", "0", 0.99996), confidence=0.99996)
WRONG = shown("47", "41", ("4", "4", 0.75), ("7", "1", 0.5), key="a/2.png", confidence=0.375)
MISSED = shown("407", "47", ("4", "4", 0.9), ("0", None, None), ("7", "7", 0.9), kind="JPEG")
EXTRA = shown("4", "40", ("4", "4", 0.9), (None, "0", 0.6))

pytestmark = pytest.mark.usefixtures("blank_plots")


@pytest.fixture
def readings():
    label_ids = np.array([[4, 0], [4, 7], [1, 2], [4, 7]])
    decoded_ids = np.array([[4, 0], [4, 1], [1, 2], [4, 7]])
    confidence = np.array([0.99996, 0.375, 0.9, 0.8], np.float32)
    return Readings(label_ids, decoded_ids, np.sqrt(confidence)[:, None].repeat(2, 1), confidence)


def manifest_of(**given):
    sets = {"train": [{"4": 9}, {"0": 9}], "validation": [{}, {}], "test": [{"4": 3, "1": 1}, {"0": 1, "7": 2, "2": 1}]}
    values = {
        "name": "codes", "alphabet": "0123456789", "min_length": 2, "max_length": 2, "height": 4, "width": 8,
        "channels": 3, "encoding": "encoded", "compression": "", "splits": {"train": (), "test": ()}, "classes": sets,
        "settings": {}, "versions": {}, "fonts": {}, "folder": "records",
    }  # fmt: skip
    return Manifest(**{**values, **given})


NETWORK = {
    "network": "alexnet", "readout": "positions", "alphabet": "0123456789", "min_length": 2, "max_length": 2,
    "image_shape": [16, 32, 1], "dropout": None, "precision": "float32",
}  # fmt: skip


@pytest.fixture
def summary(readings):
    return Summary(
        figures=measure(readings, manifest_of()),
        speed=Speed(1234.5, 3, 0.25, "everything"),
        claim=Claim((Statement("held out", True, "Nothing of it was learned from."),)),
        records=RecordsUsed(
            folder="records",
            fingerprint="0" * 64,
            split="test",
            counts={"train": 9, "test": 4},
            classes={name: tuple(by_place) for name, by_place in manifest_of().classes.items()},
            alphabet="0123456789",
            lengths=(2, 2),
            image_shape=(4, 8, 3),
            versions={},
        ),
        checkpoint=CheckpointUsed("checkpoints", 1200),
        model=ModelSpec.from_json(NETWORK),
        settings=Settings(test={}, training={"network": NETWORK}, records={}),
        seeds={"drawing.seed": 0},
        versions={"python": "3.11"},
        seconds={"train": 51.3, "test": 2.0},
    )


def with_figures(summary, **given):
    return dataclasses.replace(summary, figures=dataclasses.replace(summary.figures, **given))


def with_records(summary, **given):
    return dataclasses.replace(summary, records=dataclasses.replace(summary.records, **given))


def with_statements(summary, *statements):
    return dataclasses.replace(summary, claim=Claim(tuple(Statement(*each) for each in statements)))


def write(tmp_path, summary, readings, **rows):
    files.write_report(tmp_path, summary, Examples(**rows), list("abcd"), readings)
    return (tmp_path / files.PAGE_FILE).read_text(encoding="utf-8")


def page_text(tmp_path, summary, readings, **rows):
    return re.sub(r"\s+", " ", Page(write(tmp_path, summary, readings, **rows)).text)


def test_the_printed_table(summary):
    assert (
        "\n".join(text.summary_lines(summary, [WRONG, RIGHT]))
        == """\
test: 4 images of the test split in records, read with the checkpoint of step 1,200

2 of 4 images: 1 read wrong, then 1 read right; wrong characters in brackets
  image    code  read  each character and its probability  whole
  a/2.png  47    41    4 0.750  [1] 0.500                  0.375  <- wrong
  1.png    40    40    4 1.000  0 0.999                    0.999

position    1       2
accuracy    1.0000  0.7500
baseline    0.7500  0.5000  (always the most frequent character)

whole code  0.7500   3 of 4 right; 95 % interval 0.3006 to 0.9544; chance 1 in 100
confused    7 read as 1: 1 of 2
speed       1,234 images/s (3 images in 0.25 s; everything)
checks      all 1 passed"""
    )


def test_the_printed_table_of_missing_and_extra_characters():
    assert (
        "\n".join(text.table_lines([MISSED, EXTRA], 9))
        == """\
2 of 9 images: 2 read wrong; wrong characters in brackets
  image  code  read  each character and its probability  whole
  1.png  407   47    4 0.900  [ ]  7 0.900               0.500  <- wrong
  1.png  4     40    4 0.900  [0] 0.600                  0.500  <- wrong"""
    )


def test_wide_characters_keep_their_columns():
    lines = list(text.table_lines([shown("日本", "日本", ("日", "日", 0.5), ("本", "本", 0.5)), RIGHT], 2))
    assert lines[2:] == [
        "  1.png  日本  日本  日 0.500  本 0.500                  0.500",
        "  1.png  40    40    4 1.000  0 0.999                    0.999",
    ]


def test_a_space_can_be_seen():
    lines = list(text.table_lines([shown("4 ", " 4", ("4", " ", 0.5), (" ", "4", 0.5))], 2))
    assert lines[2] == "  1.png  4␣    ␣4    [␣] 0.500  [4] 0.500                0.500  <- wrong"
    assert phrases.confused_text(ConfusedPair(" ", "1", 2, 3)) == "␣ read as 1: 2 of 3"


def test_positions_of_long_codes_are_folded(summary):
    figures = dataclasses.replace(summary.figures, positions=(Position(0.5, 4, 0.1, 0.9, None),) * 12)
    lines = list(text.position_lines(figures))
    assert lines[0] == "position    1       2       3       4       5       6       7       8       9       10"
    assert lines[4:6] == ["position    11      12", "accuracy    0.5000  0.5000"]
    assert lines[6].startswith("baseline    -       -")


@pytest.mark.parametrize("length, is_folded", [(16, False), (17, True)])
def test_a_long_table_of_positions_is_folded_on_the_page(tmp_path, summary, readings, length, is_folded):
    summary = with_figures(summary, positions=(Position(0.5, 4, 0.1, 0.9, None),) * length)
    assert ("<summary>Each position in numbers</summary>" in write(tmp_path, summary, readings)) == is_folded


ZEROS = LookAlikePair(("0", "O"), shown=(1500, 118), taken_for_other=(1, 0))
ONES = LookAlikePair(("1", "l"), shown=(9, 8), taken_for_other=(0, 0))
FIVES = LookAlikePair(("5", "S"), shown=(100, 90), taken_for_other=(3, 2))
LOOK_ALIKES = LookAlikes((ZEROS, ONES, FIVES), Accuracy(0.9915, 2387, 2366, 0.987, 0.994))


def test_look_alikes_that_were_confused_are_printed(summary):
    lines = list(text.summary_lines(with_figures(summary, look_alikes=LOOK_ALIKES), []))
    place = lines.index("look-alikes 5 read as S: 3 of 100, S as 5: 2 of 90")
    assert lines[place - 1].startswith("confused")
    assert lines[place + 1 : place + 3] == [
        "            0 read as O: 1 of 1,500, O as 0: 0 of 118",
        "            with look-alikes counted as equal: 0.9915 (2,366 of 2,387)",
    ]


def test_images_of_codes_that_no_training_had_have_a_figure_of_their_own(tmp_path, summary, readings):
    manifest = manifest_of()
    right = readings.right
    alone = np.arange(len(right)) == int(np.flatnonzero(right)[0])
    assert measure(readings, manifest, np.ones(len(right), bool)).unseen is None
    assert measure(readings, manifest, np.zeros(len(right), bool)).unseen is None
    found = measure(readings, manifest, alone).unseen
    assert found == Accuracy.of(1, 1)
    assert not any(line.startswith("new codes") for line in text.summary_lines(summary, []))
    summary = with_figures(summary, unseen=found)
    lines = list(text.summary_lines(summary, []))
    place = lines.index(
        "new codes   1.0000   1 of 1 right; 95 % interval 0.2065 to 1.0000; these show codes that no training had"
    )
    assert lines[place - 1].startswith("whole code")
    assert "1.0000 1 of 1 right; 95 % interval 0.2065 to 1.0000; these show" in page_text(tmp_path, summary, readings)


def test_look_alikes_that_were_not_confused_are_one_line():
    none = dataclasses.replace(LOOK_ALIKES, pairs=(ONES,))
    assert list(text.look_alike_lines(none)) == ["look-alikes none was taken for another"]
    assert list(text.look_alike_lines(None)) == []


def test_the_page_has_a_table_of_look_alikes(tmp_path, summary, readings):
    assert "Look-alikes" not in write(tmp_path, summary, readings)
    html_text = write(tmp_path, with_figures(summary, look_alikes=LOOK_ALIKES), readings)
    assert (
        "<tr><td>5</td><td>S</td><td>3</td><td>100</td></tr><tr><td>S</td><td>5</td><td>2</td><td>90</td></tr>"
    ) in html_text
    assert "Whole codes with look-alikes counted as equal: 0.9915 (2,366 of 2,387)." in html_text
    assert "<td>l</td>" not in html_text


def test_accuracy_of_each_length_where_lengths_vary(tmp_path, summary, readings):
    assert not any(line.startswith("length") for line in text.summary_lines(summary, []))
    assert "each length" not in write(tmp_path, summary, readings)
    lengths = {3: Accuracy(1.0, 3, 3, 0.4385, 1.0), 12: Accuracy(0.0, 1200, 0, 0.0, 0.0032)}
    summary = with_figures(summary, lengths=lengths)
    lines = list(text.summary_lines(summary, []))
    place = lines.index("length 3    1.0000   3 of 3 right; 95 % interval 0.4385 to 1.0000")
    assert lines[place - 1].startswith("whole code")
    assert lines[place + 1] == "length 12   0.0000   0 of 1,200 right; 95 % interval 0.0000 to 0.0032"
    assert "<tr><td>12</td><td>0.0000</td><td>0.0000–0.0032</td><td>0 of 1,200</td></tr>" in write(
        tmp_path, summary, readings
    )


@pytest.mark.parametrize(
    "statements, lines",
    [
        ([("a", True, "Fine."), ("b", True, "Fine.")], ["checks      all 2 passed"]),
        (
            [("a", True, "Fine."), ("b", False, "Bad."), ("c", None, "Eh.")],
            [
                "checks      1 of 3 FAILED, 1 of 3 could not be made",
                "            FAILED   Bad.",
                "            unknown  Eh.",
            ],
        ),
        ([("c", None, "Eh.")], ["checks      1 of 1 could not be made", "            unknown  Eh."]),
    ],
)
def test_the_checks_behind_a_figure_are_printed(summary, statements, lines):
    assert list(text.summary_lines(with_statements(summary, *statements), []))[-len(lines) :] == lines


def test_what_the_terminal_cannot_show_is_printed_as_numbers(summary, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    text.print_summary(summary, [shown("ä", "ß", ("ä", "ß", 0.5))])
    out.flush()
    assert rb"1.png  \xe4     \xdf     [\xdf] 0.500" in out.buffer.getvalue()


def test_numbers_are_not_rounded_to_certainty():
    assert [phrases.ratio(v) for v in (1, 0.99999, 0.99994, 0.5, None)] == ["1.0000", "0.9999", "0.9999", "0.5000", "-"]
    assert [phrases.floor(v) for v in (1, 0.9999, 0.0)] == ["1.000", "0.999", "0.000"]


@pytest.mark.parametrize(
    "chance, said",
    [
        (1 / 36**4, "1 in 1,679,616"),
        (1e-12, "1 in 1,000,000,000,000"),
        (1 / 62**8, "1 in 2.2 x 10^14"),
        (1 / 10**64, "1 in 10^64"),
        (1 / 62**64, "1 in 5.2 x 10^114"),
        (0.0, "less than 1 in 10^300"),
    ],
)
def test_chance_stays_short(chance, said):
    assert phrases.one_in(chance) == said


def test_report_json(tmp_path, summary, readings):
    write(tmp_path, summary, readings)
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    whole = content["sequence_accuracy"]
    assert (content["format"], content["format_version"]) == ("digitwise-report", 1)
    assert (whole["value"], whole["count"], whole["right"]) == (0.75, 4, 3)
    assert (round(whole["low"], 4), round(whole["high"], 4)) == (0.3006, 0.9544)
    assert content["position_accuracy"] == [1.0, 0.75]
    assert content["seconds"] == {"train": 51.3, "test": 2.0}
    assert content["chance"] == {"position": 0.1, "sequence": 0.01, "most_frequent": [0.75, 0.5]}
    assert content["confused_pairs"] == [{"code": "7", "read": "1", "count": 1, "of": 2}]
    assert content["look_alikes"] is None
    assert content["length_accuracy"] == {"2": whole}
    assert content["claim"]["holds"] is True
    assert {"settings", "versions", "seeds", "records", "checkpoint", "images_per_second"} <= set(content)


def test_a_report_is_read_back_as_it_was_written(tmp_path, summary, readings):
    summary = dataclasses.replace(
        with_figures(
            summary,
            look_alikes=LOOK_ALIKES,
            unseen=Accuracy.of(2, 3),
            confused_pairs=(ConfusedPair(None, "4", 1, 1), ConfusedPair("4", None, 1, 1)),
        ),
        history=(TrainingPoint(10, loss=2.5), TrainingPoint(20, validation_sequence_accuracy=0.5)),
        cleanings=(CleaningResult("grey", "--channels=1", Accuracy.of(3, 4)),),
    )
    write(tmp_path, summary, readings)
    assert load_summary(tmp_path / "report.json") == summary


def test_a_report_from_before_they_had_a_version_is_read():
    summary = load_summary(ROOT / "tests" / "data" / "report-unversioned.json")
    assert (summary.figures.whole.right, summary.figures.mistakes) == (145, 55)
    assert summary.figures.positions[1] == Position(0.83, 200, 0.7718399896049647, 0.8757216464889435, 0.2)
    assert summary.figures.coverage[-1].error is None
    assert summary.claim.holds is False and len(summary.claim.statements) == 5
    assert summary.records.lengths == (2, 2) and summary.records.different_codes["tested"] == 11
    assert summary.model.image_shape == (32, 64, 1)
    assert summary.history[0] == TrainingPoint(10, 2.5156917572021484, 0.109375, 0.00044624379370361567)
    assert summary.seconds["train"] == 65.43


SAYS_VALUE = 'sequence_accuracy.value is "1", expected a number'


@pytest.mark.parametrize(
    "change, said",
    [
        ({"format_version": 2}, "it is digitwise-report 2, this program reads digitwise-report 1"),
        ({"format": "digitwise-records"}, "it is digitwise-records 1, this program reads digitwise-report 1"),
        ({"checkpoint": {"folder": "a"}}, "checkpoint.step is missing"),
        ({"checkpoint": {"folder": "a", "step": True}}, "checkpoint.step is true, expected a whole number"),
        ({"claim": {"statements": [{"name": 3}]}}, "claim.statements[0].name is 3, expected text"),
        ({"records": []}, "records is [], expected an object"),
        ({"position_count": [1]}, "zip() argument 2 is shorter than argument 1"),
        ({"position_interval": [[0.0], [0.0]]}, "position_interval[0] is [0.0], expected 2 items"),
        ({"seconds": None}, "seconds is null, expected an object"),
        ({"sequence_accuracy": {"value": "1", "count": 1, "right": 1, "low": 0, "high": 1}}, SAYS_VALUE),
    ],
)
def test_a_report_that_is_none_is_one_clear_line(tmp_path, summary, change, said):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**summary.to_json(), **change}))
    with pytest.raises(DigitwiseError) as error:
        load_summary(path)
    assert str(error.value) == f"{path} is not a digitwise report: {said}"
    assert files.previous_summary(tmp_path) is None


def test_a_report_that_lacks_a_part_or_is_no_json_is_one_clear_line(tmp_path, summary):
    path = tmp_path / "report.json"
    with pytest.raises(DigitwiseError, match=r"report.json cannot be read: No such file"):
        load_summary(path)
    content = summary.to_json()
    del content["seeds"]
    path.write_text(json.dumps(content))
    with pytest.raises(DigitwiseError, match="is not a digitwise report: seeds is missing"):
        load_summary(path)
    for damaged in ("{", "[]"):
        path.write_text(damaged)
        with pytest.raises(DigitwiseError, match="is not a digitwise report"):
            load_summary(path)


def test_a_test_is_repeated_where_only_the_clock_differs(summary):
    again = dataclasses.replace(summary, seconds={}, speed=Speed(None, 0, 0.0))
    assert summary.repeats(again)
    assert not summary.repeats(None)
    assert not summary.repeats(with_figures(summary, confused_pairs=()))
    assert not summary.repeats(with_statements(summary, ("held out", None, "")))
    assert not summary.repeats(dataclasses.replace(summary, checkpoint=CheckpointUsed("checkpoints", 1300)))


def test_predictions_csv(tmp_path, readings):
    keys = ["a.png", 'b,"c".png', "d.png", "e.png"]
    files.write_predictions(tmp_path / "predictions.csv", keys, readings, Alphabet("0123456789"))
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["key", "code", "prediction", "confidence", "right"],
            ["a.png", "40", "40", "0.999960", "1"],
            ['b,"c".png', "47", "41", "0.375000", "0"],
            ["d.png", "12", "12", "0.900000", "1"],
            ["e.png", "47", "47", "0.800000", "1"],
        ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "'"])
def test_no_spreadsheet_runs_a_cell_of_predictions_csv(tmp_path, readings, start):
    keys = [f"{start}cmd|'/c calc'!A0", "b", "c", "d"]
    files.write_predictions(tmp_path / "predictions.csv", keys, readings, Alphabet("=+-@012345"))
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1][0] == "'" + keys[0], "and without its first ' it is the key again"
    assert [row[1] for row in rows[1:]] == ["0=", "03", "'+-", "03"]


def test_all_files_are_there_and_nothing_half_done(tmp_path, summary, readings):
    write(tmp_path, summary, readings)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "accuracy.png", "confusion.png", "predictions.csv", "report.html", "report.json",
    ]  # fmt: skip


class Page(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_the_page_is_complete_in_itself(tmp_path, summary, readings, monkeypatch):
    monkeypatch.undo()  # with the real plots
    html_text = write(tmp_path, summary, readings, mistakes=[WRONG, MISSED, EXTRA], unsure=[RIGHT], right=[RIGHT])
    tags = Page(html_text).tags
    for tag, attributes in tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        for name in ("src", "srcset", "href", "poster", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
    assert "://" not in html_text and "@import" not in html_text and "url(" not in html_text
    policies = [a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    pictures = [a["src"] for tag, a in tags if tag == "img"]
    assert len(pictures) == 3 + 5
    assert sum(source.startswith("data:image/jpeg") for source in pictures) == 1


def test_the_page_shows_mistakes_with_their_probabilities(tmp_path, summary, readings):
    html_text = write(tmp_path, summary, readings, mistakes=[WRONG, MISSED, EXTRA])
    assert '<span class="chip wrong"><b>1</b><i>0.500</i><i>not 7</i></span>' in html_text
    assert '<span class="chip wrong"><b>·</b><i>missed 0</i></span>' in html_text
    assert '<span class="chip wrong"><b>0</b><i>0.600</i><i>extra</i></span>' in html_text
    assert 'alt="image of 47, read as 41"' in html_text


def test_what_comes_from_outside_is_only_text(tmp_path, summary, readings):
    hostile = shown(HOSTILE, HOSTILE[::-1], ("<", ">", 0.5), (None, "&", 0.5), ('"', None, None), key=HOSTILE)
    look_alike = LookAlikePair(("<", "<script>"), shown=(1, 1), taken_for_other=(1, 0))
    summary = with_figures(
        with_records(summary, folder=HOSTILE, counts={HOSTILE: 3}, split=HOSTILE),
        confused_pairs=(ConfusedPair("<", "<script>", 1, 2),),
        look_alikes=dataclasses.replace(LOOK_ALIKES, pairs=(look_alike,)),
    )
    summary = dataclasses.replace(
        with_statements(summary, (HOSTILE, False, HOSTILE)),
        settings=dataclasses.replace(summary.settings, records={HOSTILE: HOSTILE}),
        seeds={HOSTILE: HOSTILE},
        cleanings=(CleaningResult(HOSTILE, HOSTILE, Accuracy.of(1, 2)),),
    )
    html_text = write(tmp_path, summary, readings, mistakes=[hostile], unsure=[hostile])
    page = Page(html_text)
    assert "<script" not in html_text and "\x00" not in html_text
    assert not any(tag == "script" for tag, _ in page.tags)
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize(
    "holds, kind, said",
    [
        (True, "good", "Every check behind this result passed"),
        (False, "bad", "Careful: a check behind this result failed"),
        (None, "open", "Some checks behind this result could not be made"),
    ],
)
def test_the_claim_card_says_whether_it_holds(tmp_path, summary, readings, holds, kind, said):
    summary = with_statements(summary, ("shared codes", holds, "So many codes of so many."))
    page = Page(write(tmp_path, summary, readings))
    assert said in page.text
    assert "Shared codes. So many codes of so many." in page.text
    kinds = [a["class"] for tag, a in page.tags if tag == "section" and "claim" in a.get("class", "")]
    assert kinds == [f"card claim {kind}"]


def test_the_page_names_what_the_figure_rests_on(tmp_path, summary, readings):
    found = page_text(tmp_path, summary, readings)
    for said in ("0.7500", "3 of 4", "0.3006 to 0.9544", "chance 1 in 100", "step 1,200", "drawing.seed 0", "train 9"):
        assert said in found, said


def test_a_space_can_be_seen_on_the_page(tmp_path, summary, readings):
    summary = with_figures(summary, confused_pairs=(ConfusedPair(" ", "1", 2, 3),))
    html_text = write(tmp_path, summary, readings, mistakes=[shown("4 ", "4", ("4", "4", 0.5), (" ", None, None))])
    assert "<td>␣</td><td>1</td><td>2</td><td>3</td>" in html_text
    assert "code <bdi>4␣</bdi>" in html_text and "<i>missed ␣</i>" in html_text


def test_the_heads_of_tables_say_what_they_are_for(tmp_path, summary, readings):
    heads = [a for tag, a in Page(write(tmp_path, summary, readings)).tags if tag == "th"]
    assert heads and all(attributes == {"scope": "col"} for attributes in heads)


@pytest.mark.parametrize(
    "mistakes, right, said",
    [
        ([], 4, "None: every code was read right."),
        ([], 1, "3 codes were read wrong; none is shown."),
        ([WRONG], 3, "The only one: what was read"),
        ([WRONG, WRONG], 2, "All 2, the highest confidence first"),
        ([WRONG], 0, "The 1 of 4 with the highest confidence"),
    ],
)
def test_how_the_mistakes_were_chosen_is_said(tmp_path, summary, readings, mistakes, right, said):
    summary = with_figures(summary, whole=Accuracy.of(right, 4))
    assert said in write(tmp_path, summary, readings, mistakes=mistakes)


def test_the_training_curve_is_there_where_training_left_one(tmp_path, summary, readings):
    assert "by training step" not in write(tmp_path, summary, readings)
    summary = dataclasses.replace(summary, history=(TrainingPoint(10, loss=2.0), TrainingPoint(20, loss=1.0)))
    assert "by training step" in write(tmp_path, summary, readings)


def test_many_images_of_few_codes_are_told():
    assert list(text.code_lines(500, 50)) == list(text.code_lines(500, None)) == []
    assert "they show only 49 different codes" in next(text.code_lines(500, 49))


def test_the_cleanings_are_compared_on_the_page(tmp_path, summary, readings):
    assert 'id="cleanings"' not in write(tmp_path, summary, readings)
    cleanings = (CleaningResult("grey-median", "--cleaning=median", Accuracy.of(3, 4)),)
    html_text = write(tmp_path, dataclasses.replace(summary, cleanings=cleanings), readings)
    assert "<td>grey-median</td><td>0.7500</td><td>3 of 4</td><td>0.3006 to 0.9544</td>" in html_text
