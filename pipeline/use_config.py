"""The settings for using a trained network: which codes are possible, how sure is sure enough, what is printed, and who
is served."""

import dataclasses
from typing import Literal, get_args

from pipeline.values import SettingError, check_alphabet, check_choice, check_number

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
        # Without the ends: no number of images certifies 0, and 1 promises nothing.
        if self.max_error is not None and not 0 < self.max_error < 1:
            raise SettingError(f"--max_error={self.max_error}: expected a share between 0 and 1, such as 0.001")


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Read images that come over HTTP, and label images in the browser."""

    host: str = "127.0.0.1"
    port: int = 8000
    token_file: str = ""
    # Far above what a person or one program in sequence sends: it is there to stop a client that loops.
    max_rate: float = 2_000.0

    def __post_init__(self) -> None:
        if not self.host:
            raise SettingError("--host is empty: expected an address, such as 127.0.0.1, or 0.0.0.0 for all")
        check_number("--port", self.port, 0, 65_535)  # TCP has no ports above
        check_number("--max_rate", self.max_rate, 0, 1_000_000)
