"""Labelling a folder of images: which image each session sees, and what it says about it.

desk = LabelDesk(FolderImages("photos"), Ordering(images, network))
session = desk.open_session()
card = desk.next(session)                  # the image under the cursor
desk.add(session, card.number, "4071")     # in labels.csv when this returns
desk.undo(session)                         # the card again, with the label that it had
"""

import dataclasses
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable

from digitwise import Reading
from pipeline.labelling.store import AlreadyLabelled, LabelStore
from pipeline.serving.refusals import Refused
from pipeline.serving.unlabelled import FolderImages, Ordering

MAX_LENGTH = 64
_SESSIONS = 200  # far more than people label one folder; pages that were left open must not fill the memory
_HELD_SECONDS = 600.0  # an image that is under a cursor is nobody else's for so long
_MIN_IN_BLOCK, _MAX_BLOCKS = 10, 40


@dataclasses.dataclass(frozen=True)
class Card:
    """An image to label: what a model read in it, and after an undo the label that it had."""

    number: int
    name: str
    reading: Reading | None
    label: str | None = None


@dataclasses.dataclass(frozen=True)
class Progress:
    images: int
    labelled: int
    unreadable: int
    looked_at: int  # by the model, or for its likeness to others
    skipped: int  # by this session


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Of a block of labels, in the order in which they were given: how many the model's reading agreed with."""

    labels: int  # up to the end of the block
    share: float


@dataclasses.dataclass
class _Session:
    store: LabelStore
    skipped: set[int] = dataclasses.field(default_factory=set)
    holds: int | None = None
    since: float = 0.0


class LabelDesk:
    """Thread safe. Other processes may label the same folder."""

    def __init__(self, images: FolderImages, order: Ordering, clock: Callable[[], float] = time.monotonic) -> None:
        self.images = images
        self._order = order
        self._clock = clock
        self._numbers = {name: number for number, name in enumerate(images.names)}
        self._lock = threading.RLock()
        self._sessions: dict[str, _Session] = {}
        self._store = LabelStore(images.folder)  # for reading; each session has one of its own

    def open_session(self) -> str:
        with self._lock:
            while len(self._sessions) >= _SESSIONS:  # the one that has been idle for longest
                del self._sessions[min(self._sessions, key=lambda name: self._sessions[name].since)]
            name = secrets.token_urlsafe(16)
            self._sessions[name] = _Session(LabelStore(self.images.folder), since=self._clock())
            return name

    def next(self, session: str) -> Card | None:
        """The image under the session's cursor, or the next; None where nothing is left for it."""
        with self._lock:
            mine = self._session(session)
            labelled = self._store.labels()
            candidates = self._order.numbers if mine.holds is None else (mine.holds, *self._order.numbers)
            taken = _held(self._sessions.values(), mine, self._clock())
            for number in candidates:
                if number in mine.skipped or number in taken or self.images.names[number] in labelled:
                    continue
                # An image that cannot be read is passed over here, and counted as unreadable.
                if not self._order.look(number):
                    return self._hold(mine, number)
            mine.holds = None
            return None

    def add(self, session: str, number: int, text: str) -> None:
        with self._lock:
            mine, name = self._session(session), self._name(number)
            try:
                mine.store.add(name, checked_label(text))
            except AlreadyLabelled as error:
                mine.holds = None
                raise Refused(409, str(error)) from None
            mine.holds = None

    def skip(self, session: str, number: int) -> None:
        with self._lock:
            mine = self._session(session)
            self._name(number)
            mine.skipped.add(number)
            mine.holds = None

    def unskip(self, session: str) -> None:
        with self._lock:
            self._session(session).skipped.clear()

    def undo(self, session: str) -> Card | None:
        """The session's last image again, its label taken back; None where there is none."""
        with self._lock:
            mine = self._session(session)
            before = self._store.labels()
            name = mine.store.undo()
            if name is None or name not in self._numbers:
                return None
            mine.skipped.discard(self._numbers[name])
            return dataclasses.replace(self._hold(mine, self._numbers[name]), label=before.get(name))

    def progress(self, session: str) -> Progress:
        with self._lock:
            labelled = sum(name in self._numbers for name in self._store.labels())
            skipped = len(self._session(session).skipped)
        order = self._order
        return Progress(len(self.images.names), labelled, len(order.problems), order.done, skipped)

    def agreement(self) -> list[Agreement]:
        with self._lock:
            labels = self._store.labels()
        readings = {self.images.names[number]: reading.code for number, reading in dict(self._order.readings).items()}
        agree = [readings[name] == text for name, text in labels.items() if name in readings]
        size = max(_MIN_IN_BLOCK, -(-len(agree) // _MAX_BLOCKS))
        blocks = (agree[start : start + size] for start in range(0, len(agree) - size + 1, size))
        return [Agreement((number + 1) * size, sum(block) / size) for number, block in enumerate(blocks)]

    def _session(self, name: str) -> _Session:
        session = self._sessions.get(name)
        if session is None:
            raise Refused(404, "this labelling session is over: load the page again")
        session.since = self._clock()
        return session

    def _name(self, number: int) -> str:
        if not 0 <= number < len(self.images.names):
            raise Refused(404, f"there is no image {number}: there are {len(self.images.names)}")
        return self.images.names[number]

    def _hold(self, session: _Session, number: int) -> Card:
        session.holds = number
        return Card(number, self.images.names[number], self._order.readings.get(number))


def _held(sessions: Iterable[_Session], mine: _Session, now: float) -> set[int]:
    """The images that other sessions are labelling."""
    others = (session for session in sessions if session is not mine and now - session.since < _HELD_SECONDS)
    return {session.holds for session in others if session.holds is not None}


def checked_label(text: str) -> str:
    """In the form in which a training reads it."""
    label = unicodedata.normalize("NFC", text.strip())
    if not label:
        raise Refused(400, "the label is empty: type what the image shows, or skip it")
    if len(label) > MAX_LENGTH:
        raise Refused(400, f"the label has {len(label)} characters; {MAX_LENGTH} are allowed")
    if not label.isprintable():
        raise Refused(400, f"the label {label[:60]!r} has characters that cannot be shown")
    return label
