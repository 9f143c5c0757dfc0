"""The one kind of exception that is the user's to mend: its text is the whole message."""


class DigitwiseError(Exception):
    """Says what was got, where, and what is allowed or what to do, in one line."""


class DamagedRecords(DigitwiseError):
    """A shard or a folder of records is not what it was when it was written."""
