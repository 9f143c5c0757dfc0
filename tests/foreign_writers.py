"""Writers of TFRecords as other projects have them, each with the pictures and texts that a reader must find in them.

for name, case in CASES.items():
    written = case.write(folder)          # [(pixels, text)], in the order of the records
"""

import base64
import csv
import dataclasses
import functools
import gzip
import io
import json
import typing
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.renderer import Drawing
from pipeline.values import parse_lengths, parse_size

COUNT = 48
LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"


@dataclasses.dataclass(frozen=True)
class Case:
    """`asks` are the flags that must settle it, with the answers; nothing is asked where it is empty."""

    write: typing.Callable
    asks: dict = dataclasses.field(default_factory=dict)
    entry: str = ""


CASES = {}


def case(name, entry="", **asks):
    def add(write):
        CASES[name] = Case(write, asks, entry)
        return write

    return add


@functools.cache
def drawn(alphabet=DIGITS, size="160x60", length="4", count=COUNT):
    """((pixels RGB, code), ...)."""
    lengths, size = parse_lengths("--code_length", length), parse_size("--image_size", size)
    drawing = Drawing.of(CodeConfig(alphabet, lengths, size), DrawingConfig(seed=7))
    return tuple((np.asarray(drawing.image(index)), drawing.text(index)) for index in range(count))


def grey(pixels):
    return np.asarray(Image.fromarray(pixels).convert("L"))


def feature(value):
    """bytes, str, int, float, or lists and arrays of them."""
    if isinstance(value, (bytes, str)):
        value = [value]
    values = (
        np.ravel(value).tolist() if isinstance(value, np.ndarray) else value if isinstance(value, list) else [value]
    )
    if values and isinstance(values[0], (bytes, str)):
        values = [item.encode() if isinstance(item, str) else item for item in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(item) for item in values]))


def example(**features):
    return example_of(features)


def example_of(features):
    named = {key.replace("__", "/"): feature(value) for key, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def sequence(context, steps):
    lists = {key: tf.train.FeatureList(feature=[feature(value) for value in values]) for key, values in steps.items()}
    return tf.train.SequenceExample(
        context=tf.train.Features(feature={key: feature(value) for key, value in context.items()}),
        feature_lists=tf.train.FeatureLists(feature_list=lists),
    ).SerializeToString()


def write(path, records, compression=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


def encoded(pixels, kind="PNG", **options):
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **options)
    return file.getvalue()


def decoded(data, mode="RGB"):
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode))


def hot(ids, width, kind=np.int64):
    return np.eye(width, dtype=kind)[list(ids)]


# The schemas of the list


@case("neural_finance")
def _(folder):
    pictures = [(grey(pixels), code) for pixels, code in drawn(size="224x224")]
    records = [
        example(image=pixels.tobytes(), **{f"label{n}": int(digit) for n, digit in enumerate(code)})
        for pixels, code in pictures
    ]
    write(folder / "train.tfrecord", records)
    return pictures


@case("kerlomz")
def _(folder):
    pictures = drawn(alphabet=DIGITS + LOWER, length="3-6")
    write(folder / "trains.0.tfrecords", [example(input=encoded(pixels), label=code) for pixels, code in pictures])
    return pictures


@case("aocr")
def _(folder):
    pictures = [(pixels, code.upper()) for pixels, code in drawn(alphabet=DIGITS + LOWER, length="2-5")]
    records = [example(image=encoded(pixels), label=code, comment="") for pixels, code in pictures]
    write(folder / "data.tfrecords", records)
    return pictures


@case("crnn", channel_order="bgr", charset=LOWER)
def _(folder):
    pictures = drawn(alphabet=LOWER, size="100x32", length="3-6")
    records = [
        example(
            images=pixels[:, :, ::-1].tobytes(),
            labels=[LOWER.index(character) for character in code],
            imagepaths=f"90kDICT32px/{n // 7}/{n}_{code}_{n * 31}.jpg",
        )
        for n, (pixels, code) in enumerate(pictures)
    ]
    write(folder / "train_feature_0_48.tfrecords", records)
    return [(pixels, code) for pixels, code in pictures]


