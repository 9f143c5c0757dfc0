"""The records stage: a source of labelled images into TFRecord shards under records/, the manifest last.

Everything is prepared in a folder aside, which takes its name when it is whole. A shard is the unit of work; going on
after a stop skips the shards that stand.
"""

import collections
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import time

from pipeline.config import CodeConfig
from pipeline.drawing.files import read_settings, source_settings
from pipeline.drawing.renderer import Drawing, SyntheticSource, versions
from pipeline.machine.progress import progress
from pipeline.machine.workers import run_pieces
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.metrics import class_gaps
from pipeline.values import MAX_CODE_LENGTH
from pipeline.workdir import Workdir, differing_settings, plain, refuse_other_settings
from records.alphabet import Alphabet
from records.atomic import remove_partial, sync_directory, write_text
from records.dataset import schema
from records.dataset.manifest import FILE_NAME, Manifest
from records.dataset.shards import SPLITS, is_shard_name, shard_count, shard_name, split_of
from records.dataset.verify import Promise
from records.dataset.writer import ShardSpec, entry_path, read_plan, standing_shard, write_shard
from records.errors import DamagedRecords, DigitwiseError
from records.images.files import StoredForm, describe
from records.images.folder import LabeledFolder

_PLAN = "plan"
_SETTINGS = "settings.json"
_TFDS_FILES = ("features.json", "dataset_info.json")
_ROWS_HELD = 4096
_FEW_CODES = 30
_HELD_OUT_ONLY = "held_out_only"


@dataclasses.dataclass
class Survey:
    """What one pass over the rows of a source found: counts, lengths, the characters at each position, and of each
    split the first few codes."""

    counts: collections.Counter
    lengths: set
    classes: dict
    codes: dict

    def classes_of(self, split, positions):
        """[{character: count}] by position."""
        return [dict(sorted(self.classes.get((split, i), {}).items())) for i in range(positions)]


def convert(config, workdir, only_split=None, held_out_only=False, rotation=0.0, images_of=None, reader=""):
    """Serializes the source that the settings name; the result is whether there was anything to do.

    With `only_split` every image goes there, whatever its code. With `held_out_only` those of the train split are left
    out, as where a training draws its own. `rotation` chooses which codes are the test split. `images_of` is the
    Workdir of drawn images, where that is another one; `reader` says what it is that reads no other codes than these.
    """
    began = time.monotonic()
    _finish_rename(workdir)
    found = dataclasses.replace(find_source(config, images_of or workdir), reader=reader)
    settings = plain(_settings(config.records, found))
    if only_split:
        settings["only_split"] = only_split
    if held_out_only:
        settings[_HELD_OUT_ONLY] = True
    if rotation:
        settings["rotation"] = rotation
    if _stands(workdir, settings, config.overwrite):
        return False
    folder = _unfinished_folder(workdir.unfinished_records, settings)
    survey = _survey(found, config.records, folder, only_split, held_out_only, rotation)
    manifest = _write_shards(found, config, settings, survey, folder)
    _finish(manifest, folder, workdir)
    seconds = time.monotonic() - began
    total = sum(survey.counts.values())
    shares = ", ".join(f"{split} {survey.counts[split]:,}" for split in SPLITS)
    print(f"records: {total:,} images in {workdir.records} ({shares}), {total / seconds:,.0f} images/s")
    for line in (*few_codes(survey), *missing_classes(manifest)):
        print(f"records: warning: {line}")
    return True


@dataclasses.dataclass(frozen=True)
class Found:
    """A source of labelled images, what decides its bytes, and what its codes are made of.

    `lengths` is None where any length is welcome; `size` where the first image sets it. `reader` is what reads no other
    codes, where that is not the settings' choice. `is_folded` makes codes that differ only in case one.
    """

    source: object
    described: dict
    alphabet: str
    lengths: tuple = None
    size: tuple = None
    fonts: tuple = ()
    reader: str = ""
    is_folded: bool = False

    @classmethod
    def drawn(cls, source, settings):
        """From the settings with which images were, or will be, drawn."""
        drawing = settings["drawing"]
        lengths, size = tuple(drawing["code_length"]), tuple(drawing["image_size"])
        return cls(source, settings, drawing["alphabet"], lengths, size, tuple(map(tuple, drawing["fonts"])))

    @classmethod
    def held(cls, source, kind, code):
        """Of images that the user holds: the settings decide what they name, the images what is left open."""
        described = {kind: source.fingerprint(), "code_length": code.code_length, "image_size": code.image_size}
        return cls(source, described, code.characters, code.code_length, code.image_size)

    def folded(self):
        """The same with an alphabet of one case."""
        return dataclasses.replace(self, alphabet=Alphabet(self.alphabet).folded().characters, is_folded=True)

    def rows(self):
        """(key, code) of each image."""
        fold = Alphabet(self.alphabet).fold if self.is_folded else str
        return ((key, fold(text)) for key, text in self.source.rows())


