"""Images of several sizes and kinds, from a folder to what a network gets."""

import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet.fitting import fit
from pipeline.config import RunConfig, TrainConfig
from pipeline.conversion.convert import convert
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.input_channels import input_channels, needs_colour
from pipeline.model.input_size import InputSize, input_size
from pipeline.model.reading import evaluation_batches
from pipeline.model.recognizer import Recognizer
from pipeline.model.spec import ModelSpec
from pipeline.stages.inputs import records_to_test
from pipeline.stages.test import check_fits
from pipeline.stages.verification import verify
from pipeline.training.feed import decode_split, fits_in_memory
from pipeline.training.plan import Plan
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.dataset.sizes import Sizes, lengths_of
from records.errors import DamagedRecords, DigitwiseError
from records.images.files import check_stored
from records.tfrecord.framing import read_records
from tests.small_records import make_records
from tests.training_fixtures import make_state

CODES = [f"{n * 7 % 100:02d}" for n in range(40)]


def folder_of(folder, codes=CODES, sizes=((40, 20), (60, 20), (50, 30)), modes=("L",), ending="png"):
    """Images of these sizes and modes by turns, named <code>_<number>.<ending>."""
    folder.mkdir()
    for number, code in enumerate(codes):
        width, height = sizes[number % len(sizes)]
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        image = Image.fromarray(pixels).convert(modes[number % len(modes)])
        image.save(folder / f"{code}_{number:02d}.{ending}")
    return str(folder)


def rows_of(manifest):
    """{key: (image, text)} of all splits."""
    rows = {}
    for split in manifest.splits:
        for path in manifest.paths(split):
            rows |= {key: (image, text) for key, image, text in (schema.decode(data) for _, data in read_records(path))}
    return rows


class TestSizes:
    SIZES = Sizes({(40, 20, 2): 3, (60, 20, 3): 1, (30, 25, 2): 3})

    def test_by_hand(self):
        assert (self.SIZES.smallest, self.SIZES.largest, self.SIZES.usual) == ((30, 20), (60, 25), (30, 25))
        assert self.SIZES.vary and not Sizes.alike((8, 4), {2: 5, 3: 1}).vary
        assert Sizes({(8, 4, 1): 2, (9, 4, 3): 1}).by_image() == ([(8, 4), (8, 4), (9, 4)], [1, 1, 3])

    def test_as_json(self):
        content = {"30x25: 2": 3, "40x20: 2": 3, "60x20: 3": 1}
        assert self.SIZES.to_json() == content
        assert Sizes.from_json(content) == self.SIZES
        for damaged in ({}, {"30x25": 1}, {"0x25: 2": 1}, {"30x25: 2": 0}, {"axb: 2": 1}):
            with pytest.raises(ValueError):
                Sizes.from_json(damaged)

    def test_lengths_from_the_characters_at_each_position(self):
        train = [{"1": 2, "2": 3}, {"1": 5}, {"7": 1}]
        assert lengths_of([train, [{"1": 1}, {}, {}]]) == {1: 1, 2: 4, 3: 1}