@case("fsns", views=4)
def _(folder):
    shown, records = [], []
    for number, (pixels, code) in enumerate(drawn(alphabet=LOWER, size="150x150", length="3-6")):
        wide = np.concatenate([pixels, pixels[::-1], pixels[:, ::-1], 255 - pixels], axis=1)
        ids = [LOWER.index(character) + 1 for character in code]
        records.append(
            example_of(
                {
                    "image/encoded": encoded(wide),
                    "image/format": "PNG",
                    "image/width": 600,
                    "image/orig_width": 150 * (1 + number % 4),
                    "image/class": ids + [133] * (37 - len(ids)),
                    "image/unpadded_class": ids,
                    "image/text": code,
                }
            )
        )
        shown.append((pixels, code))
    write(folder / "train-00000-of-00512", records)
    return shown


@case("tf_slim")
def _(folder):
    names = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
    (folder / "labels.txt").write_text("".join(f"{n}:{name}\n" for n, name in enumerate(names)))
    pictures = [(pixels, names[int(code) % 5]) for pixels, code in drawn(length="1")]
    records = [
        example_of(
            {
                "image/encoded": encoded(pixels),
                "image/format": "png",
                "image/class/label": names.index(name),
                "image/height": 60,
                "image/width": 160,
            }
        )
        for pixels, name in pictures
    ]
    for shard in range(2):
        write(folder / f"flowers_train_{shard:05d}-of-00002.tfrecord", records[shard * 24 : shard * 24 + 24])
    return pictures


@case("imagenet", entry="train-*", text_key="image/class/text")
def _(folder):
    names = {1: "tench", 2: "goldfish", 3: "hammerhead"}
    shown, records = [], []
    for number, (pixels, code) in enumerate(drawn(length="1")):
        label = int(code) % 3 + 1
        data = encoded(pixels, "JPEG", quality=90)
        records.append(
            example_of(
                {
                    "image/encoded": data,
                    "image/format": "JPEG",
                    "image/colorspace": "RGB",
                    "image/channels": 3,
                    "image/height": 60,
                    "image/width": 160,
                    "image/class/label": label,
                    "image/class/text": names[label],
                    "image/class/synset": f"n0{label}440764",
                    "image/filename": f"n0{label}440764_{number}.JPEG",
                }
            )
        )
        shown.append((decoded(data), names[label]))
    write(folder / "train-00000-of-01024", records[:30])
    write(folder / "train-00001-of-01024", records[30:])
    write(folder / "validation-00000-of-00128", records[:3])
    return shown


@case("object_detection")
def _(folder):
    generator = np.random.default_rng(3)
    pictures, records = drawn(alphabet=LOWER, length="3-5"), []
    for pixels, code in pictures:
        order = generator.permutation(len(code))
        left = [float(n) / 6 + 0.05 for n in order]
        records.append(
            example_of(
                {
                    "image/encoded": encoded(pixels),
                    "image/format": "png",
                    "image/source_id": "x",
                    "image/object/bbox/xmin": left,
                    "image/object/bbox/xmax": [place + 0.12 for place in left],
                    "image/object/bbox/ymin": [0.1 + 0.01 * n for n in order],
                    "image/object/bbox/ymax": [0.8] * len(code),
                    "image/object/class/text": [code[n] for n in order],
                    "image/object/class/label": [LOWER.index(code[n]) + 1 for n in order],
                }
            )
        )
    write(folder / "pets.record-00000-of-00001", records)
    return pictures


@case("tfds_by_hand")
def _(folder):
    _tfds_description(folder)
    (folder / "label.labels.txt").write_text("".join(f"{character}\n" for character in "xyz"))
    pictures = [(pixels, "xyz"[int(code) % 3]) for pixels, code in drawn(length="1")]
    records = [example(image=encoded(pixels), label="xyz".index(text)) for pixels, text in pictures]
    write(folder / "letters-train.tfrecord-00000-of-00001", records)
    return pictures


def _tfds_description(folder):
    prefix = "tensorflow_datasets.core.features."
    image = {"pythonClassName": prefix + "image_feature.Image", "image": {"shape": {"dimensions": ["60", "160", "3"]}}}
    label = {"pythonClassName": prefix + "class_label_feature.ClassLabel", "classLabel": {"numClasses": "3"}}
    features = {"image": image, "label": label}
    content = {"pythonClassName": prefix + "features_dict.FeaturesDict", "featuresDict": {"features": features}}
    (folder / "features.json").write_text(json.dumps(content))
    (folder / "dataset_info.json").write_text(json.dumps({"name": "letters", "splits": []}))


