import dataclasses
import os

import pytest

from records.errors import DigitwiseError
from records.images.folder import LabeledFolder


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def rows(folder, pattern=""):
    return list(LabeledFolder(str(folder), pattern).rows())


def test_codes_in_names(tmp_path):
    fill(tmp_path, "4071.png", "12_a_b.JPG", "sub/9.webp", ".hidden.png", "notes.txt", ".git/1.png")
    assert rows(tmp_path) == [("12_a_b.JPG", "12"), ("4071.png", "4071"), ("sub/9.webp", "9")]


def test_codes_by_a_pattern(tmp_path):
    fill(tmp_path, "img-001-AB3.png", "img-002-99.png")
    assert rows(tmp_path, r"-([A-Z0-9]+)$") == [("img-001-AB3.png", "AB3"), ("img-002-99.png", "99")]
    with pytest.raises(DigitwiseError, match=r"img-001-AB3.png: no code in the name 'img-001-AB3' \(looked for x\("):
        rows(tmp_path, "x([0-9])")


def test_codes_in_a_table(tmp_path):
    fill(tmp_path, "b.png", "sub/a.png")
    (tmp_path / "labels.csv").write_bytes('\ufefffile,text\nsub/a.png,"1,2"\n\nb.png,e\u0301\n'.encode())
    assert rows(tmp_path) == [("sub/a.png", "1,2"), ("b.png", "\u00e9")]
    assert LabeledFolder(str(tmp_path)).load("b.png") == b"x"


@pytest.mark.parametrize(
    "table, message",
    [
        (b"file,text\na.png,1\na.png,2\n", "line 3: 'a.png' is already listed, in line 2"),
        (b"file,text\na.png,1\n./a.png,2\n", "line 3: './a.png' is already listed, in line 2"),
        (b"file,text\n../a.png,1\n", "line 2: '../a.png' is not a file name below"),
        (b"file,text\n/etc/passwd,1\n", "line 2: '/etc/passwd' is not a file name below"),
        (b"file,text\na.png\n", "line 2: it needs a file and a text"),
        (b"file,text\na.png,\n", "line 2: it needs a file and a text"),
        (b"a.png,1\n", "its first line must be file,text, and is 'a.png,1'"),
        (b"file;text\na.png;1\n", "and is 'file;text': save it with commas between the columns, not semicolons"),
        (b"file\ttext\na.png\t1\n", "not tabs"),
        (b"", "its first line must be file,text"),
        (b"file,text\n", "lists no image"),
        (b"file,text\na.png,\xff\n", "is not UTF-8"),
        (b'file,text\na.png,"1\n', "line 3: it is not a table|line 2: it is not a table"),
    ],
)
def test_bad_tables(tmp_path, table, message):
    fill(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_bytes(table)
    with pytest.raises(DigitwiseError, match=message):
        rows(tmp_path)


def test_what_a_table_lists_in_vain_is_told_with_all_else_that_cannot_be_loaded(tmp_path):
    (tmp_path / "labels.csv").write_text("file,text\nno.png,1\nfolder.png,2\n")
    (tmp_path / "folder.png").mkdir()
    assert rows(tmp_path) == [("no.png", "1"), ("folder.png", "2")]
    for key, message in (("no.png", "no.png is missing: labels.csv lists it$"), ("folder.png", "is not a file$")):
        with pytest.raises(DigitwiseError, match=message):
            LabeledFolder(str(tmp_path)).load(key)


def test_a_folder_that_cannot_be_listed_is_not_left_out(tmp_path, monkeypatch):
    fill(tmp_path, "1.png", "sub/2.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DigitwiseError, match="sub cannot be listed: Permission denied$"):
        rows(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(DigitwiseError, match="has no image in it"):
        rows(tmp_path)
    with pytest.raises(DigitwiseError, match="is not a folder"):
        rows(tmp_path / "no")


def test_the_identity_tells_a_changed_folder(tmp_path):
    fill(tmp_path, "1.png", "2.png")
    before = LabeledFolder(str(tmp_path)).identity()
    assert before["count"] == 2
    assert LabeledFolder(str(tmp_path)).identity() == before
    (tmp_path / "2.png").write_bytes(b"xy")
    assert LabeledFolder(str(tmp_path)).identity() != before


def test_a_name_may_hold_a_colon_but_no_drive(tmp_path):
    for name, said in (("12:30.png", None), ("C:12.png", "is not a file name below the folder")):
        (tmp_path / name).touch()
        (tmp_path / "labels.csv").write_text(f"file,text\n{name},12\n")
        rows = LabeledFolder(str(tmp_path)).rows()
        if said:
            with pytest.raises(DigitwiseError, match=said):
                list(rows)
        else:
            assert list(rows) == [(name, "12")]


def test_a_name_that_is_not_utf_8_is_told(tmp_path):
    name = os.fsencode(tmp_path) + b"/12_\xe9.png"
    try:
        open(name, "w").close()
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    with pytest.raises(DigitwiseError, match=r"the name of the file b'12_.xe9.png' is not UTF-8: rename it"):
        list(LabeledFolder(str(tmp_path)).rows())


def test_no_output_of_digitwise_is_a_source(tmp_path):
    fill(tmp_path, "12.png", "work/.lock", "work/report/99.png", "work/images/1.png", "work2/images/34.png")
    assert rows(tmp_path) == [("12.png", "12"), ("work2/images/34.png", "34")]
    assert LabeledFolder(str(tmp_path)).left_out() == ["1 folder or file of digitwise's own output (work)"]


def test_a_folder_that_is_the_workdir_too(tmp_path):
    fill(tmp_path, "12.png", ".lock", "report/99.png", "seconds.json", "more/34.png")
    assert rows(tmp_path) == [("12.png", "12"), ("more/34.png", "34")]
    assert LabeledFolder(str(tmp_path)).left_out() == ["1 folder or file of digitwise's own output (report)"]


def test_what_is_not_read_is_counted_and_named(tmp_path):
    fill(tmp_path, "12.png", "34.png", "a/56.png", "b.txt", "a/c.tiff", "d\x1b.txt", "e.txt", ".hidden")
    folder = LabeledFolder(str(tmp_path))
    assert folder.left_out() == ["4 files that are not images (b.txt, d\\x1b.txt, e.txt, ...)"]
    (tmp_path / "labels.csv").write_text("file,text\n")
    unused = dataclasses.replace(folder, label_pattern="(.)").left_out()
    assert unused[-1] == "1 table of labels beside --label_pattern (labels.csv)"
    (tmp_path / "labels.csv").write_text("file,text\n./12.png,12\n")
    assert folder.left_out() == [
        "2 images that labels.csv does not list (34.png, a/56.png)",
        "4 files that are not images (b.txt, d\\x1b.txt, e.txt, ...)",
    ]