def find_source(config, workdir):
    """The source that the settings name, its codes folded where they ask for that."""
    found = _find_source(config, workdir)
    return found.folded() if config.records.fold_case else found


def _find_source(config, workdir):
    records = config.records
    if config.foreign.records:
        return _found_foreign(config, workdir)
    if records.source == "synthetic":
        source = SyntheticSource(Drawing.of(config.code, config.generate.drawing), config.generate.num_images)
        return Found.drawn(source, plain(source_settings(source)))
    if records.images:
        return Found.held(LabeledFolder(records.images, records.label_pattern), "folder", config.code)
    drawn = read_settings(workdir.images)
    if not drawn:
        raise DigitwiseError(
            f"{workdir.images} has no images: run --stage=generate first, "
            "give a folder of your own with --images, or draw straight into records with --source=synthetic"
        )
    if not drawn["complete"]:
        raise DigitwiseError(f"{workdir.images} is not finished: run --stage=generate again to go on")
    return Found.drawn(LabeledFolder(str(workdir.images)), drawn["settings"])


def _found_foreign(config, workdir):
    from pipeline.stages.inspect import find_foreign

    source = find_foreign(config, workdir)
    source.check_labelled()
    return Found.held(source, "records", config.code)


def draws_all(config):
    """Whether a training takes no image from records: they only have to hold what tests it."""
    return config.records.source == "synthetic" and config.synthetic_share == 1


def records_to_train(config, workdir):
    """The folder of records that a training reads: a folder of ours as it is; what else the settings name is converted
    once, unless the records stage just did."""
    own = _own_folder(config.foreign)
    if own:
        return own
    lacking = config.records.source == "synthetic" and not (workdir.records / FILE_NAME).exists()
    if (_names_source(config) or lacking) and _may_convert(config, workdir):
        convert(config, workdir, held_out_only=draws_all(config))
    return workdir.records


def records_to_test(config, workdir):
    """The same for a test. What the workdir's records were made of is tested on its test split; of anything else that
    the settings name every image is held out, so all of them are tested, as the checkpoint reads them."""
    own = _own_folder(config.foreign)
    if own:
        return own
    if not _names_source(config) or not _may_convert(config, workdir) or _is_converted(config, workdir):
        return workdir.records
    if config.test.split not in SPLITS:
        raise DigitwiseError(f"--split={config.test.split}: there are {', '.join(SPLITS)}")
    checkpoint = Checkpoints.to_test(config.test, workdir)
    asked = _as_it_reads(config, checkpoint.best_state().spec)
    tested = Workdir(workdir.tested)
    tested.create()
    convert(asked, tested, only_split=config.test.split, reader=f"the checkpoint in {checkpoint.folder}")
    return tested.records


def _names_source(config):
    """Whether the settings name images to read, beside those that the workdir may hold."""
    return bool(config.foreign.records or config.records.images)


def _may_convert(config, workdir):
    """Not twice in one run; several workers at once must not have to."""
    if config.train.strategy == "multi_worker" and not _is_converted(config, workdir):
        raise DigitwiseError(
            f"{workdir.records} was not made of these images: run --stage=records once, without "
            "--strategy=multi_worker, or give --records the folder of records that it made elsewhere"
        )
    return "records" not in config.ordered_stages and config.train.strategy != "multi_worker"


def _as_it_reads(config, spec):
    """The settings under which images become what a network reads."""
    height, width, _ = spec.image_shape
    code = CodeConfig(spec.alphabet, (spec.min_length, spec.max_length), (width, height))
    return dataclasses.replace(config, overwrite=True, code=code)


def _own_folder(foreign):
    """The one entry of --records, where that is a folder that this project wrote."""
    if len(foreign.records) != 1 or foreign.mapping:
        return None
    folder = pathlib.Path(foreign.records[0])
    return folder if (folder / FILE_NAME).is_file() else None


def _is_converted(config, workdir):
    """Whether the workdir's records were made of the images that the settings name."""
    try:
        source = Manifest.load(workdir.records).settings["source"]
    except (DigitwiseError, KeyError, TypeError):
        return False
    described = plain(find_source(config, workdir).described)
    return all(source.get(kind) == described[kind] for kind in ("folder", "records") if kind in described)


def few_codes(survey):
    """A line for each split that is meant to measure and has too few different codes for that."""
    return [
        f"the {split} split has {survey.counts[split]} images of {len(codes)} codes: a figure from it says little"
        for split, codes in survey.codes.items()
        if split != "train" and len(codes) < _FEW_CODES
    ]


