"""Makes the included weights of a training: python -m pretraining.include WORKDIR

    apt-get install fonts-liberation fonts-freefont-ttf fonts-lato fonts-wqy-microhei
    apt-get download $(cat pretraining/fonts.txt) && for file in *.deb; do dpkg -x $file fonts; done
    python -m pretraining.various images --count=180000 --seed=11 --fonts=fonts
    python main.py --workdir=learned --stage=records --images=images
    python main.py --workdir=learned --stage=train --flagfile=pretraining/train.flags
    python -m pretraining.include learned

It keeps what the network is read with, and a hash of every code that had a part in the training.
"""

import sys

import numpy as np

from pipeline.model import included
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.variables import reading_arrays
from pipeline.workdir import Workdir
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.split import TRAIN, VALIDATION
from records.tfrecord.framing import read_records


def main(arguments: list[str]) -> None:
    workdir = Workdir(arguments[0])
    best = Checkpoints(workdir.checkpoints).choose("best")
    given = reading_arrays(best.arrays)
    folder = Checkpoints(included.FOLDER)
    folder.clear()
    folder.save(best.step, dict(given), best.state)
    manifest = Manifest.load(workdir.records)
    shards = [path for split in (TRAIN, VALIDATION) for path in manifest.paths(split)]
    codes = {schema.decode(data)[2] for path in shards for _, data in read_records(path)}
    np.save(included.CODES, np.array(sorted(map(included.hash_of, codes)), np.uint64))
    print(f"{included.FOLDER}: step {best.step:,}, {len(codes):,} codes")


if __name__ == "__main__":
    main(sys.argv[1:])