@case("kaggle_flowers", charset="abcdefghijklmnopqrstuvwxyz")
def _(folder):
    pictures = drawn(alphabet=LOWER, length="1")
    records = [
        example_of({"image": encoded(pixels), "class": LOWER.index(code), "id": f"{n * 7919 % 65536:04x}f2c"})
        for n, (pixels, code) in enumerate(pictures)
    ]
    write(folder / "00-224x224-48.tfrec", records)
    return pictures


@case("gzip")
def _(folder):
    pictures = drawn()
    write(folder / "a.tfrecord", [example(image=encoded(pixels), text=code) for pixels, code in pictures], "GZIP")
    return pictures


@case("zlib")
def _(folder):
    pictures = drawn()
    write(folder / "a.bin", [example(image=encoded(pixels), text=code) for pixels, code in pictures], "ZLIB")
    return pictures


# Encoded images


def _with_images(folder, encode, decode=decoded, **options):
    shown, records = [], []
    for pixels, code in drawn(**options):
        data = encode(pixels)
        records.append(example(img=data, gt=code))
        shown.append((decode(data), code))
    write(folder / "data.tfrecord", records)
    return shown


@case("jpeg")
def _(folder):
    return _with_images(folder, lambda pixels: encoded(pixels, "JPEG", quality=85))


@case("jpeg_grey")
def _(folder):
    return _with_images(folder, lambda pixels: encoded(grey(pixels), "JPEG"), lambda data: decoded(data, "L"))


@case("bmp")
def _(folder):
    return _with_images(folder, lambda pixels: encoded(pixels, "BMP"))


@case("gif")
def _(folder):
    def animated(pixels):
        others = [Image.fromarray(255 - pixels)]
        return encoded(pixels, "GIF", save_all=True, append_images=others)

    return _with_images(folder, animated)


@case("webp")
def _(folder):
    return _with_images(folder, lambda pixels: encoded(pixels, "WEBP", lossless=True))


@case("png_16_bit")
def _(folder):
    def deep(pixels):
        return encoded(Image.fromarray(grey(pixels).astype(np.uint16) * 257))

    return _with_images(folder, deep, lambda data: (np.asarray(Image.open(io.BytesIO(data))) >> 8).astype(np.uint8))


@case("png_16_bit_of_12", image_range="0:4095")
def _(folder):
    def deep(pixels):
        return encoded(Image.fromarray(grey(pixels).astype(np.uint16) * 16))

    def shallow(data):
        values = np.asarray(Image.open(io.BytesIO(data))).astype(np.float64)
        return np.rint(values * (255 / 4095)).astype(np.uint8)

    return _with_images(folder, deep, shallow)


@case("png_palette")
def _(folder):
    return _with_images(folder, lambda pixels: encoded(Image.fromarray(pixels).quantize(64)))


@case("base64")
def _(folder):
    return _with_images(
        folder, lambda pixels: base64.b64encode(encoded(pixels)), lambda d: decoded(base64.b64decode(d))
    )


@case("base64_for_urls")
def _(folder):
    return _with_images(
        folder,
        lambda pixels: base64.urlsafe_b64encode(encoded(pixels)).rstrip(b"="),
        lambda data: decoded(base64.urlsafe_b64decode(data + b"==")),
    )


@case("data_url")
def _(folder):
    start = b"data:image/png;base64,"
    return _with_images(
        folder,
        lambda pixels: start + base64.encodebytes(encoded(pixels)),
        lambda data: decoded(base64.b64decode(data[len(start) :])),
    )


# Pixels


def _with_pixels(folder, make, shown=grey, labels=lambda code: {"text": code}, **options):
    """`make` gives the features of the image."""
    pictures = [(pixels, code) for pixels, code in drawn(**options)]
    records = [example_of(make(pixels) | labels(code)) for pixels, code in pictures]
    write(folder / "data.tfrecord", records)
    return [(shown(pixels), code) for pixels, code in pictures]


@case("raw_with_sides", channel_order="rgb")
def _(folder):
    def make(pixels):
        return {"image_raw": pixels.tobytes(), "height": 60, "width": 160, "depth": 3}

    return _with_pixels(folder, make, np.asarray)


@case("raw_with_a_shape")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": grey(pixels).tobytes(), "shape": [60, 160, 1]})


@case("raw_grey_as_colours")
def _(folder):
    def alike(pixels):
        return np.repeat(grey(pixels)[:, :, None], 3, axis=2)

    return _with_pixels(folder, lambda pixels: {"x": alike(pixels).tobytes()}, alike)