def missing_classes(manifest):
    """A line for each position of a split that lacks characters which the position has elsewhere."""
    return [
        f"position {place} of the {split} split never shows {''.join(characters)}: its accuracy says nothing about them"
        for split, gaps in class_gaps(manifest.classes).items()
        if manifest.count(split)
        for place, characters in gaps
    ]


def _settings(records, found):
    """Everything that decides the bytes of the records; where the images come from is in `source`."""
    settings = dataclasses.asdict(records)
    for name in ("source", "images", "label_pattern"):
        del settings[name]
    return {"source": found.described, "alphabet": found.alphabet, **settings}


def _stands(workdir, settings, overwrite):
    """Whether the records asked for are there; stops where others are."""
    if not workdir.records.exists() or not any(workdir.records.iterdir()):
        return False
    if not (workdir.records / FILE_NAME).exists():
        raise DigitwiseError(f"{workdir.records} holds files that were not made here: choose another --workdir")
    manifest = Manifest.load(workdir.records)
    standing = dict(manifest.settings)
    if settings.get(_HELD_OUT_ONLY):
        standing[_HELD_OUT_ONLY] = True  # records of all splits hold those too
    differing = differing_settings(standing, settings)
    if not differing:
        counts = ", ".join(f"{split} {manifest.count(split):,}" for split in SPLITS)
        print(f"records: the records of these settings are in {workdir.records} ({counts})")
        return True
    if not overwrite:
        refuse_other_settings(str(workdir.records), differing)
    return False


def _unfinished_folder(folder, settings):
    """The folder in which the records grow, kept from an earlier run where that was making the same."""
    try:
        same = json.loads((folder / _SETTINGS).read_text(encoding="utf-8")) == settings
    except (OSError, ValueError):
        same = False
    if folder.exists() and not same:
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    remove_partial(folder)
    shutil.rmtree(folder / _PLAN, ignore_errors=True)
    (folder / _PLAN).mkdir()
    write_text(folder / _SETTINGS, json.dumps(settings))
    return folder


def _survey(found, records, folder, only_split, held_out_only, rotation):
    """One pass over the source: checks every label, and leaves the rows of each split in a file of `folder`."""
    alphabet = Alphabet(found.alphabet)
    lengths = found.lengths or (1, MAX_CODE_LENGTH)
    survey = Survey(
        collections.Counter(), set(), collections.defaultdict(collections.Counter), collections.defaultdict(set)
    )
    with _RowFiles(folder) as files:
        for key, text in found.rows():
            _check_label(found, key, text, alphabet, lengths)
            split = only_split or split_of(text, records.validation_fraction, records.test_fraction, rotation)
            if split == "train" and held_out_only:
                continue
            files.add(split, key, text)
            survey.counts[split] += 1
            survey.lengths.add(len(text))
            if len(survey.codes[split]) < _FEW_CODES:
                survey.codes[split].add(text)
            for position, character in enumerate(text):
                survey.classes[split, position][character] += 1
    if held_out_only:
        if not survey.lengths:
            raise DigitwiseError("no image is held out: raise --num_images, --validation_fraction or --test_fraction")
    elif not survey.counts[only_split or "train"]:
        raise DigitwiseError(
            f"none of the {sum(survey.counts.values())} images falls into the train split: "
            "lower --validation_fraction and --test_fraction, or give more images"
        )
    return survey


def _check_label(found, key, text, alphabet, lengths):
    unknown = alphabet.unknown(text)
    where = f"{found.source.name(key)}: its code {text!r} has"
    if unknown is not None:
        mend = "" if found.reader else _wider_alphabet(found, text, alphabet)
        whose = f"alphabet of {found.reader}" if found.reader else f"alphabet {alphabet.characters!r}"
        raise DigitwiseError(f"{where} {unknown!r}, which is not in the {whose}{mend}")
    if not lengths[0] <= len(text) <= lengths[1]:
        asked = "-".join(str(n) for n in dict.fromkeys(lengths))
        why = f"{found.reader} reads {asked}" if found.reader else f"--code_length={asked} asks for other"
        raise DigitwiseError(f"{where} {len(text)} characters, {why}")


def _wider_alphabet(found, text, alphabet):
    """How the flags would take a label that the alphabet does not."""
    characters = {character for _, other in found.rows() for character in other}
    others = "".join(sorted(characters - set(alphabet.characters)))
    as_one = alphabet.fold(text)
    hint = f", --fold_case would read this one as {as_one!r}" if alphabet.folded().unknown(as_one) is None else ""
    return f"; --alphabet='{alphabet.characters}{others}' would take every code of this source{hint}"


def _stored_form(found, records):
    """What every stored image is, from the settings and, where they leave it open, from the first image."""
    key, _ = next(iter(found.source.rows()))
    width, height, channels = describe(found.source.load(key), found.source.name(key))
    if found.size:
        width, height = found.size
    if records.colors != "auto":
        channels = 1 if records.colors == "grey" else 3
    return StoredForm(width, height, channels, records.image_format, records.colors != "auto", records.resize)


