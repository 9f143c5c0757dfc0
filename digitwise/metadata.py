"""What a reader has to know of a model: one JSON text, kept inside the model's file.

ModelMetadata.parse(text).alphabet
"""

import dataclasses
import json
import math
from typing import Any

from digitwise.errors import ReaderError
from digitwise.images import InputShape
from digitwise.statistics import CONFIDENCE, MAX_COUNT, binomial_cdf
from digitwise.watch import Reference

KEY = "digitwise"  # of the custom metadata of an ONNX file
VERSION = 2  # 1 had no `resizing` in its shape
READOUTS = ("positions", "ctc")
MAX_LENGTH = 64
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Promise:
    """Of the readings with at least the `threshold` of confidence, at most `max_error` are wrong, at 95 %."""

    threshold: float
    max_error: float
    codes: int  # accepted codes that it was certified on
    wrong: int  # of these

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 < self.max_error < 1 and 0 <= self.wrong <= self.codes <= MAX_COUNT):
            raise ReaderError(f"the promise {self} is damaged")
        # The test by which it was certified. The last bits of the sum differ between machines.
        if binomial_cdf(self.wrong, self.codes, self.max_error) > (1 - CONFIDENCE) * (1 + _ROUNDING):
            raise ReaderError(
                f"the promise is damaged: {self.wrong} wrong of {self.codes} codes do not show that at most "
                f"{self.max_error:g} are wrong, at {CONFIDENCE:.0%}"
            )


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    alphabet: str
    min_length: int
    max_length: int
    readout: str
    shape: InputShape
    cleaning: str = "none"  # for information: it is part of the model
    temperature: float = 1.0  # for information, too
    promise: Promise | None = None
    reference: Reference | None = None  # of the watch

    def __post_init__(self) -> None:
        if self.readout not in READOUTS:
            raise ReaderError(f"the readout {self.readout!r} is not one of {', '.join(READOUTS)}")
        if not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            raise ReaderError(f"the alphabet {self.alphabet!r:.80} is empty, or has a character twice")
        if not self.alphabet.isprintable():
            raise ReaderError(f"the alphabet {self.alphabet!r:.80} has a character that no image can show")
        if not 1 <= self.min_length <= self.max_length <= MAX_LENGTH:
            raise ReaderError(f"codes of {self.min_length} to {self.max_length} characters: need 1 to {MAX_LENGTH}")
        if not 0 < self.temperature < math.inf:
            raise ReaderError(f"the temperature {self.temperature} is not above 0")

    @property
    def num_outputs(self) -> int:
        """The classes of the log-probabilities: one more for the blank of ctc, or for the end of a code."""
        return len(self.alphabet) + (self.readout == "ctc" or self.min_length < self.max_length)

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def parse(cls, text: str) -> "ModelMetadata":
        return cls.of_values(parse_json(text))

    @classmethod
    def of_values(cls, values: Any) -> "ModelMetadata":
        """Of what `parse_json` gave."""
        if not isinstance(values, dict) or "version" not in values:
            raise ReaderError("the model's metadata have no version")
        version = values.pop("version")
        if version not in range(1, VERSION + 1):
            raise ReaderError(
                f"the model's metadata have version {version!r}; this reader knows up to {VERSION}: update it"
            )
        parts = {"shape": InputShape, "promise": Promise, "reference": Reference}
        for name, part in parts.items():
            if values.get(name) is not None:
                values[name] = _build(part, values[name], name)
        metadata: ModelMetadata = _build(cls, values, "metadata")
        return metadata


def parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReaderError(f"the model's metadata are not JSON ({error})") from None


_NUMBERS = {"int": int, "float": (int, float), "str": str}


def _build(kind: Any, values: Any, name: str) -> Any:
    """A dataclass from a JSON object, with its fields and types checked."""
    if not isinstance(values, dict):
        raise ReaderError(f"the model's {name} is {values!r:.60}, expected fields")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    wrong = [key for key in values if key not in fields]
    missing = [key for key, field in fields.items() if key not in values and field.default is dataclasses.MISSING]
    # Strict, unlike the program's own JSON: a field that this reader does not know may change how images must be read.
    if wrong or missing:
        problems = [f"{key} is missing" for key in missing] + [f"{key} is unknown" for key in wrong]
        raise ReaderError(f"the model's {name} is damaged: {', '.join(problems)}")
    for key, value in values.items():
        kind_of_field = str(getattr(fields[key].type, "__name__", fields[key].type))
        if kind_of_field in _NUMBERS and (
            not isinstance(value, _NUMBERS[kind_of_field]) or isinstance(value, bool)  # type: ignore[arg-type]
        ):
            raise ReaderError(f"the model's {name} has {key}={value!r:.60}, expected {kind_of_field}")
        if kind_of_field == "float" and not _is_finite(value):
            raise ReaderError(f"the model's {name} has {key}={value!r:.60}, expected a finite number")
        if kind_of_field.startswith("tuple"):
            if not isinstance(value, list) or not all(map(_is_finite, value)):
                raise ReaderError(f"the model's {name} has {key}={value!r:.60}, expected a list of finite numbers")
            values[key] = tuple(value)
    return kind(**values)


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # JSON has whole numbers of any size
        return False