@case("raw_channels_first", channel_order="rgb")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"x": pixels.transpose(2, 0, 1).tobytes()}, np.asarray)


@case("raw_blue_first", channel_order="bgr")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"x": pixels[:, :, ::-1].tobytes(), "rows": 60, "cols": 160}, np.asarray)


@case("raw_blue_first_named")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"bgr_image": pixels[:, :, ::-1].tobytes()}, np.asarray)


@case("raw_noise", image_shape="28x28")
def _(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), np.uint8)
    pictures = [(image, code) for image, (_, code) in zip(pixels, drawn())]
    write(folder / "a.tfrecord", [example(image=image.tobytes(), text=code) for image, code in pictures])
    return pictures


@case("float_to_1")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": (grey(pixels) / np.float32(255)).astype("<f4").tobytes()})


@case("float_to_255")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": grey(pixels).astype("<f4").tobytes(), "h": 60, "w": 160})


@case("float_around_0", image_range="-1:1")
def _(folder):
    def make(pixels):
        return {"image": (grey(pixels).astype("<f4") / np.float32(127.5) - np.float32(1)).tobytes(), "h": 60, "w": 160}

    return _with_pixels(folder, make)


@case("double_to_1")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": (grey(pixels) / 255).tobytes()})


@case("int16")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": grey(pixels).astype("<i2").tobytes()})


@case("int64_bytes")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": grey(pixels).astype("<i8").tobytes()})


@case("list_of_integers")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"pixels": grey(pixels).astype(int), "shape": [60, 160]})


@case("list_of_floats")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"pixels": (grey(pixels) / 255.0)})


@case("list_of_one_byte_strings")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": [bytes((v,)) for v in grey(pixels).ravel().tolist()]})


@case("tensor")
def _(folder):
    return _with_pixels(
        folder,
        lambda pixels: {"image": tf.io.serialize_tensor(grey(pixels)[:, :, None]).numpy()},
        labels=lambda code: {"label": tf.io.serialize_tensor([int(digit) for digit in code]).numpy()},
    )


@case("tensor_of_floats_channels_first", channel_order="rgb")
def _(folder):
    return _with_pixels(
        folder,
        lambda pixels: {"x": tf.io.serialize_tensor((pixels / 255).astype(np.float32).transpose(2, 0, 1)).numpy()},
        np.asarray,
        labels=lambda code: {"y": tf.io.serialize_tensor(code).numpy()},
    )


@case("numpy_file")
def _(folder):
    def saved(pixels):
        file = io.BytesIO()
        np.save(file, grey(pixels))
        return {"image": file.getvalue()}

    return _with_pixels(folder, saved)


@case("packed_pixels")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": zlib.compress(grey(pixels).tobytes())})


@case("binary_pixels")
def _(folder):
    def black_and_white(pixels):
        return (grey(pixels) > 200).astype(np.uint8)

    return _with_pixels(folder, lambda p: {"image": black_and_white(p).tobytes()}, lambda p: black_and_white(p) * 255)


# Texts


def _with_labels(folder, labels, name="data.tfrecord", **options):
    pictures = drawn(**options)
    write(folder / name, [example_of({"image": encoded(pixels), **labels(code)}) for pixels, code in pictures])
    return pictures


@case("latin_1")
def _(folder):
    pictures = [(pixels, code.replace("0", "é").replace("1", "ß")) for pixels, code in drawn()]
    write(folder / "a", [example(image=encoded(pixels), label=code.encode("latin-1")) for pixels, code in pictures])
    return pictures


@case("filled_up_with_nul")
def _(folder):
    return _with_labels(folder, lambda code: {"label": np.array([code], "S8").tobytes()}, length="3-6")


@case("indexed_strings")
def _(folder):
    return _with_labels(folder, lambda code: {f"char_{n + 1}": digit for n, digit in enumerate(code)})


@case("twelve_indexed_keys")
def _(folder):
    return _with_labels(folder, lambda code: {f"label{n}": int(digit) for n, digit in enumerate(code)}, length="12")


@case("floats_as_labels")
def _(folder):
    return _with_labels(folder, lambda code: {"label": [float(digit) for digit in code]})


@case("a_length_key")
def _(folder):
    def labels(code):
        return {"length": len(code), "digits": [int(digit) for digit in code] + [10] * (6 - len(code))}

    return _with_labels(folder, labels, length="2-6")


@case("filled_up_with_minus_1")
def _(folder):
    return _with_labels(folder, lambda c: {"digits": [int(d) for d in c] + [-1] * (6 - len(c))}, length="2-6")


