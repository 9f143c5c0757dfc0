"""The one kind of exception that is the user's to fix: its text is the whole message."""


class ReaderError(ValueError):
    """Says what was got, where, and what is allowed or what to do, in one line."""