class TestRecords:
    def test_images_stay_as_they_are(self, workdir, tmp_path, make_config, capsys):
        folder = folder_of(tmp_path / "own")
        convert(make_config(images=folder), workdir)
        manifest = Manifest.load(workdir.records)
        assert manifest.varies and manifest.image_shape == (None, None, 1)
        assert (manifest.height, manifest.width) == (30, 60)
        assert manifest.sizes == Sizes({(40, 20, 2): 14, (60, 20, 2): 13, (50, 30, 2): 13})
        rows = rows_of(manifest)
        assert len(rows) == 40
        for key, (image, text) in rows.items():
            assert image == (tmp_path / "own" / key).read_bytes() and key.startswith(text)
        assert "images of 3 sizes, 40 to 60 pixels wide and 20 to 30 high" in capsys.readouterr().out
        assert verify(workdir.records, 1)
        assert not convert(make_config(images=folder), workdir), "the same settings"

    def test_a_program_that_knows_one_size_only_reads_records_of_one_size(self, workdir, tmp_path, make_config):
        convert(make_config(images=folder_of(tmp_path / "own", sizes=[(40, 20)])), workdir)
        content = json.loads((workdir.records / "manifest.json").read_text())
        assert (content["format_version"], content["sizes"]) == (1, {"40x20: 2": 40})
        convert(make_config(images=folder_of(tmp_path / "more"), overwrite=True), workdir)
        content = json.loads((workdir.records / "manifest.json").read_text())
        assert content["format_version"] == 2
        (workdir.records / "manifest.json").write_text(json.dumps(content | {"format_version": 3}))
        with pytest.raises(DigitwiseError, match="has format version 3, this program reads 1 and 2"):
            Manifest.load(workdir.records)

    def test_a_manifest_from_before_sizes_were_counted(self, tmp_path):
        manifest = make_records(tmp_path / "records", train=["12", "3", "41"])
        path = tmp_path / "records" / "manifest.json"
        content = json.loads(path.read_text())
        del content["sizes"]
        path.write_text(json.dumps(content))
        loaded = Manifest.load(tmp_path / "records")
        assert loaded == manifest and not loaded.varies
        assert loaded.image_sizes == Sizes({(16, 8, 1): 1, (16, 8, 2): 8})

    def test_records_made_before_alphabets_were_found_are_still_those_asked_for(self, workdir, tmp_path, make_config):
        folder = folder_of(tmp_path / "own", sizes=[(40, 20)])
        convert(make_config(images=folder, alphabet="digits"), workdir)
        path = workdir.records / "manifest.json"
        content = json.loads(path.read_text())
        with pytest.raises(DigitwiseError, match="--alphabet: 0123456789 -> nothing"):
            convert(make_config(images=folder), workdir)
        del content["sizes"]
        path.write_text(json.dumps(content))
        assert not convert(make_config(images=folder), workdir)

    def test_raw_pixels_need_one_size(self, workdir, tmp_path, make_config):
        folder = folder_of(tmp_path / "own")
        with pytest.raises(DigitwiseError, match="--image_format=raw needs images of one size, these have 3: --resize"):
            convert(make_config(images=folder, image_format="raw"), workdir)
        convert(make_config(images=folder, image_format="raw", resize=True), workdir)
        manifest = Manifest.load(workdir.records)
        assert (manifest.image_shape, manifest.varies) == ((20, 40, 1), False)

    def test_kinds_become_one(self, workdir, tmp_path, make_config, capsys):
        folder = folder_of(tmp_path / "own", sizes=[(40, 20)], modes=("L", "P", "RGB", "RGBA"))
        convert(make_config(images=folder), workdir)
        manifest = Manifest.load(workdir.records)
        assert (manifest.channels, len(rows_of(manifest))) == (3, 40)
        out = capsys.readouterr().out
        assert "images are stored in colour: 10 " in out
        for part in ("10 grey (", "10 palette (", "10 colour (", "10 colour with transparency ("):
            assert part in out
        key = "14_02.png"
        assert rows_of(manifest)[key][0] == (tmp_path / "own" / key).read_bytes(), "RGB is what is stored"
        assert verify(workdir.records, 1)

    def test_one_image_in_colour_is_enough(self, workdir, tmp_path, make_config):
        folder = folder_of(tmp_path / "own", sizes=[(40, 20)])
        Image.new("RGB", (40, 20), "red").save(tmp_path / "own" / "77_red.png")
        convert(make_config(images=folder), workdir)
        assert Manifest.load(workdir.records).channels == 3
        convert(make_config(images=folder, colors="grey", overwrite=True), workdir)
        assert Manifest.load(workdir.records).channels == 1

    @pytest.mark.parametrize("ending", ["gif", "bmp", "webp"])
    def test_other_formats(self, workdir, tmp_path, make_config, ending):
        convert(make_config(images=folder_of(tmp_path / "own", modes=["RGB"], ending=ending)), workdir)
        manifest = Manifest.load(workdir.records)
        assert manifest.varies and verify(workdir.records, 1)

    def test_what_is_checked_where_sizes_vary(self):
        png = make_png((40, 20))
        check_stored(png, (None, None, 1), "encoded")
        with pytest.raises(DamagedRecords, match="is 40x20 in mode L, expected any size in mode RGB"):
            check_stored(png, (None, None, 3), "encoded")
        with pytest.raises(DamagedRecords, match="cannot be decoded"):
            check_stored(png[:-20], (None, None, 1), "encoded")
        with pytest.raises(DamagedRecords, match="5000x5000 in mode L, expected any size"):
            check_stored(make_png((5000, 5000)), (None, None, 1), "encoded")

    def test_tensorflow_datasets_reads_them(self, workdir, tmp_path, make_config):
        import tensorflow_datasets as tfds

        convert(make_config(images=folder_of(tmp_path / "own")), workdir)
        manifest = Manifest.load(workdir.records)
        builder = tfds.builder_from_directory(str(workdir.records))
        read = {}
        for split in manifest.splits:
            for item in builder.as_dataset(split=split).as_numpy_iterator():
                read[item["key"].decode()] = item["image"]
        for key, (image, _) in rows_of(manifest).items():
            np.testing.assert_array_equal(read[key], tf.io.decode_png(image))