@case("filled_up_with_10")
def _(folder):
    return _with_labels(folder, lambda c: {"digits": [int(d) for d in c] + [10] * (6 - len(c))}, length="2-6")


@case("filled_up_with_0", padding="0", charset=DIGITS)
def _(folder):
    return _with_labels(folder, lambda c: {"digits": [int(d) + 1 for d in c] + [0] * (4 - len(c))}, length="2-4")


@case("one_hot_integers")
def _(folder):
    return _with_labels(folder, lambda code: {"label": hot(map(int, code), 10)})


@case("one_hot_floats", charset=DIGITS + LOWER)
def _(folder):
    characters = DIGITS + LOWER
    return _with_labels(folder, lambda c: {"label": hot(map(characters.index, c), 36, np.float64)}, alphabet=characters)


@case("one_hot_bytes")
def _(folder):
    return _with_labels(folder, lambda code: {"label": hot(map(int, code), 10, np.uint8).tobytes()})


@case("one_hot_double_bytes")
def _(folder):
    return _with_labels(folder, lambda code: {"label": hot(map(int, code), 10, np.float64).tobytes()})


@case("ids_as_bytes")
def _(folder):
    return _with_labels(folder, lambda code: {"label": np.array([int(d) for d in code], "<i8").tobytes()})


@case("charset_table")
def _(folder):
    (folder / "charset_size=27.txt").write_text("".join(f"{n}\t{c}\n" for n, c in enumerate(LOWER)) + "26\t<nul>\n")
    return _with_labels(
        folder, lambda c: {"ids": [LOWER.index(x) for x in c] + [26] * (6 - len(c))}, alphabet=LOWER, length="2-6"
    )


@case("ids_from_1_in_a_table")
def _(folder):
    (folder / "label_map.pbtxt").write_text(
        "".join(f"item {{\n  id: {n + 1}\n  name: '{c}'\n}}\n" for n, c in enumerate(LOWER))
    )
    return _with_labels(folder, lambda c: {"ids": [LOWER.index(x) + 1 for x in c]}, alphabet=LOWER)


@case("ids_from_1", charset=DIGITS)
def _(folder):
    return _with_labels(folder, lambda code: {"label": [int(digit) + 1 for digit in code]})


@case("ids_beside_a_text")
def _(folder):
    return _with_labels(
        folder, lambda c: {"ids": [LOWER.index(x) + 5 for x in c], "remark": c, "writer": "anna" + c[0]}, alphabet=LOWER
    )


@case("two_texts", text_key="second")
def _(folder):
    return _with_labels(folder, lambda code: {"first": code[::-1], "second": code})


@case("name_of_the_file", label_pattern="^(.+)$")
def _(folder):
    return _with_labels(folder, lambda code: {"filename": f"train/{code}.png"}, alphabet=DIGITS + LOWER)


@case("name_with_a_number", label_pattern="^([^_]+)(?:_.*)?$")
def _(folder):
    return _with_labels(folder, lambda code: {"filename": f"{code}_{int(code) * 7}.png"})


@case("folders")
def _(folder):
    pictures = []
    for label in ("cat", "dog", "a b"):
        chosen = [(pixels, label) for pixels, code in drawn() if int(code) % 3 == ("cat", "dog", "a b").index(label)]
        records = [example(image=encoded(pixels)) for pixels, _ in chosen]
        write(folder / f"label={label.replace(' ', '%20')}" / "part-00000.tfrecord", records)
    for label in ("a b", "cat", "dog"):
        pictures += [(p, label) for p, code in drawn() if int(code) % 3 == ("cat", "dog", "a b").index(label)]
    return pictures


@case("spark")
def _(folder):
    pictures = drawn()
    records = [example(image=encoded(pixels), text=code) for pixels, code in pictures]
    for part in range(4):
        chosen = records[part * 16 : part * 16 + 16]
        name = f"part-r-{part:05d}-9f1c"
        if chosen:
            write(folder / name, chosen)
        else:
            (folder / name).write_bytes(b"")
        (folder / f".{name}.crc").write_bytes(b"crc\0")
    (folder / "_SUCCESS").write_bytes(b"")
    return pictures


@case("sequence")
def _(folder):
    pictures = drawn(length="3-6")
    records = [
        sequence({"image/data": encoded(pixels), "image/id": n * 17 % 31}, {"image/ids": [int(d) for d in code]})
        for n, (pixels, code) in enumerate(pictures)
    ]
    write(folder / "seq", records)
    return pictures


