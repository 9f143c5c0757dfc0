"""The REST form of TensorFlow Serving, so that its clients work here too; the outputs are those of the SavedModel.

POST /v1/models/digitwise:predict     {"instances": [{"b64": ...}]}, or with "signature_name": "pixels" rows of pixels
GET  /v1/models/digitwise             its state
GET  /v1/models/digitwise/metadata    its signatures
"""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from digitwise import Reading
from digitwise.metadata import ModelMetadata
from pipeline.serving.inputs import FILES, PIXELS, Prediction, parse_object
from pipeline.serving.limits import read_body
from pipeline.serving.read_routes import ReadRoutes
from pipeline.serving.refusals import Refused

MODEL_NAME = "digitwise"
VERSION = "1"


class TensorFlowServingRoutes:
    def __init__(self, read_routes: ReadRoutes, metadata: ModelMetadata) -> None:
        self._read_routes = read_routes
        self._metadata = metadata

    @property
    def routes(self) -> list[Route]:
        found = []
        for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
            found += [
                Route(f"{path}:predict", self.predict, methods=["POST"]),
                Route(f"{path}/metadata", self.signatures),
                Route(path, self.state),
            ]
        return found

    async def predict(self, request: Request) -> JSONResponse:
        _check_name(request)
        body = await read_body(request)
        asked = await run_in_threadpool(lambda: Prediction.parse(parse_object(body), self._metadata))
        readings = await self._read_routes.read_all(list(asked.images))
        for number, reading in enumerate(readings):
            if reading.code is None:
                # All or nothing: the format has no place for an error beside the predictions of the other images.
                raise Refused(400, f"image {number}: {reading.error}")
        rows = [_outputs(reading, self._metadata) for reading in readings]
        if asked.by_column:
            return JSONResponse({"outputs": {name: [row[name] for row in rows] for name in rows[0]}})
        return JSONResponse({"predictions": rows})

    async def state(self, request: Request) -> JSONResponse:
        _check_name(request)
        status = {"error_code": "OK", "error_message": ""}
        return JSONResponse({"model_version_status": [{"version": VERSION, "state": "AVAILABLE", "status": status}]})

    async def signatures(self, request: Request) -> JSONResponse:
        _check_name(request)
        shape = self._metadata.shape
        pixels = _tensor("DT_UINT8", -1, shape.height, shape.width, shape.channels)
        outputs = {
            "text": _tensor("DT_STRING", -1),
            "confidence": _tensor("DT_FLOAT", -1),
            "probabilities": _tensor("DT_FLOAT", -1, _places(self._metadata)),
            "accepted": _tensor("DT_BOOL", -1),
        }
        inputs = {FILES: {"files": _tensor("DT_STRING", -1)}, PIXELS: {"images": pixels}}
        method = "tensorflow/serving/predict"
        definitions = {
            name: {"inputs": given, "outputs": outputs, "method_name": method} for name, given in inputs.items()
        }
        # Twice signature_def: the response has a message of this name, and its only field is called so too.
        return JSONResponse(
            {
                "model_spec": {"name": MODEL_NAME, "signature_name": "", "version": VERSION},
                "metadata": {"signature_def": {"signature_def": definitions}},
            }
        )


def _check_name(request: Request) -> None:
    name, version = request.path_params["name"], request.path_params.get("version", VERSION)
    if (name, version) != (MODEL_NAME, VERSION):
        raise Refused(
            404, f"there is no model {name[:60]!r} of version {version[:20]!r}: there is {MODEL_NAME}, {VERSION}"
        )


def _places(metadata: ModelMetadata) -> int:
    """A ctc readout has one more, which only a reading that is too long fills."""
    return metadata.max_length + (metadata.readout == "ctc")


def _outputs(reading: Reading, metadata: ModelMetadata) -> dict[str, Any]:
    probabilities = [character.probability for character in reading.characters]
    return {
        "text": reading.code,
        "confidence": reading.confidence,
        "probabilities": probabilities + [0.0] * (_places(metadata) - len(probabilities)),
        "accepted": bool(reading.accepted),
    }


def _tensor(kind: str, *sizes: int) -> dict[str, Any]:
    # Text, as the JSON form of protocol buffers writes 64-bit integers; -1 is any size.
    dimensions = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": kind, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": ""}