class TestAlphabet:
    def test_it_is_what_the_codes_contain(self, workdir, tmp_path, make_config, capsys):
        codes = ["b7", "7a", "ba", "a7"] * 10
        convert(make_config(images=folder_of(tmp_path / "own", codes)), workdir)
        assert Manifest.load(workdir.records).alphabet == "7ab"
        out = capsys.readouterr().out
        assert "the codes have 3 different characters: 7ab" in out
        assert "rare" not in out and "look-alikes" not in out

    def test_one_that_is_given_is_kept(self, workdir, tmp_path, make_config, capsys):
        convert(make_config(images=folder_of(tmp_path / "own"), alphabet="digits+upper"), workdir)
        assert len(Manifest.load(workdir.records).alphabet) == 36
        assert "different characters" not in capsys.readouterr().out

    def test_rare_characters_and_look_alikes_are_named(self, workdir, tmp_path, make_config, capsys):
        codes = [*(["10", "01"] * 20), "1O"]
        convert(make_config(images=folder_of(tmp_path / "own", codes)), workdir)
        out = capsys.readouterr().out
        assert f"rare characters, perhaps mistakes in labels: 'O' once ({tmp_path}/own/1O_40.png)" in out
        assert f"0 and O ({tmp_path}/own/1O_40.png)" in out

    @pytest.mark.parametrize("codes, alphabet", [(["aB", "b1"], "1ab"), (["AB", "B1"], "1AB")])
    def test_folded(self, workdir, tmp_path, make_config, codes, alphabet):
        convert(make_config(images=folder_of(tmp_path / "own", codes * 20), fold_case=True), workdir)
        assert Manifest.load(workdir.records).alphabet == alphabet


@pytest.fixture
def varying(workdir, tmp_path, make_config):
    convert(make_config(images=folder_of(tmp_path / "own", modes=["RGB"])), workdir)
    return Manifest.load(workdir.records)


class TestReading:
    def expected(self, manifest, split, height, width):
        """The images of the split, each decoded, made grey and fitted by itself."""
        fitted = []
        for path in manifest.paths(split):
            for _, data in read_records(path):
                _, image, _ = schema.decode(data)
                pixels = np.asarray(Image.open(io.BytesIO(image)).convert("L"))[..., None]
                fitted.append(fit(pixels, height, width).numpy())
        return np.stack(fitted)

    def test_each_image_is_fitted(self, varying):
        expected = self.expected(varying, "train", 16, 48)
        decoded = decode_split(varying, "train", 1, fitted=(16, 48))
        assert_like(decoded.images, expected)
        batches = evaluation_batches(varying, "train", 7, 1, fitted=(16, 48))
        assert batches.element_spec[1].shape == (7, 16, 48, 1)
        images = np.concatenate([images[mask] for _, images, _, mask in batches.as_numpy_iterator()])
        np.testing.assert_array_equal(images, decoded.images)

    def test_images_of_the_size_stay_as_they_are(self, tmp_path):
        manifest = make_records(tmp_path / "records")
        plain = decode_split(manifest, "test", 1)
        np.testing.assert_array_equal(decode_split(manifest, "test", 1, fitted=(8, 16)).images, plain.images)
        assert_like(decode_split(manifest, "test", 1, fitted=(16, 32)).images, self.expected(manifest, "test", 16, 32))

    def test_what_is_kept_in_memory_has_the_working_size(self, varying):
        size = varying.count("train") * 10 * 24
        assert fits_in_memory(varying, "train", 1, available=4 * size, fitted=(10, 24))
        assert not fits_in_memory(varying, "train", 1, available=4 * size - 1, fitted=(10, 24))

    def test_a_recognizer_fits_what_it_is_given(self):
        spec = ModelSpec("alexnet", "positions", "01", 2, 2, (32, 64, 1), None, "float32", resizing="fit")
        recognizer = Recognizer(spec)
        images = np.random.default_rng(0).integers(0, 256, (3, 25, 61, 1), np.uint8)
        fitted = np.stack([fit(image, 32, 64).numpy() for image in images])
        np.testing.assert_array_equal(
            recognizer.predict(images).probabilities, recognizer.predict(fitted).probabilities
        )
        with pytest.raises(DigitwiseError, match="reads images uint8"):
            recognizer.predict(images[:, :0])
        exact = Recognizer(dataclasses.replace(spec, resizing="none"))
        with pytest.raises(DigitwiseError, match=r"\[batch, 32, 64, 1\], not uint8 \[3, 25, 61, 1\]"):
            exact.predict(images)

    def test_a_checkpoint_of_one_size_does_not_read_several(self, varying):
        spec = ModelSpec("alexnet", "positions", varying.alphabet, 2, 2, (32, 64, 1), None, "float32")
        with pytest.raises(DigitwiseError, match="reads images of 64x32, the records have several sizes"):
            check_fits(Recognizer(spec), varying)
        check_fits(Recognizer(dataclasses.replace(spec, resizing="fit")), varying)

    def test_tested_images_of_any_size_need_no_flag(self, workdir, tmp_path, make_config):
        spec = {"alphabet": "0123456789", "image_shape": (32, 64, 1), "resizing": "fit"}
        Checkpoints(tmp_path / "trained").save(1, {}, make_state(**spec))
        config = make_config(images=folder_of(tmp_path / "own"), stages=("test",), resize=True)
        test = dataclasses.replace(config.test, checkpoint=str(tmp_path / "trained"))
        manifest = Manifest.load(records_to_test(dataclasses.replace(config, test=test), workdir))
        assert manifest.varies and manifest.count("test") == 40


