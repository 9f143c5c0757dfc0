"""--stage=predict: what goes to stdout, what to stderr, and the exit code."""

import csv
import functools
import io
import itertools
import json
import shutil
import threading

import numpy as np
import pytest
from PIL import Image as Picture

from digitwise.errors import ReaderError
from digitwise.images import InputShape
from digitwise.metadata import ModelMetadata, Promise
from digitwise.reader import Outputs, Reader
from digitwise.watch import Reference
from pipeline.config import RunConfig
from pipeline.stages import predict as stage
from pipeline.stages import readings
from pipeline.stages.images import Image, Images
from tests.stripes import StripesNetwork, png
from tests.using_fixtures import draw_images, make_checkpoint

HINT = r"--label_pattern=-([a-d]+)$"


@pytest.fixture(scope="module")
def trained(shared_folder):
    return shared_folder("stripes-checkpoint", make_checkpoint)


@pytest.fixture
def images(tmp_path):
    return draw_images(tmp_path / "images", 12)


class Told:
    """A network that reads 'ab' everywhere; how sure it is, is the brightness of the image in percent."""

    def __init__(self, promise=None, reference=None):
        shape = InputShape(height=4, width=6, channels=1, stored_channels=1)
        self.metadata = ModelMetadata("abcd", 2, 2, "positions", shape, promise=promise, reference=reference)

    def run(self, images):
        confidences = images[:, 0, 0, 0].astype(np.float32) / 100
        count = len(images)
        label_ids = np.tile(np.array([[0, 1]], np.int32), (count, 1))
        return Outputs(label_ids, np.sqrt(confidences)[:, None].repeat(2, 1), confidences, np.zeros((count, 2, 4)))


class SlowAtFirst(Told):
    """The first batch takes until the second has begun."""

    def __init__(self):
        super().__init__()
        self.calls = itertools.count()  # counts right in several threads
        self.second = threading.Event()

    def run(self, images):
        if next(self.calls):
            self.second.set()
        assert self.second.wait(60)
        return super().run(images)


def brightness(folder, *percents, code="ab"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, percent in enumerate(percents):
        Picture.new("L", (6, 4), percent).save(folder / f"{number:04d}-{code}.png")


def test_batches_are_read_at_once_and_come_in_order():
    rows = [Image(str(n), functools.partial(np.full, (4, 6), n, np.uint8)) for n in range(7)]
    read = list(readings._read_here(Reader(SlowAtFirst(), batch_size=2), rows))
    assert [image.name for image, _ in read] == list("0123456")
    assert [round(100 * reading.confidence) for _, reading in read] == list(range(7))


def test_readings_of_a_checkpoint(call_main, trained, images):
    result = call_main("--stage=predict", f"--checkpoint={trained}", "--images=images", "--output_format=jsonl", HINT)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["code"] for line in lines] == images
    assert [list(line) for line in lines] == [["file", "code", "confidence", "characters", "accepted"]] * 12
    assert lines[0]["file"] == f"images/000-{images[0]}.png"
    assert [each["character"] for each in lines[0]["characters"]] == list(images[0])
    assert {line["accepted"] for line in lines} == {None}
    assert "predict: 12 of 12 images read\n" in result.stderr
    assert "predict: 12 of 12 right (1.0000; 95 % interval 0.7575 to 1.0000)\n" in result.stderr


def test_nothing_is_written(call_main, trained, images, tmp_path):
    before = sorted(path.name for path in trained.rglob("*"))
    assert call_main("--stage=predict", f"--workdir={trained}", "--images=images").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]
    assert sorted(path.name for path in trained.rglob("*")) == before


def test_a_table_and_a_csv_and_a_list_on_stdin(call_main, trained, images, monkeypatch):
    arguments = ("--stage=predict", f"--checkpoint={trained / 'checkpoints'}")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"images/001-{images[1]}.png\nimages/000-{images[0]}.png\n"))
    table = call_main(*arguments, "--images=-").stdout.splitlines()
    assert table[0].split() == ["file", "code", "confidence", "decision", "least", "sure"]
    assert [line.split()[1] for line in table[1:]] == [images[1], images[0]]
    given = call_main(*arguments, "--images=images/00[01]-*.png,images", "--output_format=csv").stdout
    rows = list(csv.DictReader(io.StringIO(given)))
    assert [row["code"] for row in rows] == images[:2] + images
    assert list(rows[0]) == ["file", "code", "confidence", "accepted", "error"]


