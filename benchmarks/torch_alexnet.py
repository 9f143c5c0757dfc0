"""The network `alexnet` in PyTorch, layer by layer, as a peer for speed.

peer = TorchAlexnet(height=48, num_positions=4, num_outputs=10).to(memory_format=torch.channels_last)
copy_weights(recognizer.network, peer)
peer(images)                         # uint8 [batch, 1, height, width] to logits [batch, positions, outputs]
train = training(peer, images, label_ids)
train()                              # one step
read = reading(peer, images)
label_ids, probabilities, confidences = read()

With the weights of the network here it gives the same logits. PyTorch is imported with this module.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from alexnet.alexnet import BASE

if TYPE_CHECKING:
    import keras

_FLAT = 4.0  # of alexnet.standardization
_EPSILON, _MOMENTUM = 1e-3, 0.1  # of alexnet.normalization, as PyTorch counts the momentum


class TorchAlexnet(nn.Module):
    """For grey images of even size."""

    def __init__(self, height: int, num_positions: int, num_outputs: int) -> None:
        super().__init__()
        first, second, *deep = BASE.filters
        self.conv1 = _convolution(2, first, 5, stride=2)
        self.conv2 = _convolution(first, second, 3, padding=1)
        self.conv3 = _convolution(second, deep[0], 3, padding=1)
        self.conv4 = _convolution(deep[0], deep[1], 3, padding=1)
        self.conv5 = _convolution(deep[1], deep[2], 3, padding=1)
        self.columns = _convolution(deep[2], BASE.column, (math.ceil(height / 16), 1))
        self.measure = nn.Linear(BASE.column, 2, bias=False)
        self.held = nn.Parameter(torch.tensor(0.0))
        self.sharpness = nn.Parameter(torch.tensor(math.log(6.6)))
        self.logits = nn.Linear(BASE.column, num_outputs)
        self.register_buffer("middles", torch.arange(num_positions) + 0.5, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.pad(_standardized(images), (1, 2, 1, 2))  # where TensorFlow pads for a stride of 2
        x = functional.max_pool2d(self.conv1(x), 2)
        x = functional.max_pool2d(self.conv2(x), (2, 1), ceil_mode=True)
        x = functional.max_pool2d(self.conv3(x), (2, 1), ceil_mode=True)
        x = x + self.conv4(x)
        x = x + self.conv5(x)
        columns = self.columns(x).squeeze(2).transpose(1, 2)
        return self.logits(torch.einsum("bcp,bcs->bps", self._shares(columns), columns))

    def _shares(self, columns: torch.Tensor) -> torch.Tensor:
        held, fitness = self.measure(columns).split(1, dim=-1)
        held = torch.sigmoid(held + self.held)
        count = held.cumsum(1) - held / 2
        scores = fitness - self.sharpness.exp() * (count - self.middles).square()
        return scores.softmax(1)


def training(peer: TorchAlexnet, images: np.ndarray, label_ids: np.ndarray) -> Callable[[], None]:
    """A step as the program trains: cross-entropy over all positions, AdamW in one kernel."""
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-5, weight_decay=0.1, fused=True)
    pixels, wanted = _channels_first(images), torch.from_numpy(label_ids).long()

    def step() -> None:
        peer.train()
        optimizer.zero_grad()
        functional.cross_entropy(peer(pixels).flatten(0, 1), wanted.flatten()).backward()
        optimizer.step()

    return step


def reading(peer: TorchAlexnet, images: np.ndarray) -> Callable[[], tuple[np.ndarray, ...]]:
    """From pixels to label ids, their probabilities and the confidence of each code, as arrays."""

    def read() -> tuple[np.ndarray, ...]:
        peer.eval()
        with torch.inference_mode():
            probabilities, label_ids = peer(_channels_first(images)).softmax(-1).max(-1)
            return label_ids.numpy(), probabilities.numpy(), probabilities.prod(1).numpy()

    return read


def _channels_first(images: np.ndarray) -> torch.Tensor:
    """As PyTorch counts the axes; in memory the channels stay last."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _convolution(before: int, after: int, size: int | tuple[int, int], stride: int = 1, padding: int = 0) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, padding, bias=False),
        nn.BatchNorm2d(after, eps=_EPSILON, momentum=_MOMENTUM),
        nn.ReLU(inplace=True),
    )


def _standardized(images: torch.Tensor) -> torch.Tensor:
    pixels = images.float()
    pixels = pixels - pixels.mean((2, 3), keepdim=True)
    deviation = pixels.square().mean((1, 2, 3), keepdim=True).sqrt()
    pixels = pixels / (deviation + _FLAT)
    distance = (pixels.square().sum(1, keepdim=True) + 1e-3).sqrt()
    return torch.cat([pixels, distance], 1)


def copy_weights(network: "keras.Model", peer: TorchAlexnet) -> None:
    """Those of the network here, whose layers have the same names."""
    with torch.no_grad():
        for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "columns"):
            convolution, norm, _ = getattr(peer, name)
            kernel = network.get_layer(name).get_weights()[0]
            _assign(convolution.weight, kernel.transpose(3, 2, 0, 1))
            gamma, beta, mean, variance = network.get_layer(f"{name}_norm").get_weights()
            _assign(norm.weight, gamma)
            _assign(norm.bias, beta)
            _assign(norm.running_mean, mean)
            _assign(norm.running_var, variance)
        positions = network.get_layer("positions")
        _assign(peer.measure.weight, positions.measure.kernel.numpy().T)
        _assign(peer.held, positions.held.numpy())
        _assign(peer.sharpness, positions.sharpness.numpy())
        kernel, bias = network.get_layer("logits").get_weights()
        _assign(peer.logits.weight, kernel.T)
        _assign(peer.logits.bias, bias)


def _assign(theirs: torch.Tensor, ours: np.ndarray) -> None:
    theirs.copy_(torch.from_numpy(np.array(ours)))


def same_network(network: "keras.Model", images: np.ndarray, tolerance: float) -> list[TorchAlexnet]:
    """The peer of a network with its weights, once with each of PyTorch's two orders of an image in memory; raises
    where their parameters or their logits differ."""
    ours = network(images, training=False).numpy()
    peers = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        peer = TorchAlexnet(images.shape[1], *ours.shape[1:]).to(memory_format=memory_format)
        copy_weights(network, peer)
        count = sum(values.numel() for values in peer.parameters())
        if count != (wanted := sum(int(np.prod(weights.shape)) for weights in network.trainable_weights)):
            raise SystemExit(f"the network in PyTorch has {count:,} parameters to learn, ours has {wanted:,}")
        peer.eval()
        with torch.inference_mode():
            difference = np.abs(peer(_channels_first(images)).numpy() - ours).max()
        if not difference <= tolerance:
            raise SystemExit(f"the network in PyTorch gives other logits: they differ by up to {difference:.2g}")
        peers.append(peer)
    return peers
