"""The networks: images in, logits out. They know no loss; `alexnet.readout` owns loss and decoding.

readout = READOUTS["positions"](num_classes=10, min_length=4, max_length=4)
network = NETWORKS["alexnet"]((60, 160, 1), readout.num_outputs, readout.num_positions)
readout.check_fits(network.output_shape)
loss = readout.loss(network(images, training=True), label_ids)
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from alexnet.catalogue import CATALOGUE

if TYPE_CHECKING:
    import keras


class _Networks(Mapping[str, "Callable[..., keras.Model]"]):
    """{name: build}. A module, and TensorFlow with it, is imported only when its network is asked for."""

    def __getitem__(self, name: str) -> "Callable[..., keras.Model]":
        return importlib.import_module(CATALOGUE[name].module).build

    def __iter__(self) -> Iterator[str]:
        return iter(CATALOGUE)

    def __len__(self) -> int:
        return len(CATALOGUE)


NETWORKS: Mapping[str, "Callable[..., keras.Model]"] = _Networks()