@case("sequence_of_strings")
def _(folder):
    pictures = drawn(alphabet=LOWER)
    records = [sequence({"image": encoded(pixels)}, {"characters": list(code)}) for pixels, code in pictures]
    write(folder / "seq", records, "GZIP")
    return pictures


@case("json_table")
def _(folder):
    (folder / "char_map.json").write_text(json.dumps({character: n for n, character in enumerate(LOWER)}))
    return _with_labels(folder, lambda c: {"y": [LOWER.index(x) for x in c]}, alphabet=LOWER)


@case("csv_table")
def _(folder):
    with open(folder / "classes.csv", "w", newline="") as file:
        csv.writer(file).writerows([("id", "char"), *enumerate("ACDEFGHKLM")])
    letters = "ACDEFGHKLM"
    return _with_labels(folder, lambda c: {"y": [letters.index(x) for x in c]}, alphabet=letters)


@case("several_gzip_members")
def _(folder):
    pictures = drawn()
    write(folder / "one", [example(image=encoded(pixels), text=code) for pixels, code in pictures])
    data = (folder / "one").read_bytes()
    (folder / "one").write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]))
    return pictures


@case("ascii_codes")
def _(folder):
    return _with_labels(folder, lambda c: {"y": [ord(x) for x in c]}, alphabet=LOWER + DIGITS)


@case("one_number", charset="number:4")
def _(folder):
    return _with_labels(folder, lambda code: {"label": int(code)})


@case("keys_by_place", text_key="first+second+third+fourth")
def _(folder):
    names = ("first", "second", "third", "fourth")
    return _with_labels(folder, lambda code: {name: int(digit) for name, digit in zip(names, code)})


@case("sides_exchanged", image_shape="60x160")
def _(folder):
    return _with_pixels(folder, lambda pixels: {"image": grey(pixels).tobytes(), "height": 160, "width": 60})


@case("characters_apart", separator=" ")
def _(folder):
    return _with_labels(folder, lambda code: {"label": " ".join(code)})


@case("bytes_as_python_shows_them")
def _(folder):
    return _with_labels(folder, lambda code: {"label": str(code.encode())})


@case("four_channels", channel_order="rgb")
def _(folder):
    def opaque(pixels):
        return {"image": np.dstack([pixels, np.full((60, 160), 255, np.uint8)]).tobytes(), "height": 60, "width": 160}

    return _with_pixels(folder, opaque, np.asarray)


@case("half_floats")
def _(folder):
    def halves(pixels):
        return {"image": (grey(pixels) / 255).astype("<f2").tobytes(), "height": 60, "width": 160}

    return _with_pixels(
        folder, halves, lambda p: np.rint((grey(p) / 255).astype("<f2").astype(float) * 255).astype("u1")
    )


@case("handwritten_digits")
def _(folder):
    pictures = [
        (np.asarray(Image.fromarray(255 - grey(p)).resize((28, 28))), c) for p, c in drawn(size="40x60", length="1")
    ]
    write(folder / "train.tfrecords", [example(image_raw=p.tobytes(), label=int(c)) for p, c in pictures])
    return pictures


@case("house_numbers", channel_order="rgb")
def _(folder):
    pictures = drawn(size="54x54", length="1-5")
    records = [
        example(image=p.tobytes(), length=len(c), digits=[int(d) for d in c] + [10] * (5 - len(c))) for p, c in pictures
    ]
    write(folder / "train.tfrecords", records)
    return pictures


@case("text_in_base64")
def _(folder):
    return _with_labels(folder, lambda code: {"label": base64.b64encode(code.encode())}, length="3-6")


@case("text_and_its_length")
def _(folder):
    return _with_labels(folder, lambda code: {"text": code, "text_length": len(code)}, length="2-5")


@case("length_beside_a_list")
def _(folder):
    return _with_labels(
        folder,
        lambda c: {"label/length": len(c), "label/dense": [int(d) for d in c] + [0] * (6 - len(c))},
        length="2-6",
    )


@case("tokens_in_steps")
def _(folder):
    rows = drawn()
    tokens = [["<S>", *code, "</S>"] for _, code in rows]
    records = [sequence({"image": encoded(p)}, {"label": line}) for (p, _), line in zip(rows, tokens, strict=True)]
    write(folder / "a.tfrecord", records)
    return rows
