"""main.py as a user meets it: each mistake ends in one line on stderr, exit code 1, and no traceback."""

import os
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from records.tfrecord.framing import read_records
from tests.conftest import ROOT, is_root


def draw(folder, *names, size=(40, 20)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", size, 128).save(folder / name)
    return folder


def assert_one_line(result, *parts):
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr


def test_help_teaches_without_tensorflow(run_main):
    result = run_main("--help")
    assert result.returncode == 0
    assert "python main.py --stage=all" in result.stdout
    assert "records: write TFRecord shards" in result.stdout
    assert "--num_images=25000" in result.stdout
    assert result.stderr == ""
    helpfull = run_main("--helpfull")
    assert "--flagfile" in helpfull.stdout and "--num_images" in helpfull.stdout


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["--stag=all"], ["unknown flag --stag; did you mean --stage?"]),
        (["--stge=train"], ["unknown flag --stge; did you mean --stage?"]),
        (["--zzzzzz"], ["unknown flag --zzzzzz"]),
        (["--num_images=abc"], ["error: --num_images=abc: expected a whole number"]),
        (["--learning_rate=abc"], ["error: --learning_rate=abc: expected a number"]),
        (["--stage=tran"], ["--stage=tran: expected one of check, inspect, generate"]),
        (["--num_images=many"], ["--num_images=many"]),
        (["train"], ["unexpected argument 'train'"]),
        (["--stage=all", "--alphabet=digits+uper"], ["'uper' is not a named alphabet; expected digits, lower, upper"]),
        (["--stage=generate", "--fonts=a.ttf,"], ["--fonts has an empty entry: expected font files"]),
        (["--stage=all", "--foreground=#fff"], ["--foreground=#fff: expected a colour such as #1a2b3c"]),
        (["--stage=generate", "--images=a\udcff", "--rotation="], ["--rotation=: expected degrees such as 30"]),
        (["--stage=generate", "--alphabet=0110"], ["has '1' more than once"]),
        (["--stage=generate", "--fonts=none.ttf"], ["none.ttf: the font cannot be used"]),
        (["--stage=records", "--images=nowhere"], ["nowhere is not a folder"]),
        (["--stage=records"], ["run --stage=generate first"]),
        (["--stage=records", "--label_pattern=["], ["--label_pattern=[: not a regular expression"]),
    ],
)
def test_mistakes(call_main, arguments, parts):
    assert_one_line(call_main(*arguments), *parts)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"--stage=generate\n# Gr\xfc\xdfe\n", "--flagfile: the file is not UTF-8 text (byte 21"),
        (b"--stage=generate\n--workdir=a\0b\n", "--workdir='a\\x00b': expected text without NUL"),
    ],
)
def test_flag_files_that_are_not_text(run_main, tmp_path, content, message):
    (tmp_path / "some.flags").write_bytes(content)
    assert_one_line(run_main("--flagfile=some.flags", env=os.environ | {"PYTHONUTF8": "1"}), message)


def test_a_traceback_is_there_when_asked_for(run_main):
    result = run_main("--stage=records", "--verbosity=1")
    assert result.returncode != 0
    assert "Traceback" in result.stderr and "DigitwiseError" in result.stderr


def test_images_of_ones_own(call_main, tmp_path):
    folder = draw(tmp_path / "own", *[f"{n:02d}_{n}.png" for n in range(40)])
    result = call_main("--stage=records", "--images=own", "--workdir=out", "--workers=1")
    assert result.returncode == 0, result.stderr
    assert "records: 40 images in out/records" in result.stdout
    draw(folder, "98_wide.png", size=(41, 20))
    asked = ("--stage=records", "--images=own", "--workdir=new", "--image_size=40x20")
    assert_one_line(call_main(*asked), "98_wide.png is 41x20", "--resize")
    assert call_main("--stage=records", "--images=own", "--workdir=any", "--workers=1").returncode == 0
    (folder / "98_wide.png").write_bytes((folder / "00_0.png").read_bytes()[:-9])
    assert_one_line(call_main("--stage=records", "--images=own", "--workdir=new"), "98_wide.png", "cut short")
    os.remove(folder / "98_wide.png")
    Image.new("L", (8000, 8000)).save(folder / "97_bomb.png")
    assert_one_line(call_main("--stage=records", "--images=own", "--workdir=new"), "97_bomb.png claims 8000x8000")
    assert not (tmp_path / "new" / "records").exists()


def test_flags_without_effect_are_told(call_main, tmp_path):
    (tmp_path / "own").mkdir()
    flags = ("--num_images=50", "--noise_dots=3", "--alphabet=ab")
    told = call_main("--stage=records", "--images=own", *flags).stdout
    assert (
        told == "note: --num_images, --noise_dots: without effect beside --images, as no synthetic images take part\n"
    )
    assert "note:" not in call_main("--stage=records", "--images=own", "--synthetic_share=0.5", *flags).stdout
    assert "note:" not in call_main("--stage=predict", "--images=own", *flags).stdout


def test_an_empty_folder(call_main, tmp_path):
    (tmp_path / "own").mkdir()
    assert_one_line(call_main("--stage=records", "--images=own"), "own has no image in it")


def test_a_folder_that_cannot_be_written(call_main, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if is_root:  # root may write in any folder, but for those of the kernel
        locked = pathlib.Path("/sys")
    result = call_main("--stage=generate", "--num_images=5", f"--workdir={locked}/w")
    assert_one_line(result, f"({locked}/w)")
    assert "denied" in result.stderr or "not permitted" in result.stderr or "Read-only" in result.stderr


def test_a_full_disk(run_main, tmp_path):
    script = tmp_path / "limited.sh"
    script.write_text('ulimit -f 40; trap "" XFSZ; exec "$@"\n')
    command = ["bash", str(script), sys.executable, str(ROOT / "main.py"), "--stage=records", "--source=synthetic"]
    result = subprocess.run(
        [*command, "--num_images=100", "--workdir=w"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert_one_line(result, "File too large")
    assert not (tmp_path / "w" / "records").exists()
    assert not list((tmp_path / "w").rglob("manifest.json"))
    for path in (tmp_path / "w" / ".records-unfinished").glob("codes*"):
        assert list(read_records(path)), "a shard that has its name is whole"
    assert not list((tmp_path / "w").rglob(".partial-*"))


def test_check_verifies_the_records(call_main, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.stages.check._start_tensorflow", lambda: None)
    draw(tmp_path / "own", *[f"{n:02d}_{n}.png" for n in range(40)])
    thirds = ("--validation_fraction=0.3", "--test_fraction=0.3", "--workers=1")
    assert call_main("--stage=records", "--images=own", "--workdir=w", *thirds).returncode == 0
    intact = call_main("--stage=check", "--workdir=w", "--workers=1")
    assert intact.returncode == 0, intact.stdout
    assert "40 records in 3 shards of w/records are intact" in intact.stdout
    shard = next((tmp_path / "w" / "records").glob("*train*"))
    damaged = bytearray(shard.read_bytes())
    damaged[3] ^= 1
    shard.write_bytes(damaged)
    result = call_main("--stage=check", "--workdir=w", "--workers=1")
    assert result.returncode == 1
    assert f"{shard.relative_to(tmp_path)}: record 0 at byte 0: the checksum of the record's length" in result.stdout
    assert "write the records again" in result.stdout


def test_several_stages_run_in_their_order(call_main, tmp_path):
    result = call_main("--stage=records,generate", "--num_images=30", "--workdir=w", "--workers=1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.index("generate: 30 images") < result.stdout.index("records: 30 images")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w"]
