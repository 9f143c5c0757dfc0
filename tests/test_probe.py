"""What probing records finds, and where it stops: the cases that are easily misread."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from records.errors import DigitwiseError
from records.foreign.listing import list_records
from records.foreign.source import Entry, ForeignSource
from records.images.arrays import Layout, item_types, likely_layouts, possible_layouts, value_ranges
from records.probe.findings import Answers
from records.probe.probe import probe_records
from records.probe.tables import read_table
from records.tfrecord import example as examples
from records.tfrecord.framing import frame
from tests.foreign_writers import drawn, encoded, example, grey, hot, sequence, write

NO_ANSWERS = Answers()


@pytest.fixture
def probe(tmp_path):
    """The Probe of records that `features(pixels, code, number)` makes of synthetic images."""

    def probe(features, answers=NO_ANSWERS, **options):
        path = tmp_path / "data.tfrecord"
        write(path, [example(**features(p, c, n)) for n, (p, c) in enumerate(drawn(**options))])
        return probe_records(str(path), answers)

    return probe


def flags(probe):
    return [question.flag for question in probe.questions]


def reasons(finding):
    return dict(finding.rejected)


def test_metadata_is_no_text(probe):
    found = probe(
        lambda p, c, n: {
            "image": encoded(p),
            "format": "png",
            "key": f"{n:05d}",
            "sha256": f"{n * 7919:064x}",
            "day": f"2020-01-{n % 28 + 1:02d}",
            "path": f"/data/{n}.png",
            "always": "the same",
            "long": "word " * 40 + c,
            "plate": c,
        }
    )
    assert not found.questions
    assert found.mapping.text.keys == ("plate",)
    assert reasons(found.text) == {
        "format": "it is 'png' in every record",
        "key": "it numbers the records",
        "sha256": "it holds digests",
        "day": "it holds dates",
        "always": "it is 'the same' in every record",
        "long": "its strings have up to 204 characters",
    }


def test_two_texts_that_nothing_tells_apart(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "a": c, "b": c[::-1]})
    assert flags(found) == ["--text_key"]
    assert [value for value, _ in found.questions[0].options] == ["a", "b"]


def test_an_id_of_the_record_is_not_taken_for_its_text(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "id": f"{n * 48271 % 2147483647:x}"})
    assert flags(found) == ["--text_key"]


def test_codes_in_a_row_are_no_numbers_of_records_where_they_are_called_text(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "label": f"{n:04d}"})
    assert found.mapping.text.keys == ("label",)
    found = probe(lambda p, c, n: {"image": encoded(p), "index": f"{n:04d}"})
    assert found.mapping.text is None
    found = probe(lambda p, c, n: {"image": encoded(p), "index": f"{n:04d}"}, Answers(text_key="index"))
    assert found.mapping.text.keys == ("index",)


def test_one_long_number_may_be_the_code(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "reading": int(c) + 48_000_000})
    assert [value for value, _ in found.questions[0].options] == ["number"]


def test_numbers_of_which_most_have_all_digits_have_likely_lost_their_zeros(probe):
    lost = probe(lambda p, c, n: {"image": encoded(p), "label": int(f"{n * 7919 % 10_000:04d}")}, count=60)
    assert [value for value, _ in lost.questions[0].options] == ["number:4", "number"]
    assert lost.text.reading.num_digits == 4
    free = probe(lambda p, c, n: {"image": encoded(p), "label": n * 7919 % 10 ** (1 + n % 4)}, count=60)
    assert [value for value, _ in free.questions[0].options][0] == "number"


def test_names_of_files_are_asked_about(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "file": f"{n * 48271 % 99991:012d}.jpg"})
    assert flags(found) == ["--label_pattern"]


def test_classes_are_not_taken_for_digits(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "label": int(c) % 5}, length="1")
    assert flags(found) == ["--charset"]


def test_ids_without_a_0_are_not_taken_for_digits(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "label": [max(1, int(digit)) for digit in c]})
    assert flags(found) == ["--charset"]


def test_digits_are_told(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "label": [int(digit) for digit in c]})
    assert "all ids of 'label' are 0 to 9, and there is no table: they are read as digits" in found.text.evidence


def test_two_images(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "mask": encoded(grey(p)), "text": c})
    assert flags(found) == ["--image_key"]
    found = probe(lambda p, c, n: {"image": encoded(p), "mask": encoded(grey(p)), "text": c}, Answers(image_key="mask"))
    assert found.mapping.image.key == "mask"


@pytest.mark.parametrize(
    "image, reason",
    [
        (lambda p: encoded(p, "TIFF"), "it holds TIFF; read are PNG"),
        (lambda p: encoded(p, "PPM"), "it holds a portable pixmap"),
        (lambda p: b"\x80\x04\x95" + p.tobytes(), "it holds a pickle, which is never opened"),
        (lambda p: [encoded(p), encoded(p)], "it holds several images a record"),
    ],
)
def test_images_that_are_not_read(probe, image, reason):
    found = probe(lambda p, c, n: {"image": image(p), "text": c})
    assert found.mapping is None
    assert reason in reasons(found.image)["image"]


def test_characters_in_two_lines_are_not_sorted_by_x(probe):
    def features(pixels, code, number):
        return {
            "image": encoded(pixels),
            "bbox__xmin": [0.1, 0.5, 0.1, 0.5],
            "bbox__ymin": [0.1, 0.1, 0.6, 0.6],
            "bbox__ymax": [0.4, 0.4, 0.9, 0.9],
            "bbox__text": list(code),
        }

    found = probe(features)
    assert found.mapping.text is None
    assert reasons(found.text)["bbox/text"] == "its boxes lie in several lines, one above the other"


@pytest.mark.parametrize("sides", [("x_min", "x_max"), ("bbox/left", "bbox/right"), ("cx", "w")])
def test_characters_are_sorted_by_the_left_sides_of_boxes(probe, sides):
    def features(pixels, code, number):
        left = [0.7, 0.1, 0.5, 0.3]
        return {"image": encoded(pixels), sides[0]: left, sides[1]: [x + 0.1 for x in left], "text": list(code)}

    found = probe(features)
    assert found.mapping.text.order_key == sides[0]
    code = drawn()[0][1]
    assert found.mapping.text.read(found.sample[0].record, "") == code[1] + code[3] + code[2] + code[0]


def test_characters_with_boxes_that_tell_no_order(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "corners": [0.1 * i for i in range(16)], "text": list(c)})
    assert reasons(found.text)["text"].startswith("'corners' may say where its characters are")


def test_a_padding_that_may_be_a_character_is_asked_about(probe):
    found = probe(
        lambda p, c, n: {"image": encoded(p), "label": [int(d) for d in c]},
        Answers(charset=tuple("0123456789")),
        count=6,
    )
    assert flags(found) in ([], ["--padding"])
    shorter = probe(
        lambda p, c, n: {"image": encoded(p), "label": [int(d) + 1 for d in c] + [0] * (4 - len(c))}, length="2-4"
    )
    assert "--padding" in flags(shorter)


def test_what_fills_up_all_lists_alike_is_likely_no_character(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "label": [int(d) + 1 for d in c] + [0, 0]}, count=40)
    settled = found.settled()
    assert flags(found) == ["--padding", "--charset"]
    assert (settled.text.reading.padding, settled.text.reading.first_id) == (0, 1)
    assert settled.text.reading.charset == tuple("0123456789")


def test_values_that_do_not_say_what_is_white(probe):
    found = probe(lambda p, c, n: {"image": ((grey(p) - 127.0) / 40).astype("<f4").tobytes(), "text": c})
    assert flags(found) == ["--image_range"]
    found = probe(lambda p, c, n: {"image": (grey(p) / 16).astype("<f4").tobytes(), "text": c})
    assert flags(found) == ["--image_range"]


def test_a_few_odd_records_do_not_hide_what_the_others_are(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "label": 7 if n == 20 else c})
    assert found.mapping.text.keys == ("label",)
    assert "1 of the sampled records have other kinds of values, such as" in found.image.evidence[-1]


def test_an_unknown_key_is_named(probe):
    features = {"image": b"", "label": b""}
    for answers, message in (
        (Answers(image_key="img"), "--image_key=img: there is no such key; the records have image, label"),
        (Answers(text_key="txt"), "--text_key=txt: there is no such text; there are label, image"),
        (Answers(text_key="image"), "--text_key=image: "),
        (Answers(image_shape=(7, 7)), "--image_shape=7x7: the 9,600 bytes of 'image' are not 49 numbers of any type"),
    ):
        with pytest.raises(DigitwiseError, match=message):
            probe(lambda p, c, n: features | {"image": grey(p).tobytes(), "label": c}, answers)


def test_a_mapping_reads_images_of_several_shapes(tmp_path):
    path = tmp_path / "a"
    sizes = [(30 + n, 40 + 2 * n) for n in range(8)]
    pictures = [
        np.asarray(Image.fromarray(grey(p)).resize((w, h))) for (p, _), (h, w) in zip(drawn(), sizes, strict=False)
    ]
    rows = zip(pictures, drawn(), strict=False)
    write(path, [example(image=p.tobytes(), height=p.shape[0], width=p.shape[1], text=c) for p, (_, c) in rows])
    probe = probe_records(str(path))
    source = ForeignSource((Entry(probe.listing.files, probe.mapping),), "")
    images = [np.asarray(Image.open(io.BytesIO(source.load(key)))) for key, _ in source.rows()]
    assert all(np.array_equal(image, picture) for image, picture in zip(images, pictures, strict=True))


# Parts


def test_layouts():
    assert Layout.of((60, 160, 3)).axes == "HWC"
    assert Layout.of((3, 60, 160)).axes == "CHW"
    assert Layout.of((1, 60, 160, 1)) == Layout((60, 160, 1), "HWC")
    for sizes in ((60,), (60, 160, 2), (1 << 20, 1 << 20), (0, 5)):
        with pytest.raises(ValueError):
            Layout.of(sizes)


@pytest.mark.parametrize("axes", ["HW", "HWC", "CHW", "grey HWC", "RGBA"])
@pytest.mark.parametrize("size", ["160x60", "224x224", "100x32", "64x64"])
def test_the_look_of_pictures_tells_their_shape(axes, size):
    def laid(pixels):
        if axes == "HW":
            return grey(pixels)
        if axes == "grey HWC":
            return np.repeat(grey(pixels)[:, :, None], 3, axis=2)
        if axes == "RGBA":
            return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
        return pixels if axes == "HWC" else pixels.transpose(2, 0, 1)

    images = [laid(pixels) for pixels, _ in drawn(size=size, count=12)]
    flat = [np.ascontiguousarray(image).ravel() for image in images]
    layouts = likely_layouts(flat, possible_layouts([image.size for image in flat]))
    assert [layout.sizes for layout in layouts] == [images[0].shape]


def test_noise_tells_no_shape():
    flat = [np.random.default_rng(n).integers(0, 256, 60 * 160, np.uint8) for n in range(12)]
    assert len(likely_layouts(flat, possible_layouts([9600]))) > 10


@pytest.mark.parametrize("kind", ["u1", "<i2", "<i4", "<i8", "<f4", "<f8"])
def test_item_types(kind):
    scale = 255 if kind.startswith("<f") else 1
    data = [(grey(pixels) / scale).astype(kind).tobytes() for pixels, _ in drawn(count=8)]
    expected = {"u1": "uint8", "<i2": "uint16", "<i4": "int32", "<i8": "int64", "<f4": "float32", "<f8": "float64"}
    assert item_types(data) == [expected[kind]]


@pytest.mark.parametrize(
    "values, ranges",
    [
        (np.array([0.0, 0.2, 1.0]), [(0.0, 1.0)]),
        (np.array([0.0, 254.0]), [(0.0, 255.0)]),
        (np.array([-1.0, 0.95]), [(-1.0, 1.0)]),
        (np.array([0, 40000]), [(0.0, 65535.0)]),
        (np.array([0, 4000]), [(0.0, 4095.0), (0.0, 65535.0)]),
        (np.array([0, 16]), [(0.0, 255.0), (0.0, 16.0)]),
        (np.array([0.0, np.nan]), []),
    ],
)
def test_value_ranges(values, ranges):
    assert value_ranges([values], is_byte=False) == ranges


@pytest.mark.parametrize(
    "content, names",
    [
        ("0:cat\n1:dog\n", {0: "cat", 1: "dog"}),
        ("a\nb\n", {0: "a", 1: "b"}),
        ("0\ta\n1\tb\n", {0: "a", 1: "b"}),
        ("a 0\nb 1\n", {0: "a", 1: "b"}),
        ("id,char\n0,a\n1,b\n", {0: "a", 1: "b"}),
        ("0123", {0: "0", 1: "1", 2: "2", 3: "3"}),
        ('{"a": 0, "b": 1}', {0: "a", 1: "b"}),
        ('{"1": "a", "2": "b"}', {1: "a", 2: "b"}),
        ('["x", "y"]', {0: "x", 1: "y"}),
        ("item { id: 1 name: 'x' }\nitem { id: 2 name: \"y\" }", {1: "x", 2: "y"}),
        ("0 1\n1 2\n", None),
        ("a\na\n", None),
        ("{" * 100_000, None),
        ("", None),
    ],
)
def test_tables(tmp_path, content, names):
    path = tmp_path / "labels.txt"
    path.write_text(content)
    table = read_table(path)
    assert (table and table.names) == names


def test_listing(tmp_path):
    record = frame(example(a=1))
    for name in ("b/part-0", "a/train-00000-of-00002", "a/x.tfrec"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(record)
    for name, content in (
        ("a/_SUCCESS", b""),
        ("a/empty", b""),
        ("a/labels.txt", b"a"),
        ("a/x.idx2", b"0 32\n32 40\n"),
    ):
        (tmp_path / name).write_bytes(content)
    listing = list_records(str(tmp_path))
    assert [file.name for file in listing.files] == ["a/train-00000-of-00002", "a/x.tfrec", "b/part-0"]
    assert sorted(reason for _, reason in listing.skipped) == [
        "it is an index of a file of records",
        "it is empty",
        "its ending is that of another kind of file",
        "its name begins with . or _",
    ]
    assert [file.name for file in list_records(str(tmp_path / "*" / "part*")).files] == ["b/part-0"]
    (tmp_path / "a" / "train-00001-of-00002").write_bytes(b"\1" + record[1:])
    with pytest.raises(DigitwiseError, match="train-00001-of-00002: record 0 at byte 0: it begins neither like"):
        list_records(str(tmp_path))


def test_a_record_as_long_as_a_gzip_magic_is_not_taken_for_gzip(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(frame(bytes(0x8B1F)))
    assert list_records(str(path)).files[0].compression == ""


@pytest.mark.parametrize("values", [[0, 1, -1, 2**62, -(2**63)], [5] * 1000, [300, 7, 1 << 40]])
def test_integers_packed_by_tensorflow(values):
    record = examples.read(example(a=values))
    assert record.values["a"].tolist() == values


def test_sequences():
    record = examples.read(sequence({"a": "x"}, {"b": [[1, 2], [], [3]], "c": ["p", "q"]}))
    assert record.is_sequence
    assert (record.values["a"], record.values["b"].tolist(), record.values["c"]) == ([b"x"], [1, 2, 3], [b"p", b"q"])
    assert record.steps == {"b": [2, 0, 1], "c": [1, 1]}


def test_one_hot_needs_one_1_in_each_group(probe):
    found = probe(lambda p, c, n: {"image": encoded(p), "label": hot(map(int, c), 10).T})
    assert found.questions, "columns of a matrix that was turned are no characters"


def test_tensors_are_those_of_tensorflow(tmp_path):
    from records.foreign.wrappers import unwrap

    for values in (
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.full((40,), 7, np.int64),
        np.array([[True, False]]),
    ):
        data = tf.io.serialize_tensor(values).numpy()
        assert np.array_equal(unwrap([data], ("tensor",)), values)
        compact = tf.make_tensor_proto(values).SerializeToString()
        assert np.array_equal(unwrap([compact], ("tensor",)), values)
    assert unwrap([tf.io.serialize_tensor(["ab", "c"]).numpy()], ("tensor",)) == [b"ab", b"c"]
