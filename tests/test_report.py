"""What a report says, on readings small enough to write every word of it out by hand."""

import csv
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from pipeline.report import report
from pipeline.report.claim import Statement, claim
from pipeline.report.report import Character, Shown
from pipeline.stages.test import Readings, measure
from records.alphabet import Alphabet
from records.dataset.manifest import Manifest

HOSTILE = '"><script>alert(1)</script>&\x00'


def picture(kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 4), "red").save(file, kind)
    return file.getvalue()


def shown(code, read, *characters, key="1.png", confidence=0.5, kind="PNG"):
    return Shown(key, code, read, confidence, [Character(*character) for character in characters], picture(kind))


RIGHT = shown("40", "40", ("4", "4", 1.0), ("0", "0", 0.99996), confidence=0.99996)
WRONG = shown("47", "41", ("4", "4", 0.75), ("7", "1", 0.5), key="a/2.png", confidence=0.375)
MISSED = shown("407", "47", ("4", "4", 0.9), ("0", None, None), ("7", "7", 0.9), kind="JPEG")
EXTRA = shown("4", "40", ("4", "4", 0.9), (None, "0", 0.6))


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


@pytest.fixture
def summary(readings):
    network = {"network": "alexnet", "readout": "positions", "precision": "float32"}
    return {
        **measure(readings, manifest_of()),
        "images_per_second": {"value": 1234.5, "images": 3, "seconds": 0.25, "includes": "everything"},
        "claim": claim([Statement("held out", True, "Nothing of it was learned from.")]),
        "records": {
            "folder": "records",
            "fingerprint": "0" * 64,
            "split": "test",
            "counts": {"train": 9, "test": 4},
            "classes": manifest_of().classes,
        },
        "checkpoint": {"folder": "checkpoints", "step": 1200},
        "seeds": {"drawing.seed": 0},
        "settings": {"test": {}, "training": {"network": network}, "records": {}},
        "versions": {"python": "3.11"},
        "history": [],
        "seconds": {"train": 51.3, "test": 2.0},
    }


def lists(*rows):
    return {"mistakes": [], "unsure": [], "right": [], **dict(rows)}


def write(tmp_path, summary, readings, **rows):
    report.write(tmp_path, summary, lists(*rows.items()), list("abcd"), readings, Alphabet("0123456789"))
    return (tmp_path / report.PAGE_FILE).read_text(encoding="utf-8")


def test_the_printed_table(summary):
    assert (
        "\n".join(report.summary_lines(summary, [WRONG, RIGHT]))
        == """\
test: 4 images of records (split test), read by the checkpoint of step 1,200

2 of 4 images, in the order of the records: the first 1 read wrong and the first 1 read right
  image    code  read  each character and its probability  whole
  a/2.png  47    41    4 0.750  [1] 0.500                  0.375  <- wrong
  1.png    40    40    4 1.000  0 0.999                    0.999

position    1       2
accuracy    1.0000  0.7500
baseline    0.7500  0.5000  (always the most frequent character)

whole code  0.7500   3 of 4 right; 95 % interval 0.3006 to 0.9544; chance 1 in 100
confused    7 read as 1: 1 of 2
speed       1,234 images/s (3 images in 0.25 s; everything)
claim       holds"""
    )


def test_the_printed_table_of_missing_and_extra_characters():
    assert (
        "\n".join(report.table_lines([MISSED, EXTRA], 9))
        == """\
2 of 9 images, in the order of the records: the first 2 read wrong
  image  code  read  each character and its probability  whole
  1.png  407   47    4 0.900  [ ]  7 0.900               0.500  <- wrong
  1.png  4     40    4 0.900  [0] 0.600                  0.500  <- wrong"""
    )


def test_wide_characters_keep_their_columns():
    lines = list(report.table_lines([shown("日本", "日本", ("日", "日", 0.5), ("本", "本", 0.5)), RIGHT], 2))
    assert lines[2:] == [
        "  1.png  日本  日本  日 0.500  本 0.500                  0.500",
        "  1.png  40    40    4 1.000  0 0.999                    0.999",
    ]


def test_positions_of_long_codes_are_folded(summary):
    summary["position_accuracy"] = [0.5] * 12
    summary["chance"]["most_frequent"] = [None] * 12
    lines = list(report.position_lines(summary))
    assert lines[0] == "position    1       2       3       4       5       6       7       8       9       10"
    assert lines[4:6] == ["position    11      12", "accuracy    0.5000  0.5000"]
    assert lines[6].startswith("baseline    -       -")


