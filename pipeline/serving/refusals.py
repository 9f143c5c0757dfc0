"""A request that is refused: its status and one sentence, which is all that the client gets.

raise Refused(413, "the body has more than 8,388,608 bytes")
"""


class Refused(Exception):
    def __init__(self, status: int, sentence: str, retry_seconds: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_seconds = retry_seconds

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_seconds)} if self.retry_seconds else {}
