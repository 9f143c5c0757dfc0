"""Numbers on the command line, with messages in the words of this project."""

from absl import flags


class WholeNumber(flags.IntegerParser):
    def convert(self, argument: int | str) -> int:
        try:
            return int(super().convert(argument))
        except (TypeError, ValueError):
            raise ValueError("expected a whole number") from None


class Number(flags.FloatParser):
    def convert(self, argument: int | float | str) -> float:
        try:
            return float(super().convert(argument))
        except (TypeError, ValueError, OverflowError):
            raise ValueError("expected a number") from None