def test_reading_ends_with_the_block_however_that_ends(workdir):
    image = png("407")
    images = Images(500, (Image(str(number), lambda: image, None) for number in range(500)))
    with (
        pytest.raises(SystemExit),
        readings.opened_readings(RunConfig(), workdir, Reader(StripesNetwork()), images) as opened,
    ):
        assert next(opened.rows)[1].code == "407"
        raise SystemExit(143)  # SIGTERM
    assert next(opened.rows, None) is None, "its threads have ended, not only when it is collected as garbage"


def test_a_broken_link_is_named_whether_its_folder_or_a_pattern_is_given(call_main, trained, images, tmp_path):
    (tmp_path / "images" / "link.png").symlink_to("nowhere")
    for given in ("images", "images/*.png"):
        result = call_main("--stage=predict", f"--checkpoint={trained}", f"--images={given}", "--output_format=csv")
        assert result.returncode == stage.UNREAD
        assert "predict: images/link.png: the file cannot be read" in result.stderr, given
        assert f"predict: {len(images)} of {len(images) + 1} images read" in result.stderr


def test_what_cannot_be_read_is_named_and_does_not_stop_it(call_main, trained, images, tmp_path, monkeypatch):
    (tmp_path / "images" / "001-cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("gone.png\n"))
    result = call_main("--stage=predict", f"--checkpoint={trained}", "--images=images,-", "--output_format=jsonl")
    assert result.returncode == stage.UNREAD
    lines = {line["file"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert len(lines) == 14
    assert lines["gone.png"]["code"] is None
    assert lines["gone.png"]["error"] == "the file cannot be read (No such file or directory)"
    assert lines["images/001-cut.png"]["code"] is None
    assert "predict: images/001-cut.png: " in result.stderr and "predict: gone.png: the file cannot" in result.stderr
    assert "predict: 12 of 14 images read" in result.stderr


def test_labels_of_a_table_and_of_records(call_main, trained, images, tmp_path):
    rows = "".join(f"{path.name},{path.stem[-2:]}\n" for path in sorted((tmp_path / "images").iterdir()))
    (tmp_path / "images" / "labels.csv").write_text(
        "file,text\n" + rows.replace(images[0], "zz").replace("-zz.", f"-{images[0]}.")
    )
    table = call_main("--stage=predict", f"--checkpoint={trained}", "--images=images/labels.csv")
    assert "right" in table.stderr and " of 12 right" in table.stderr
    records = call_main("--stage=predict", f"--checkpoint={trained}", f"--records={trained / 'records'}")
    assert records.returncode == 0, records.stderr
    assert len(records.stdout.splitlines()) == 61
    assert "predict: 60 of 60 right" in records.stderr
    validation = ("--split=validation", "--output_format=csv")
    assert (
        "validation-0,"
        in call_main(
            "--stage=predict", f"--checkpoint={trained}", f"--records={trained / 'records'}", *validation
        ).stdout
    )


def test_limits_change_what_is_read(call_main, trained, images, tmp_path):
    arguments = ("--stage=predict", f"--checkpoint={trained}", "--images=images", "--output_format=csv")

    def codes(*limits):
        return [row["code"] for row in csv.DictReader(io.StringIO(call_main(*arguments, *limits).stdout))]

    assert set("".join(codes("--allow=ab"))) <= set("ab")
    assert all(code[0] == code[1] for code in codes("--pattern=aa|bb|cc|dd"))
    (tmp_path / "codes.txt").write_text("ab\ncd\n")
    assert set(codes("--codes=codes.txt")) <= {"ab", "cd"}
    (tmp_path / "codes.txt").write_text("ab\nHEF0\nab1\ncd\nbb\n")
    assert call_main(*arguments, "--codes=codes.txt", "--allow=abcdx").stderr.splitlines()[:2] == [
        "predict: warning: --allow: 1 of 5 characters cannot be read by this network: x",
        "predict: warning: --codes: 2 of 5 codes cannot be read by this network: HEF0, ab1",
    ]
    (tmp_path / "check.py").write_text("def ends_with_a(code):\n    return code[-1] == 'a'\n")
    assert {code[1] for code in codes("--check=check.py:ends_with_a")} == {"a"}
    wrong = call_main(*arguments, "--code_length=3")
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1] == (
        "error: the limits allow lengths of 3, but the model reads codes of 2 characters"
    )


@pytest.mark.parametrize(
    "arguments, part",
    [
        ([], "--stage=predict needs images to read: give --images or --records"),
        (["--images=empty"], "--images=empty: there is no .png"),
        (["--images=../nothere"], "error: --images=../nothere: no such file or folder"),
        (["--images=images,gone.png"], "error: --images=gone.png: no such file or folder"),
        (["--images=*.gif"], "--images=*.gif: no file matches"),
        (["--images=images", "--checkpoint=nowhere"], "--checkpoint=nowhere: there is no such file or folder"),
        (["--images=images", "--checkpoint=empty"], "--checkpoint=empty: it holds no checkpoint and no exported model"),
        (["--images=images", "--checkpoint=gone.onnx"], "gone.onnx is not a file"),
        (["--images=images", "--check=luhm"], "the check 'luhm' is not one of luhn"),
        (["--images=images", "--pattern=["], "'['"),
        (["--images=images", "--output_format=xml"], "--output_format=xml: expected one of table, jsonl, csv"),
        (["--images=images", "--max_error=1"], "--max_error=1.0: expected a share between 0 and 1"),
        (["--images=images", "--max_error=0.01"], "this network cannot promise that, no error is certified for it"),
        (["--images=images", "--records=r"], "cannot be used together"),
    ],
)
def test_mistakes_are_one_line(call_main, trained, tmp_path, arguments, part):
    (tmp_path / "empty").mkdir()
    draw_images(tmp_path / "images", 1)
    result = call_main("--stage=predict", f"--workdir={trained}", *arguments)
    assert result.returncode == 1
    assert result.stdout == ""
    assert [part in line for line in result.stderr.splitlines()] == [True], result.stderr


def test_it_runs_on_its_own(call_main):
    result = call_main("--stage=test,predict", "--images=x")
    assert "error: --stage=predict runs on its own" in result.stderr


def test_accepted_counts_and_the_wrong_among_them(call_main, monkeypatch, tmp_path):
    promise = Promise(threshold=0.5, max_error=0.01, codes=400, wrong=0)
    monkeypatch.setattr(stage, "open_network", lambda *_: Told(promise))
    brightness(tmp_path / "a", 90, 60, 40)
    brightness(tmp_path / "b", 80, 10, code="aa")
    result = call_main("--stage=predict", "--images=a,b", "--output_format=jsonl", HINT, "--max_error=0.01")
    assert [json.loads(line)["accepted"] for line in result.stdout.splitlines()] == [True, True, False, True, False]
    assert "predict: 3 of 5 right" in result.stderr
    assert "predict: 3 accepted (0.6000), 1 of them wrong" in result.stderr
    refused = call_main("--stage=predict", "--images=a,b", "--max_error=0.001")
    assert "--max_error=0.001: this network cannot promise that, it is certified for 0.01" in refused.stderr


def test_images_of_another_kind_suspend_the_promise(call_main, monkeypatch, tmp_path):
    promise = Promise(threshold=0.5, max_error=0.01, codes=400, wrong=0)
    reference = Reference.of(np.linspace(0.7, 1, 400), promise.threshold)
    monkeypatch.setattr(stage, "open_network", lambda *_: Told(promise, reference))
    brightness(tmp_path / "a", *np.random.default_rng(0).integers(70, 101, 64).tolist(), *[55] * 100)
    result = call_main("--stage=predict", "--images=a", "--output_format=jsonl")
    assert result.returncode == stage.SUSPENDED
    accepted = [json.loads(line)["accepted"] for line in result.stdout.splitlines()]
    assert accepted == [True] * 64 + [False] * 100  # 55 is above the threshold, but the watch told within that batch
    assert "predict: warning: the promise is suspended after" in result.stderr


def test_a_damaged_record_is_an_image_that_cannot_be_read():
    def damaged():
        raise stage.DigitwiseError("r: record 3 is damaged")

    name, source = readings._loaded(Image("r:3", damaged))
    assert (name, str(source), type(source)) == ("r:3", "r: record 3 is damaged", ReaderError)


@pytest.mark.slow
def test_head_ends_it_quietly(start_main, trained, tmp_path):
    draw_images(tmp_path / "many", 300)
    process = start_main("--stage=predict", f"--checkpoint={trained}", "--images=many")
    assert process.stdout.readline().startswith("file")
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(60) == 0
    assert "Traceback" not in errors and "BrokenPipe" not in errors


def test_foreign_records_are_read_too(call_main, trained, tmp_path):
    shutil.copytree(trained / "records", tmp_path / "theirs")
    (tmp_path / "theirs" / "manifest.json").unlink()
    for name in ("train", "validation"):
        for path in (tmp_path / "theirs").glob(f"*-{name}*"):
            path.unlink()
    result = call_main(
        "--stage=predict",
        f"--checkpoint={trained}",
        "--records=theirs",
        "--image_shape=16x32",
        "--image_type=uint8",
        "--output_format=jsonl",
    )
    assert result.returncode == 0, result.stderr
    assert all("code" in json.loads(line) for line in result.stdout.splitlines())  # nothing else is on stdout
    assert "predict: 60 of 60 right" in result.stderr
