"""Every flag, grouped by the stage it belongs to, and the settings that they add up to.

config = options.config_from_flags()
"""

import dataclasses
import difflib
import textwrap
from collections.abc import Callable
from typing import Any

from absl import flags

from flags.parsers import Number, WholeNumber
from pipeline import choices, values
from pipeline.config import (
    STAGES,
    CodeConfig,
    DrawingConfig,
    ForeignConfig,
    GenerateConfig,
    RecordsConfig,
    RunConfig,
    TestConfig,
    TrainConfig,
    TrialsConfig,
)
from pipeline.use_config import CHECK_DIGITS, OUTPUT_FORMATS, ServeConfig, UseConfig
from pipeline.values import SettingError

FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class Group:
    """The flags of one settings class: a flag has the name, the default and the type of its field."""

    title: str
    settings: type
    helps: dict[str, str]


@dataclasses.dataclass(frozen=True)
class TextForm:
    """How the text of a flag becomes the value of its field, and the other way round."""

    parse: Callable[[str, str], Any]
    format: Callable[[Any], str] = str


# The flags whose text stands for something else, or may be empty where the field is a number: absl's own integer flags
# have no empty value, and None is how a setting says that it is left open.
TEXT_FORMS: dict[str, TextForm] = {
    "alphabet": TextForm(values.parse_alphabet),
    "code_length": TextForm(values.parse_lengths, values.format_lengths),
    "image_size": TextForm(values.parse_size, values.format_size),
    "allow": TextForm(values.parse_alphabet),
    "rotation": TextForm(values.parse_degrees, values.format_degrees),
    "warp_x": TextForm(values.parse_range, values.format_range),
    "warp_y": TextForm(values.parse_range, values.format_range),
    "font_sizes": TextForm(values.parse_whole_numbers, values.format_whole_numbers),
    "foreground": TextForm(values.parse_color, values.format_color),
    "background": TextForm(values.parse_color, values.format_color),
    "channels": TextForm(values.parse_whole_number),
    "first_id": TextForm(values.parse_whole_number),
    "patience": TextForm(values.parse_whole_number),
    "padding": TextForm(values.parse_padding),
    "image_shape": TextForm(values.parse_shape, values.format_size),
    "image_range": TextForm(values.parse_black_and_white, values.format_black_and_white),
}