LOOK_ALIKES = {
    "pairs": [
        {"characters": ["0", "O"], "shown": [1500, 118], "taken_for_other": [1, 0]},
        {"characters": ["1", "l"], "shown": [9, 8], "taken_for_other": [0, 0]},
        {"characters": ["5", "S"], "shown": [100, 90], "taken_for_other": [3, 2]},
    ],
    "sequence_accuracy": {"value": 0.9915, "count": 2387, "right": 2366, "low": 0.987, "high": 0.994},
}


def test_look_alikes_that_were_confused_are_printed(summary):
    summary["look_alikes"] = LOOK_ALIKES
    lines = list(report.summary_lines(summary, []))
    place = lines.index("look-alikes 5 read as S: 3 of 100, S as 5: 2 of 90")
    assert lines[place - 1].startswith("confused")
    assert lines[place + 1 : place + 3] == [
        "            0 read as O: 1 of 1,500, O as 0: 0 of 118",
        "            with look-alikes counted as equal: 0.9915 (2,366 of 2,387)",
    ]


def test_look_alikes_that_were_not_confused_are_one_line():
    none = {**LOOK_ALIKES, "pairs": LOOK_ALIKES["pairs"][1:2]}
    assert list(report.look_alike_lines(none)) == ["look-alikes none was taken for another"]
    assert list(report.look_alike_lines(None)) == []


def test_the_page_has_a_table_of_look_alikes(tmp_path, summary, readings):
    assert "Look-alikes" not in write(tmp_path, summary, readings)
    summary["look_alikes"] = LOOK_ALIKES
    text = write(tmp_path, summary, readings)
    assert (
        "<tr><td>5</td><td>S</td><td>3</td><td>100</td></tr><tr><td>S</td><td>5</td><td>2</td><td>90</td></tr>" in text
    )
    assert "Whole codes with look-alikes counted as equal: 0.9915 (2,366 of 2,387)." in text
    assert "<td>l</td>" not in text
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert content["look_alikes"] == LOOK_ALIKES


def test_accuracy_of_each_length_where_lengths_vary(tmp_path, summary, readings):
    assert not any(line.startswith("length") for line in report.summary_lines(summary, []))
    assert "each length" not in write(tmp_path, summary, readings)
    right, wrong = {"value": 1.0, "count": 3, "right": 3}, {"value": 0.0, "count": 1200, "right": 0}
    summary["length_accuracy"] = {
        "3": {**right, "low": 0.4385, "high": 1.0},
        "12": {**wrong, "low": 0.0, "high": 0.0032},
    }
    lines = list(report.summary_lines(summary, []))
    place = lines.index("length 3    1.0000   3 of 3 right; 95 % interval 0.4385 to 1.0000")
    assert lines[place - 1].startswith("whole code")
    assert lines[place + 1] == "length 12   0.0000   0 of 1,200 right; 95 % interval 0.0000 to 0.0032"
    text = write(tmp_path, summary, readings)
    assert "<tr><td>12</td><td>0.0000</td><td>0.0000–0.0032</td><td>0 of 1,200</td></tr>" in text


def test_a_claim_that_fails_is_printed(summary):
    said = {"a": (True, "Fine."), "b": (False, "Bad."), "c": (None, "Eh.")}
    summary["claim"] = claim([Statement(name, *rest) for name, rest in said.items()])
    lines = list(report.summary_lines(summary, []))
    assert lines[-3:] == ["claim       does NOT hold", "            NO: Bad.", "            ?   Eh."]


def test_numbers_are_not_rounded_to_certainty():
    assert [report.ratio(v) for v in (1, 0.99999, 0.99994, 0.5, None)] == ["1.0000", "0.9999", "0.9999", "0.5000", "-"]
    assert [report.floor(v) for v in (1, 0.9999, 0.0)] == ["1.000", "0.999", "0.000"]
    assert report.one_in(1 / 36**4) == "1 in 1,679,616"


def test_report_json(tmp_path, summary, readings):
    write(tmp_path, summary, readings)
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    whole = content["sequence_accuracy"]
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


def test_nan_becomes_null(tmp_path, summary, readings):
    summary["history"] = [{"step": 1, "loss": float("nan")}, {"step": 2, "loss": float("inf")}]
    write(tmp_path, summary, readings)
    assert json.loads((tmp_path / "report.json").read_text())["history"] == [
        {"step": 1, "loss": None}, {"step": 2, "loss": None},
    ]  # fmt: skip


