"""The settings for using a trained network: which codes are possible, how sure is sure enough, and what is printed."""

import dataclasses
from typing import Literal, get_args

from pipeline.values import SettingError, check_alphabet, check_choice

OutputFormat = Literal["table", "jsonl", "csv"]

OUTPUT_FORMATS: tuple[str, ...] = get_args(OutputFormat)
# Spelled out here as --help lists them: what computes them takes NumPy.
CHECK_DIGITS: tuple[str, ...] = tuple(
    "luhn mod11-2 mod37-2 mod97-10 mod661-26 mod1271-36 mod11,10 mod27,26 mod37,36".split()
)


@dataclasses.dataclass(frozen=True)
class UseConfig:
    """Limits on what is read, and the share of accepted readings that may be wrong; None: nothing is promised."""

    output_format: OutputFormat = "table"
    allow: str | None = None
    pattern: str = ""
    codes: str = ""
    check: str = ""
    max_error: float | None = None

    def __post_init__(self) -> None:
        check_choice("--output_format", self.output_format, OUTPUT_FORMATS)
        if self.allow is not None:
            check_alphabet("--allow", self.allow)
        if self.max_error is not None and not 0 < self.max_error < 1:
            raise SettingError(f"--max_error={self.max_error}: expected a share between 0 and 1, such as 0.001")
