"""The exceptions that are the user's to fix: their text is the whole message."""


class ReaderError(ValueError):
    """Says what was got, where, and what is allowed or what to do, in one line."""


class ModelError(ReaderError):
    """The model's file is at fault: it is damaged, or is not what its metadata say."""
