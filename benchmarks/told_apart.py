"""Whether a network can tell `--renderer=fast` from `--renderer=captcha`: python -m benchmarks.told_apart

One line of JSON: the accuracy, on fresh pictures of which half are the package's, of a small network that was trained
to tell the two apart; 0.5 is chance. The two draw from different seeds, so no picture is in both.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence

import numpy as np

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.renderer import Drawing


def pictures(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels, whether the package drew them), half of them each."""
    drawings = [
        Drawing.of(CodeConfig(), DrawingConfig(renderer=renderer, seed=seed + number))
        for number, renderer in enumerate(("fast", "captcha"))
    ]
    pixels = [np.asarray(drawings[index % 2].image(index // 2)) for index in range(num_images)]
    return np.array(pixels), np.arange(num_images) % 2


def accuracy(num_trained: int, num_tested: int, epochs: int) -> float:
    import keras

    keras.utils.set_random_seed(0)
    images = keras.Input((60, 160, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(images)
    for channels, stride in ((16, 2), (32, 2), (48, 2), (64, 2)):
        x = keras.layers.Conv2D(channels, 3, strides=stride, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(x))
    network.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    network.fit(
        *pictures(num_trained, seed=1_000), batch_size=64, epochs=epochs, verbose=2 if sys.stderr.isatty() else 0
    )
    return float(network.evaluate(*pictures(num_tested, seed=2_000), verbose=0)[1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    is_toy = parser.parse_args(arguments).toy
    num_trained, num_tested, epochs = (40, 20, 1) if is_toy else (8_000, 4_000, 4)
    found = accuracy(num_trained, num_tested, epochs)
    result = {"benchmark": "told_apart", "trained_on": num_trained, "tested_on": num_tested, "epochs": epochs}
    print(json.dumps({**result, "accuracy": round(found, 4), "two_deviations": round(1 / math.sqrt(num_tested), 4)}))


if __name__ == "__main__":
    main()