def test_predictions_csv(tmp_path, readings):
    keys = ["a.png", 'b,"c".png', "d.png", "e.png"]
    report.write_predictions(tmp_path / "predictions.csv", keys, readings, Alphabet("0123456789"))
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["key", "code", "prediction", "confidence", "right"],
            ["a.png", "40", "40", "0.999960", "1"],
            ['b,"c".png', "47", "41", "0.375000", "0"],
            ["d.png", "12", "12", "0.900000", "1"],
            ["e.png", "47", "47", "0.800000", "1"],
        ]


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


def test_the_page_is_complete_in_itself(tmp_path, summary, readings):
    text = write(tmp_path, summary, readings, mistakes=[WRONG, MISSED, EXTRA], unsure=[RIGHT], right=[RIGHT])
    tags = Page(text).tags
    for tag, attributes in tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        for name in ("src", "srcset", "href", "poster", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
    assert "://" not in text and "@import" not in text and "url(" not in text
    policies = [a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    pictures = [a["src"] for tag, a in tags if tag == "img"]
    assert len(pictures) == 3 + 5
    assert sum(source.startswith("data:image/jpeg") for source in pictures) == 1


def test_the_page_shows_mistakes_with_their_probabilities(tmp_path, summary, readings):
    text = write(tmp_path, summary, readings, mistakes=[WRONG, MISSED, EXTRA])
    assert '<span class="chip wrong"><b>1</b><i>0.500</i><i>not 7</i></span>' in text
    assert '<span class="chip wrong"><b>·</b><i>missed 0</i></span>' in text
    assert '<span class="chip wrong"><b>0</b><i>0.600</i><i>extra</i></span>' in text
    assert 'alt="image of 47, read as 41"' in text


def test_what_comes_from_outside_is_only_text(tmp_path, summary, readings):
    hostile = shown(HOSTILE, HOSTILE[::-1], ("<", ">", 0.5), (None, "&", 0.5), ('"', None, None), key=HOSTILE)
    summary["records"]["folder"] = HOSTILE
    summary["settings"]["records"] = {HOSTILE: HOSTILE}
    summary["confused_pairs"] = [{"code": "<", "read": "<script>", "count": 1, "of": 2}]
    look_alike = {"characters": ["<", "<script>"], "shown": [1, 1], "taken_for_other": [1, 0]}
    summary["look_alikes"] = {**LOOK_ALIKES, "pairs": [look_alike]}
    summary["claim"] = claim([Statement(HOSTILE, False, HOSTILE)])
    summary["records"]["counts"] = {HOSTILE: 3}
    summary["seeds"] = {HOSTILE: HOSTILE}
    text = write(tmp_path, summary, readings, mistakes=[hostile], unsure=[hostile])
    page = Page(text)
    assert "<script" not in text and "\x00" not in text
    assert not any(tag == "script" for tag, _ in page.tags)
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize(
    "holds, said", [(True, "all of it holds"), (False, "Careful"), (None, "Part of what this figure rests on is not")]
)
def test_the_claim_card_says_whether_it_holds(tmp_path, summary, readings, holds, said):
    summary["claim"] = claim([Statement("no shared codes", holds, "So many codes of so many.")])
    page = Page(write(tmp_path, summary, readings))
    assert said in page.text
    assert "No shared codes. So many codes of so many." in page.text
    kinds = [a["class"] for tag, a in page.tags if tag == "section" and "claim" in a.get("class", "")]
    assert kinds == [f"card claim {({True: 'good', False: 'bad', None: 'open'})[holds]}"]


def test_the_page_names_what_the_figure_rests_on(tmp_path, summary, readings):
    text = Page(write(tmp_path, summary, readings)).text
    for said in ("0.7500", "3 of 4", "0.3006 to 0.9544", "chance 1 in 100", "step 1,200", "drawing.seed 0", "train 9"):
        assert said in re.sub(r"\s+", " ", text), said


@pytest.mark.parametrize(
    "mistakes, count, said",
    [
        ([], 0, "None: every code was read right."),
        ([], 3, "3 codes were read wrong; none is shown."),
        ([WRONG], 1, "All 1, the surest first"),
        ([WRONG], 134, "The 1 surest of 134"),
    ],
)
def test_how_the_mistakes_were_chosen_is_said(tmp_path, summary, readings, mistakes, count, said):
    summary["mistakes"] = count
    assert said in write(tmp_path, summary, readings, mistakes=mistakes)


def test_the_training_curve_is_there_where_training_left_one(tmp_path, summary, readings):
    assert "by training step" not in write(tmp_path, summary, readings)
    summary["history"] = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}]
    assert "by training step" in write(tmp_path, summary, readings)


def test_many_images_of_few_codes_are_told():
    assert list(report.code_lines(500, 50)) == list(report.code_lines(500, None)) == []
    assert "they show 49 different codes only" in next(report.code_lines(500, 49))
