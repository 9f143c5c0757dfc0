"""Every flag, grouped by the stage that it serves, and the settings that the flags add up to.

config = options.config_from_flags()
"""

import dataclasses

from absl import flags

from pipeline.config import (
    CHANNEL_ORDERS,
    CLEANINGS,
    COLORS,
    COMPRESSIONS,
    DISTORTIONS,
    IMAGE_FORMATS,
    IMAGE_TYPES,
    NETWORKS,
    OPTIMIZERS,
    PRECISIONS,
    READOUTS,
    RENDERERS,
    SCHEDULES,
    SOURCES,
    STAGES,
    STRATEGIES,
    DrawingConfig,
    ForeignConfig,
    GenerateConfig,
    RecordsConfig,
    RunConfig,
    TestConfig,
    TrainConfig,
    TrialsConfig,
)

FLAGS = flags.FLAGS

# (title, settings class, {field: help}); a flag has the name, the default and the type of its field.
GROUPS = (
    (
        "What to run, and where",
        RunConfig,
        {
            "stage": f"one or several of {', '.join(STAGES)}, comma separated, or all; they run in this order",
            "workdir": "the folder that holds everything a run makes; nothing is written elsewhere",
            "overwrite": "make anew what was made with other settings, instead of stopping there; what was made with "
            "these stays",
            "workers": "worker processes; 0 takes one for each core. No byte of any result depends on it",
        },
    ),
    (
        "generate: draw images of codes",
        GenerateConfig,
        {
            "num_images": "how many images; a greater number later goes on from the images that are there (records and "
            "training then need --overwrite)"
        },
    ),
    (
        "generate: what the images show",
        DrawingConfig,
        {
            "alphabet": "characters of the codes: digits, lower, upper, alnum, names joined with + "
            "(digits+upper), or the characters themselves; also what the labels of --images may hold. None: digits",
            "code_length": "characters of a code: 4, or a range such as 3-6 (4 when drawing; any when reading --images)",
            "image_size": "WIDTHxHEIGHT (160x60 when drawing; the first image's when reading --images)",
            "fonts": "font files (TrueType or OpenType), comma separated; none: the captcha package's own",
            "seed": "image i is a function of the seed and i alone",
            "distortion": f"{' or '.join(DISTORTIONS)}: how strongly characters are bent, as that version of the "
            "captcha package does; 0.7.0 and older bend more",
            "rotation": "degrees that a character is turned at most, either way; or a range such as -10:20",
            "warp_x": "how far the corners of a character move sideways, in parts of its width",
            "warp_y": "how far the corners of a character move up or down, in parts of its height",
            "font_sizes": "sizes in pixels to choose from, comma separated",
            "overlap": "how far characters may slide over each other, in parts of their mean width",
            "space_probability": "the chance of a gap before a character",
            "noise_dots": "dots over the image",
            "noise_curves": "curves over the image",
            "foreground": "colour of characters and noise, such as #406080; none: by chance",
            "renderer": f"{' or '.join(RENDERERS)}: the captcha package's own code, or ours, which draws the same pictures "
            "many times faster, with numba where that is installed",
            "background": "colour behind them, such as #ffffff; none: a light one by chance",
        },
    ),
    (
        "records: serialize into TFRecord shards",
        RecordsConfig,
        {
            "source": f"{' or '.join(SOURCES)}: the files in --images or of the generate stage, or images drawn "
            "straight into records, and while training, with no files in between",
            "images": "a folder of labelled images of your own, read instead of generated ones: <code>.png, "
            "<code>_anything.png, or a labels.csv with columns file,text",
            "label_pattern": "regular expression whose first group is the code in a file's name (without ending)",
            "name": "the name that the shards begin with: <name>-<split>.tfrecord-00000-of-00008",
            "validation_fraction": "part of the codes kept for validation, chosen by a hash of the code",
            "test_fraction": "part of the codes kept for the test, chosen by a hash of the code (folds: its parts)",
            "images_per_shard": "images that a shard holds at most",
            "image_format": f"{', '.join(IMAGE_FORMATS)}: how pixels are stored; auto carries PNG and JPEG files "
            "over as they are and makes PNG of the rest",
            "colors": f"{', '.join(COLORS)}; auto does as the first image does",
            "compression": f"{' or '.join(COMPRESSIONS)}: pack whole shards (PNG and JPEG hardly get smaller)",
            "resize": "make images of other sizes fit, instead of stopping there",
            "fold_case": "codes that differ only in case are one: labels and alphabet in upper case where --alphabet has "
            "upper-case letters only, else in lower case",
        },
    ),
    (
        "inspect, records, train, test: records as they are, of any project",
        ForeignConfig,
        {
            "records": "files, folders or globs of TFRecords, comma separated, read instead of images or of the "
            "workdir's records; how (image, text) lies in them is found out",
            "mapping": "how it lies in them: the file that inspect wrote, edited or not; one for all of --records, or "
            "one for each",
            "image_key": "the key that holds the image",
            "text_key": "the key, or the first of indexed keys, or the folder key=, that holds the text; a+b joins two",
            "charset": "the characters that ids stand for, the first id's first: as --alphabet takes them, or a table "
            "file; number or number:4 where one number is the code itself, of 4 digits",
            "first_id": "the id of the first character of --charset, mostly 0 or 1",
            "padding": "the id that fills lists up to one length, or none",
            "separator": "what stands between the characters of a text and is no part of it, such as a space; or none",
            "image_shape": "the sizes of raw images as they lie in memory: 32x100, 32x100x3, or 3x32x100",
            "image_type": f"{', '.join(IMAGE_TYPES)}: of the numbers of raw images",
            "image_range": "the numbers that are black and white: 0:1, -1:1, 0:255",
            "channel_order": f"{' or '.join(CHANNEL_ORDERS)}: of raw images in colour",
            "views": "how many views lie side by side in each image, of which the first is read",
            "full_check": "inspect reads every record, not a sample only",
        },
    ),
    (
        "train: what is learned",
        TrainConfig,
        {
            "network": f"{' or '.join(NETWORKS)}",
            "readout": f"{' or '.join(READOUTS)}: how logits become a code; ctc reads columns from left to right",
            "channels": "1: the network sees grey, 3: colours",
            "cleaning": f"{', '.join(CLEANINGS)}: what is done to each image before the network sees it, here and "
            "wherever the checkpoint reads; threshold makes it black and white, median takes out specks",
            "augmentation": "how strongly training images are varied: moved, turned, brighter, darker, noisy, blurred; "
            "0: not at all, 1: as small images of codes bear, at most 3; none: 1 where there are fewer than 10,000, "
            "else 0",
            "dropout": "the share of features left out while training; none: the network's own",
            "batch_size": "images of a step, over all devices",
            "epochs": "passes over the train split; 0: at least 3, and more where images are few, so that each training "
            "sees about as many",
            "synthetic_share": "the part of each batch that is drawn while training, without end and without files; "
            "none: 1 with --source=synthetic, else 0",
            "initialize_from": "a folder of checkpoints, or a workdir: the training begins with their weights, as far as "
            "they fit",
            "optimizer": f"{' or '.join(OPTIMIZERS)}: how weights follow the gradient",
            "schedule": f"{' or '.join(SCHEDULES)}: how the learning rate runs",
            "learning_rate": "the highest rate of the schedule",
            "weight_decay": "how strongly weights are pulled to zero at each step, in parts of the learning rate",
            "precision": f"{', '.join(PRECISIONS)}: of the network's arithmetic",
            "xla": "compile the step with XLA",
            "train_seed": "decides the first weights, the order of the images, how they are varied, and dropout",
            "validation_steps": "steps between two looks at the validation split; 0: an epoch, or more where epochs are short",
            "patience": "looks at the validation split without a better one, after which the training ends; 0: never",
            "target_accuracy": "ends the training when whole-code accuracy on the validation split is this high",
            "checkpoint_seconds": "seconds between two checkpoints",
            "strategy": f"{', '.join(STRATEGIES)}: auto takes all GPUs, else the CPU; multi_worker reads TF_CONFIG",
            "devices": "how many devices, or their names, such as GPU:0,GPU:1; none: all",
            "logical_devices": "split the CPU into so many devices, to try several replicas on any machine",
            "peer_seconds": "seconds to wait for the other workers of multi_worker",
            "profile": "write a profile of some steps for TensorBoard",
        },
    ),
    (
        "folds, cleanings: several trainings, to compare",
        TrialsConfig,
        {"folds": "how many parts the codes are cut into; each is tested by a training on the others"},
    ),
    (
        "test: how well it reads",
        TestConfig,
        {
            "checkpoint": "a folder of checkpoints, or a workdir, to test; none: that of --workdir",
            "split": "the split to read; train and validation had a part in the training, and the report says so",
            "shown_predictions": "images in the printed table, up to half of them mistakes",
        },
    ),
)

