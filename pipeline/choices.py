"""The choices that settings have: each a type, for the type checker, and its values, for flags and checks."""

from typing import Literal, get_args

Source = Literal["images", "synthetic"]
Renderer = Literal["fast", "captcha"]
Distortion = Literal["0.7.1", "0.7.0"]
ImageFormat = Literal["auto", "png", "jpeg", "raw"]
Colors = Literal["auto", "grey", "rgb"]
Compression = Literal["none", "gzip"]
Strategy = Literal["auto", "one", "mirrored", "multi_worker"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Network = Literal["alexnet", "alexnet_large", "alexnet_v2", "three_conv", "nptu", "percent4", "vgg", "crnn"]
Readout = Literal["positions", "ctc"]
Cleaning = Literal["none", "threshold", "median", "median_threshold"]
Optimizer = Literal["adamw", "adadelta"]
Schedule = Literal["auto", "one_cycle", "constant"]
LearnFrom = Literal["auto", "all", "hardest"]

SOURCES: tuple[str, ...] = get_args(Source)
RENDERERS: tuple[str, ...] = get_args(Renderer)
DISTORTIONS: tuple[str, ...] = get_args(Distortion)
IMAGE_FORMATS: tuple[str, ...] = get_args(ImageFormat)
COLORS: tuple[str, ...] = get_args(Colors)
COMPRESSIONS: tuple[str, ...] = get_args(Compression)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
PRECISIONS: tuple[str, ...] = get_args(Precision)
NETWORKS: tuple[str, ...] = get_args(Network)
# ctc reads columns; the other networks have one head per position
COLUMN_NETWORKS: tuple[str, ...] = ("alexnet", "alexnet_large", "crnn")
READOUTS: tuple[str, ...] = get_args(Readout)
CLEANINGS: tuple[Cleaning, ...] = get_args(Cleaning)
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULES: tuple[str, ...] = get_args(Schedule)
LEARN_FROM: tuple[str, ...] = get_args(LearnFrom)
CHANNEL_ORDERS: tuple[str, ...] = ("rgb", "bgr")
# What people store pixels as. The other types of records.images.arrays need no flag: only files that name theirs have
# them.
IMAGE_TYPES = tuple("uint8 int8 int16 uint16 int32 int64 float16 float32 float64".split())