# In the order of --help. A test compares them with the fields: every setting has a flag.
GROUPS: tuple[Group, ...] = (
    Group(
        "What to run, and where",
        RunConfig,
        {
            "stage": f"one or more of {', '.join(STAGES)}, comma separated, or all; they run in this order",
            "workdir": "folder for everything that a run writes",
            "overwrite": "replace results made with different settings instead of stopping; results made with the same "
            "settings are kept",
            "workers": "number of worker processes; 0: one per core. Results do not depend on it",
            "cluster": "where to draw, convert, train and predict: local: on this machine; auto: on the Ray cluster "
            "that it belongs to; ray://HOST:PORT or HOST:PORT: on that one",
        },
    ),
    Group(
        "Codes and image size",
        CodeConfig,
        {
            "alphabet": "characters that codes may have: digits, lower, upper, alnum, several of these joined with + "
            "(digits+upper), or the characters themselves. Default: digits for synthetic images, the characters of "
            "the codes for --images and --records",
            "code_length": "characters per code: 4, or a range such as 3-6. Default: 4 for synthetic images, any "
            "length for --images and --records",
            "image_size": "WIDTHxHEIGHT in pixels. Default: 160x60 for synthetic images, any size for --images and "
            "--records, whose images the network gets at a size found from all of them",
        },
    ),
    Group(
        "generate: make synthetic images",
        GenerateConfig,
        {
            "num_images": "number of images. A larger number later adds to the existing images (records and train then "
            "need --overwrite)"
        },
    ),
    Group(
        "generate: what synthetic images look like",
        DrawingConfig,
        {
            "fonts": "font files (TrueType or OpenType), comma separated. Default: the font of the captcha package",
            "seed": "random seed; image i depends only on the settings, the seed and i",
            "distortion": f"{' or '.join(choices.DISTORTIONS)}: distort characters as this version of the captcha "
            "package does; 0.7.0 distorts more",
            "rotation": "largest rotation of a character in degrees, either way; or a range such as -10:20",
            "warp_x": "how far the corners of a character move sideways, as a fraction of its width",
            "warp_y": "how far the corners of a character move up or down, as a fraction of its height",
            "font_sizes": "font sizes in pixels, comma separated; each character gets one of them",
            "overlap": "how far neighbouring characters may overlap, as a fraction of their average width",
            "space_probability": "probability of a gap before each character",
            "noise_dots": "number of dots over each image",
            "noise_curves": "number of curves over each image",
            "foreground": "colour of characters and noise, such as #406080. Default: random",
            "background": "background colour, such as #ffffff. Default: a random light colour",
            "renderer": f"{' or '.join(choices.RENDERERS)}: captcha calls the captcha package; fast renders the same "
            "pixels several times faster, and faster still if numba is installed",
        },
    ),
    Group(
        "records: write TFRecord shards",
        RecordsConfig,
        {
            "source": f"{' or '.join(choices.SOURCES)}: read image files (those in --images, or those of the generate "
            "stage), or render synthetic images directly into records and during training, without image files",
            "images": "folder of your own labelled images, named <code>.png or <code>_anything.png, or listed in a "
            "labels.csv with the columns file,text",
            "label_pattern": "regular expression whose first group is the code in a file name (without its extension)",
            "unlabelled": "folder of more images of the same kind, without labels: what a network that learned from "
            "--images alone reads in them with certainty joins the train split",
            "name": "prefix of the shard files: <name>-<split>.tfrecord-00000-of-00008",
            "validation_fraction": "fraction of the codes for the validation split, by a hash of the code",
            "test_fraction": "fraction of the codes for the test split, by a hash of the code (folds sets its own)",
            "images_per_shard": "largest number of images in a shard",
            "image_format": f"{', '.join(choices.IMAGE_FORMATS)}: how images are stored; auto copies PNG and JPEG "
            "files unchanged and converts all others to PNG",
            "colors": f"{', '.join(choices.COLORS)}: colour mode of the stored images; auto: grey if all images are "
            "grey, otherwise rgb",
            "compression": f"{' or '.join(choices.COMPRESSIONS)}: compress shards (saves little with PNG and JPEG "
            "images)",
            "resize": "stretch all images to --image_size, or to the size of the first one, instead of keeping their "
            "sizes",
            "fold_case": "treat upper and lower case as the same: labels and alphabet become upper case where the "
            "alphabet has upper-case letters only, and lower case otherwise",
            "upload": "copy the finished records to this address of an object store, such as s3://bucket/codes",
        },
    ),
    Group(
        "inspect, records, train, test: TFRecords of other projects",
        ForeignConfig,
        {
            "records": "files, folders or globs of TFRecords, comma separated, to use instead of images or of the "
            "records in the workdir; how images and codes are stored in them is detected. Records that were uploaded "
            "are read from their address, such as s3://bucket/codes",
            "mapping": "mapping.json files that say how to read --records, as written by inspect and possibly edited: "
            "one for all entries, or one per entry",
            "image_key": "key of the image",
            "text_key": "key of the code, the first of several numbered keys, or a folder name key=; a+b joins two",
            "charset": "characters that ids stand for, starting with the first id: as for --alphabet, or a table file; "
            "number, or number:4 for 4 digits, if the code is stored as a number",
            "first_id": "id of the first character of --charset, usually 0 or 1",
            "padding": "id that pads lists to the same length, or none",
            "separator": "text between the characters of a code that is not part of it, such as a space; or none",
            "image_shape": "shape of raw images in memory order: 32x100, 32x100x3 or 3x32x100",
            "image_type": f"{', '.join(choices.IMAGE_TYPES)}: number type of raw images",
            "image_range": "values of black and white in raw images: 0:1, -1:1 or 0:255",
            "channel_order": f"{' or '.join(choices.CHANNEL_ORDERS)}: channel order of raw colour images",
            "views": "number of views side by side in each image; the first one is used. 0: detect",
            "answers": "likely: take the most likely answer to every open question, and print it",
            "full_check": "inspect reads all records instead of a sample",
        },
    ),
    Group(
        "train: train the network",
        TrainConfig,
        {
            "network": f"{', '.join(choices.NETWORKS)}; alexnet_large: for many characters in many fonts, given time",
            "readout": f"{' or '.join(choices.READOUTS)}: how network outputs become a code: one output per position, "
            "or columns from left to right (CTC)",
            "channels": "1: the network gets grey images, 3: colour images. Default: 3 if some images lose contrast "
            "or a third colour when they become grey, otherwise 1",
            "cleaning": f"{', '.join(choices.CLEANINGS)}: preprocessing of every image, in training and whenever the "
            "checkpoint is used; threshold: black and white, median: remove specks",
            "augmentation": "strength of random changes to training images (shift, rotation, brightness, noise, blur): "
            "0: none, 1: normal, up to 3. Default: 1 below 10,000 training images, otherwise 0",
            "dropout": "fraction of features dropped in training. Default: depends on the network",
            "batch_size": "images per step over all devices together; of fewer images, some are in it more than once",
            "learn_from": f"{', '.join(choices.LEARN_FROM)}: which images a step learns from; hardest: it reads twice "
            "--batch_size images and of every four in a row learns from the one that it reads worst, or read worst the "
            "last time, once nearly all are read right; auto: hardest with 10,000 or more training images, none of "
            "them drawn, if the training finds its own length and --batch_size is a multiple of 32; otherwise all",
            "epochs": "passes over the train split; 0: as many as the schedule finds to help",
            "synthetic_share": "fraction of each batch that is synthetic, rendered during training without files. "
            "Default: 1 with --source=synthetic, otherwise 0",
            "initialize_from": "initial weights as far as they fit: of this checkpoint folder or workdir; included: "
            "those that come with digitwise; none: random; auto: included where they fit the network and, of 10,000 "
            "or more images, no code can be among those that they learned",
            "optimizer": f"{' or '.join(choices.OPTIMIZERS)}",
            "schedule": f"{', '.join(choices.SCHEDULES)}: learning-rate schedule; auto: full rate while validation "
            "improves, then down to 0, and the training ends (with --epochs: one_cycle)",
            "max_minutes": "with --schedule=auto: about how long training may take at most, all runs of it together; "
            "0: no limit",
            "learning_rate": "highest learning rate of the schedule",
            "weight_decay": "weight decay: each step shrinks weights by this times the learning rate",
            "averaging": "share of the running average of the weights that each step keeps; codes are read with that "
            "average. 0: read with the weights of the last step",
            "precision": f"{', '.join(choices.PRECISIONS)}: number format of the network; auto: bfloat16 where the "
            "hardware supports it, otherwise float32",
            "xla": "compile training steps with XLA",
            "train_seed": "random seed for initial weights, image order, augmentation and dropout",
            "validation_steps": "steps between validations, with --schedule=auto to begin with; 0: so many that "
            "validation takes little of the time",
            "patience": "stop after this many validations without improvement; 0: never. With --schedule=auto the "
            "learning rate comes down first, and after three times as many while validation shows that more than 1 "
            "code in 40 is misread. Default: 1 with auto, 0 with one_cycle, 10 with constant",
            "target_accuracy": "stop when whole-code accuracy on the validation split reaches this value",
            "checkpoint_seconds": "seconds between checkpoints",
            "strategy": f"{', '.join(choices.STRATEGIES)}; auto: all GPUs, or the CPU if there are none; multi_worker "
            "reads TF_CONFIG",
            "devices": "number of devices, or their names, such as GPU:0,GPU:1. Default: all",
            "logical_devices": "split the CPU into this many devices, to try several replicas on one machine; 0: no",
            "peer_seconds": "seconds to wait for the other workers with multi_worker",
            "profile": "write a profile of a few steps for TensorBoard",
        },
    ),
    Group(
        "folds, cleanings: compare several trainings",
        TrialsConfig,
        {"folds": "number of parts that the codes are divided into; each part is tested by a training on the others"},
    ),
    Group(
        "test: measure accuracy",
        TestConfig,
        {
            "checkpoint": "checkpoint folder or workdir to test; predict also takes an exported .onnx file, or the "
            "folder of an export, and then needs no TensorFlow. Default: --workdir",
            "split": "split to read; the report warns if it is train or validation, which took part in training",
            "shown_predictions": "number of images in the printed table; up to half of them are errors",
        },
    ),
    Group(
        "predict: read images (--images: files, folders, globs, labels.csv, or - for a list on stdin; or --records)",
        UseConfig,
        {
            "output_format": f"{', '.join(OUTPUT_FORMATS)}: what is printed on stdout",
            "allow": "characters that codes may have, as for --alphabet. Default: all that the network knows. "
            "With --code_length, --pattern, --codes and --check: the most probable code that fits all limits is read",
            "pattern": "regular expression for the whole code",
            "codes": "file with the only possible codes, one a line",
            "check": f"check digit: {' '.join(CHECK_DIGITS)}; luhn, mod97-10 and mod11,10 take digits "
            "alone; or FILE.py:FUNCTION for a function from a code to True or False",
            "max_error": "largest share of accepted readings that may be wrong, such as 0.001",
        },
    ),
    Group(
        "serve: read images over HTTP (--checkpoint), and label those of a folder in the browser (--images)",
        ServeConfig,
        {
            "host": "address to listen on; 0.0.0.0: all of this machine's. Beyond this machine a token is required",
            "port": "port to listen on; 0: any that is free",
            "token_file": "file whose first line is the token that clients must send. Default: none on this machine, "
            "otherwise a random one, which is printed",
            "max_rate": "requests per second that one client may send; 0: no limit",
        },
    ),
)

