"""The model that a server reads with: one image at a time from many requests, in batches.

with ServedModel(reader, looks=None) as model:
    reading = await model.read(data, "a.png")
"""

import asyncio
import base64
import concurrent.futures
import dataclasses
import io
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from digitwise import Busy, Reader, ReaderError, Reading, Recognizer
from digitwise.errors import ModelError
from digitwise.images import Pixels, Source
from pipeline.reading.output import reading_json
from pipeline.serving.columns import column_shares
from pipeline.serving.refusals import Refused
from records.errors import DigitwiseError

# Of images [batch, height, width, channels]: how much each position of the code looks at each column, if known.
Looks: TypeAlias = Callable[[Pixels], npt.NDArray[np.float32] | None]

_DECODERS = 4  # threads; what an image of the largest size takes while it is decoded adds up over them


@dataclasses.dataclass(frozen=True)
class Shown:
    """A reading with what a person wants to see beside it."""

    reading: Reading
    picture: str  # what the network was given, as a data: address
    looked: list[list[float]] | None  # for each character its share of each column


class ServedModel:
    def __init__(self, reader: Reader, looks: Looks | None = None) -> None:
        self.reader = reader
        self.metadata = reader.metadata
        self._looks = looks
        self._recognizer = Recognizer(reader)
        self._decoders = concurrent.futures.ThreadPoolExecutor(_DECODERS, "decoder")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Reads what still waits."""
        self._decoders.shutdown()
        self._recognizer.close()

    @property
    def waiting(self) -> int:
        return self._recognizer.waiting

    @property
    def suspended(self) -> str:
        """Why nothing is accepted at present; empty where the promise holds, or there is none."""
        alarm = self.reader.alarm
        return str(alarm) if alarm else ""

    async def read(self, source: Source, name: str = "") -> Reading:
        """One image; what is wrong with it is in the reading."""
        loop = asyncio.get_running_loop()
        try:
            # Decoding takes milliseconds of processor time: in the event loop it would hold up every other request.
            answer = await loop.run_in_executor(self._decoders, self._recognizer.submit, source, name)
            return await asyncio.wrap_future(answer)
        except Busy as error:
            raise Refused(429, str(error), retry_seconds=1) from None
        except ModelError:  # not the image's fault, but the server's
            raise
        except (ReaderError, DigitwiseError) as error:  # the other where a --check of the user's own fails
            return Reading(name, error=str(error), accepted=False)

    async def show(self, source: Source, name: str = "") -> Shown:
        reading = await self.read(source, name)
        if reading.code is None:
            return Shown(reading, "", None)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._shown, reading, source)

    def _shown(self, reading: Reading, source: Source) -> Shown:
        pixels = self.reader.prepare(source)
        return Shown(reading, _data_address(pixels), self._looked(pixels, reading))

    def _looked(self, pixels: Pixels, reading: Reading) -> list[list[float]] | None:
        """A second pass for the few images that a person looks at; all others take none."""
        if self.metadata.readout == "ctc":
            label_ids = [self.metadata.alphabet.index(each.character) for each in reading.characters]
            columns = self.reader.network.run(pixels[None]).log_probabilities[0]
            shares: npt.NDArray[Any] = column_shares(columns, label_ids)
        else:
            looked = self._looks(pixels[None]) if self._looks else None
            if looked is None:
                return None
            # Positions behind the end of the code looked nowhere in particular.
            shares = looked[0][: len(reading.characters)]
        return [[round(float(share), 3) for share in row] for row in shares]


def shown_json(shown: Shown) -> dict[str, Any]:
    return {**reading_json(shown.reading), "picture": shown.picture, "looked": shown.looked}


def _data_address(pixels: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