def _write_shards(found, config, settings, survey, folder):
    """Writes the shards that do not stand yet, and returns the manifest of all."""
    form = _stored_form(found, config.records)
    least, most = found.lengths or (min(survey.lengths), max(survey.lengths))
    promise = Promise(found.alphabet, least, most, (form.height, form.width, form.channels), form.encoding)
    compression = "" if config.records.compression == "none" else config.records.compression
    specs = _shard_specs(found.source, config.records, survey, folder, form, promise, compression)
    shards = {spec.target: shard for spec in specs if (shard := standing_shard(spec.target))}
    missing = [spec for spec in specs if spec.target not in shards]
    total = sum(survey.counts.values())
    with progress("records", total, sum(shard.count for shard in shards.values())) as advance:
        for spec, shard in run_pieces(write_shard, missing, config.processes):
            shards[spec.target] = shard
            advance(shard.count)
    written = sum(shard.count for shard in shards.values())
    if written != total:
        raise DamagedRecords(f"{folder} has {written} records of {total} images: is another process writing there?")
    return Manifest(
        name=config.records.name,
        alphabet=found.alphabet,
        min_length=least,
        max_length=most,
        height=form.height,
        width=form.width,
        channels=form.channels,
        encoding=form.encoding,
        compression=compression,
        splits={split: [shards[spec.target] for spec in specs if spec.split == split] for split in SPLITS},
        classes={split: survey.classes_of(split, most) for split in SPLITS},
        settings=settings,
        versions={"python": platform.python_version(), **versions()},
        fonts=dict(found.fonts),
    )


def _shard_specs(source, records, survey, folder, form, promise, compression):
    """Deals the rows of each split out to its shards in turn, so that each is a like sample of the split."""
    specs = []
    with _RowFiles(folder) as files:
        for split in SPLITS:
            count = shard_count(survey.counts[split], records.images_per_shard)
            names = [shard_name(records.name, split, index, count) for index in range(count)]
            for number, (key, text) in enumerate(read_plan(plan_path(folder, split)) if count else ()):
                files.add(names[number % count], key, text)
            for name in names:
                plan, target = str(plan_path(folder, name)), str(folder / name)
                specs.append(ShardSpec(split, source, plan, target, form, promise, compression))
    return specs


def plan_path(folder, name):
    """Where the rows of a shard, or of a whole split, wait."""
    return folder / _PLAN / f"{name}.jsonl"


class _RowFiles:
    """Appends rows to many files with few of them held in memory and none held open."""

    def __init__(self, folder):
        self._folder = folder
        self._rows = collections.defaultdict(list)
        self._held = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._flush()

    def add(self, name, key, text):
        self._rows[name].append(json.dumps((key, text)) + "\n")
        self._held += 1
        if self._held >= _ROWS_HELD:
            self._flush()

    def _flush(self):
        for name, rows in self._rows.items():
            with open(plan_path(self._folder, name), "a", encoding="utf-8") as file:
                file.writelines(rows)
        self._rows.clear()
        self._held = 0


def _finish(manifest, folder, workdir):
    """Writes the descriptions, the manifest last, and gives the folder its name."""
    shutil.rmtree(folder / _PLAN)
    shutil.rmtree(workdir.unpacked, ignore_errors=True)
    for shards in manifest.splits.values():
        for shard in shards:
            entry_path(folder / shard.file).unlink(missing_ok=True)
    (folder / _SETTINGS).unlink()
    if not manifest.compression:  # tensorflow-datasets reads plain files only
        for name, content in zip(_TFDS_FILES, (schema.tfds_features(manifest), schema.tfds_info(manifest))):
            write_text(folder / name, json.dumps(content, indent=1) + "\n")
    manifest.save(folder)
    _rename(workdir)


def _finish_rename(workdir):
    """Records that were whole when an earlier run was killed before their last rename."""
    if (workdir.unfinished_records / FILE_NAME).exists():
        _rename(workdir)


def _rename(workdir):
    if workdir.records.exists():
        _remove_records(workdir.records)
    os.rename(workdir.unfinished_records, workdir.records)
    sync_directory(workdir.root)


def _remove_records(folder):
    """Removes what the records stage made, its manifest first; stops at anything else."""
    made = {FILE_NAME, *_TFDS_FILES}
    strangers = [path.name for path in folder.iterdir() if path.name not in made and not is_shard_name(path.name)]
    if strangers:
        raise DigitwiseError(
            f"{folder} also holds {', '.join(sorted(strangers)[:3])}, which was not made here: move it away first"
        )
    (folder / FILE_NAME).unlink(missing_ok=True)
    shutil.rmtree(folder)