# A field and its flag have one name, but for this one: a flag takes one value or several of the same thing.
_FIELD_OF_FLAG = {(RunConfig, "stage"): "stages"}


def field_of_flag(settings, name):
    return _FIELD_OF_FLAG.get((settings, name), name)


def define(values=FLAGS):
    """Defines each flag once, with its field's default."""
    for _, settings, helps in GROUPS:
        defaults = {field.name: field.default for field in dataclasses.fields(settings)}
        for name, text in helps.items():
            _define(name, defaults[field_of_flag(settings, name)], text, values)


def config_from_flags(values=FLAGS):
    """The settings of a run; SettingError names a flag that cannot be used."""
    given = {settings: _values(settings, helps, values) for _, settings, helps in GROUPS}
    drawing = DrawingConfig(**given[DrawingConfig])
    return RunConfig(
        **given[RunConfig],
        train=TrainConfig(**given[TrainConfig]),
        test=TestConfig(**given[TestConfig]),
        trials=TrialsConfig(**given[TrialsConfig]),
        generate=GenerateConfig(drawing=drawing, **given[GenerateConfig]),
        foreign=ForeignConfig(**given[ForeignConfig]),
        records=RecordsConfig(**given[RecordsConfig]),
    )


def help_text(program):
    """What --help prints: the flags by stage, each with its default."""
    lines = []
    for title, settings, helps in GROUPS:
        lines.append(f"\n{title}")
        for name, text in helps.items():
            lines += _help_lines(name, FLAGS[name].default, text)
    lines.append(
        f"\n{program} --helpfull lists the flags of the libraries too; --flagfile=FILE reads flags from a file"
    )
    return "\n".join(lines)


def _define(name, default, text, values):
    if isinstance(default, bool):
        flags.DEFINE_boolean(name, default, text, flag_values=values)
    elif isinstance(default, int):
        flags.DEFINE_integer(name, default, text, flag_values=values)
    elif isinstance(default, float) or default is None:
        flags.DEFINE_float(name, default, text, flag_values=values)
    elif isinstance(default, tuple):
        flags.DEFINE_list(name, list(default), text, flag_values=values)
    else:
        flags.DEFINE_string(name, default, text, flag_values=values)


def _values(settings, helps, values):
    given = {field_of_flag(settings, name): values[name].value for name in helps}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _help_lines(name, default, text, width=100):
    import textwrap

    shown = ",".join(default) if isinstance(default, list) else str(default).lower() if default is not None else ""
    head = f"  --{name}={shown}"
    body = textwrap.wrap(text, width - 34)
    if len(head) > 32:
        return [head, *(" " * 34 + line for line in body)]
    return [f"{head:<34}{body[0]}", *(" " * 34 + line for line in body[1:])]


define()