# The one field whose flag has another name: a flag is singular even if it takes several values.
_FIELD_OF_FLAG: dict[tuple[type, str], str] = {(RunConfig, "stage"): "stages"}


def field_of_flag(settings: type, name: str) -> str:
    return _FIELD_OF_FLAG.get((settings, name), name)


def define(flag_values: flags.FlagValues = FLAGS) -> None:
    """Defines each flag once, with its field's default."""
    for group in GROUPS:
        defaults = {field.name: field.default for field in dataclasses.fields(group.settings)}
        for name, text in group.helps.items():
            _define(name, defaults[field_of_flag(group.settings, name)], text, flag_values)


def config_from_flags(flag_values: flags.FlagValues = FLAGS) -> RunConfig:
    """The settings of a run; SettingError names a flag that cannot be used."""
    given = {
        group.settings: {
            field_of_flag(group.settings, name): value_of_flag(name, flag_values[name].value) for name in group.helps
        }
        for group in GROUPS
    }
    return RunConfig(
        **given[RunConfig],
        code=CodeConfig(**given[CodeConfig]),
        generate=GenerateConfig(drawing=DrawingConfig(**given[DrawingConfig]), **given[GenerateConfig]),
        foreign=ForeignConfig(**given[ForeignConfig]),
        records=RecordsConfig(**given[RecordsConfig]),
        train=TrainConfig(**given[TrainConfig]),
        test=TestConfig(**given[TestConfig]),
        trials=TrialsConfig(**given[TrialsConfig]),
        use=UseConfig(**given[UseConfig]),
        serve=ServeConfig(**given[ServeConfig]),
    )


