"""Records as other projects write them: each is read pixel by pixel and character by character, or asked about."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.config import ForeignConfig, RecordsConfig, RunConfig
from pipeline.conversion.foreign import answers_of
from records.foreign.source import Entry, ForeignSource
from records.probe.probe import probe_records
from tests.conftest import from_text
from tests.foreign_writers import CASES


def answers(**given):
    pattern = given.pop("label_pattern", "")
    foreign = ForeignConfig(**from_text(given))
    return answers_of(RunConfig(foreign=foreign, records=RecordsConfig(label_pattern=pattern)))


def read(probe):
    """[(pixels, text)] of all records."""
    source = ForeignSource(
        (Entry(probe.listing.files, probe.mapping),), unpacked=str(probe.listing.files[0].path) + ".d"
    )
    found = []
    for key, text in source.rows():
        image = Image.open(io.BytesIO(source.load(key)))
        found.append((image, text))
    return found


def assert_equal(found, written):
    assert [text for _, text in found] == [text for _, text in written]
    for (image, _), (pixels, _) in zip(found, written, strict=True):
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        assert np.array_equal(np.asarray(image.convert("L" if pixels.ndim == 2 else "RGB")), pixels)


@pytest.mark.parametrize("name", CASES)
def test_each_kind_is_read_right_or_asked_about(name, tmp_path):
    case = CASES[name]
    folder = tmp_path / "data"
    folder.mkdir()
    written = case.write(folder)
    entry = str(folder / case.entry) if case.entry else str(folder)
    given = {}
    while True:
        probe = probe_records(entry, answers(**given))
        if not probe.questions:
            break
        flag = probe.questions[0].flag.strip("-")
        assert flag in case.asks and flag not in given, probe.questions
        given[flag] = case.asks[flag]
    assert given == case.asks
    assert probe.mapping.text is not None, probe.text
    assert_equal(read(probe), written)