class TestInputSize:
    def of(self, tmp_path, network="alexnet", **given):
        return input_size(network, make_records(tmp_path / "records", **given))

    def test_a_working_size_is_found_from_sizes_and_lengths(self, tmp_path):
        # Two characters in 16x8: 8 pixels from one to the next become 32, so 8 of height become 32.
        assert self.of(tmp_path) == InputSize(32, 64, "fit")

    def test_networks_built_for_a_size_get_it(self, tmp_path):
        assert self.of(tmp_path, "vgg") == InputSize(8, 16, "none")
        varying = Sizes({(16, 8, 2): 1, (32, 8, 2): 1})
        assert self.of(tmp_path, "vgg", sizes=varying) == InputSize(32, 128, "fit")

    @pytest.mark.parametrize("settings", [{"resize": True}, {"source": {"folder": {}, "image_size": [16, 8]}}])
    def test_a_size_that_was_asked_for_is_kept(self, tmp_path, settings):
        assert self.of(tmp_path, settings=settings) == InputSize(8, 16, "none")

    def test_it_travels_in_the_spec(self, tmp_path):
        manifest = make_records(tmp_path / "records")
        spec = ModelSpec.of(TrainConfig(), manifest, "float32")
        assert (spec.image_shape, spec.resizing, spec.fitted) == ((32, 64, 1), "fit", (32, 64))
        assert ModelSpec.from_json(spec.to_json()) == spec
        old = {key: value for key, value in spec.to_json().items() if key != "resizing"} | {"version": 1}
        assert ModelSpec.from_json(old).fitted is None
        with pytest.raises(DigitwiseError, match="has the resizing 'crop', which must be one of none, fit"):
            dataclasses.replace(spec, resizing="crop")

    def test_a_training_begun_with_images_as_they_are_continues_so(self, tmp_path):
        manifest = make_records(tmp_path / "records")
        spec = {"image_shape": (20, 16, 1), "alphabet": "1234"}
        config = RunConfig(train=TrainConfig(batch_size=2, precision="float32"))
        plan = Plan.of(config, manifest, None, make_state(**spec))
        assert (plan.spec.image_shape, plan.spec.resizing) == ((20, 16, 1), "none")
        assert Plan.of(config, manifest, None, None).spec.resizing == "fit"


class TestChannels:
    INK = np.zeros((20, 40), bool)
    INK[5:15, 10:30] = True

    def drawn(self, ground, ink, line=None):
        pixels = np.where(self.INK[..., None], np.array(ink), np.array(ground)).astype(np.uint8)
        if line:
            pixels[:, 18:22] = line
        return pixels

    def test_two_colours_of_other_brightness_need_none(self):
        assert not needs_colour(self.drawn((255, 255, 255), (20, 40, 160)))
        assert not needs_colour(self.drawn((90, 90, 90), (90, 90, 90)))
        assert not needs_colour(self.drawn((250, 250, 250), (10, 10, 10), line=(120, 120, 120)))

    def test_two_colours_of_one_brightness_need_them(self):
        assert needs_colour(self.drawn((255, 0, 0), (0, 130, 0)))

    def test_a_line_of_a_third_colour_needs_them(self):
        assert needs_colour(self.drawn((255, 255, 255), (200, 0, 0), line=(0, 0, 200)))

    def test_of_records(self, workdir, tmp_path, make_config, varying):
        assert input_channels(varying) == 3, "noise of all colours"
        assert input_channels(make_records(tmp_path / "grey")) == 1
        folder = tmp_path / "blue"
        folder.mkdir()
        for number in range(40):
            pixels = self.drawn((255, 255, 255), (0, 0, number))
            Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        convert(make_config(images=str(folder), overwrite=True), workdir)
        manifest = Manifest.load(workdir.records)
        assert (manifest.channels, input_channels(manifest)) == (3, 1)
        assert ModelSpec.of(TrainConfig(), manifest, "float32").image_shape[2] == 1
        assert ModelSpec.of(TrainConfig(channels=3), manifest, "float32").image_shape[2] == 3


def assert_like(images, expected):
    """But for what rounding makes of a half."""
    assert images.shape == expected.shape
    assert np.abs(np.asarray(images, int) - expected).max() <= 1


def make_png(size):
    file = io.BytesIO()
    Image.new("L", size).save(file, "PNG")
    return file.getvalue()