def without_effect(config: RunConfig, flag_values: flags.FlagValues = FLAGS) -> list[str]:
    """The flags given for synthetic images where a run uses images of one's own alone."""
    own = config.records.images or config.foreign.records
    if not own or config.synthetic_share or not {"records", "train"} & set(config.ordered_stages):
        return []
    names = [name for group in GROUPS if group.settings in (GenerateConfig, DrawingConfig) for name in group.helps]
    return [f"--{name}" for name in names if flag_values[name].present]


def value_of_flag(name: str, value: Any) -> Any:
    """What a field holds where its flag has `value`: text, a number, a boolean or a list."""
    # open() would refuse it too, but much later and without the name of the flag.
    if "\0" in "".join([value] if isinstance(value, str) else value if isinstance(value, list) else []):
        raise SettingError(f"--{name}={value!r}: expected text without NUL")
    if name in TEXT_FORMS:
        return _UNSET[name] if not value and name in _UNSET else TEXT_FORMS[name].parse(f"--{name}", value)
    return tuple(value) if isinstance(value, list) else value


def unknown_flag(name: str) -> str:
    """What is wrong with a flag that does not exist. Only flags of this project are suggested: absl has some too."""
    close = difflib.get_close_matches(name, [each for group in GROUPS for each in group.helps], n=1)
    return f"unknown flag --{name}" + (f"; did you mean --{close[0]}?" if close else "")


def help_text(program: str) -> str:
    """What --help prints: the flags by stage, each with its default."""
    lines = []
    for group in GROUPS:
        lines.append(f"\n{group.title}")
        for name, text in group.helps.items():
            lines += _help_lines(name, FLAGS[name].default, text)
    lines.append(
        f"\n{program} --helpfull also lists the flags of the libraries; --flagfile=FILE reads flags from a file"
    )
    return "\n".join(lines)


def _define(name: str, default: Any, text: str, flag_values: flags.FlagValues) -> None:
    if name in TEXT_FORMS:
        written = TEXT_FORMS[name].format(default) if default not in (None, ()) else ""
        flags.DEFINE_string(name, written, text, flag_values=flag_values)
    # Before int: bool is a subclass of it.
    elif isinstance(default, bool):
        flags.DEFINE_boolean(name, default, text, flag_values=flag_values)
    elif isinstance(default, int):
        flags.DEFINE(WholeNumber(), name, default, text, flag_values, flags.ArgumentSerializer())
    # The settings that may be None and are not in TEXT_FORMS are all fractions or strengths.
    elif isinstance(default, float) or default is None:
        flags.DEFINE(Number(), name, default, text, flag_values, flags.ArgumentSerializer())
    elif isinstance(default, tuple):
        flags.DEFINE_list(name, list(default), text, flag_values=flag_values)
    else:
        flags.DEFINE_string(name, default, text, flag_values=flag_values)


def _unset() -> dict[str, Any]:
    """What the fields in TEXT_FORMS that need not be set hold where their flag is empty."""
    fields = {field.name: field.default for group in GROUPS for field in dataclasses.fields(group.settings)}
    return {name: fields[name] for name in TEXT_FORMS if fields[name] in (None, ())}


def _help_lines(name: str, default: Any, text: str, width: int = 100) -> list[str]:
    shown = ",".join(default) if isinstance(default, list) else str(default).lower() if default is not None else ""
    head = f"  --{name}={shown}"
    body = textwrap.wrap(text, width - 34)
    if len(head) > 32:
        return [head, *(" " * 34 + line for line in body)]
    return [f"{head:<34}{body[0]}", *(" " * 34 + line for line in body[1:])]


# On import: absl parses the command line before it calls main, so the flags must exist by then.
_UNSET = _unset()
define()
