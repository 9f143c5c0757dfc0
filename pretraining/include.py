"""Makes the included weights of a training: python -m pretraining.include WORKDIR

    apt-get install fonts-liberation fonts-freefont-ttf fonts-lato fonts-wqy-microhei
    apt-get download $(cat pretraining/fonts.txt) && for file in *.deb; do dpkg -x $file fonts; done
    python -m pretraining.various images --count=180000 --seed=11 --fonts=fonts
    python main.py --workdir=learned --stage=records --images=images
    python main.py --workdir=learned --stage=train --flagfile=pretraining/train.flags
    python -m pretraining.include learned

It keeps what the network is read with, and a hash of every code that had a part in the training. The weights that are
there are of these commands. Those of a further training, with --initialize_from=included and other images, would keep
the hashes of both.
"""

import sys

import numpy as np

from pipeline.model import included
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.state import TrainingState
from pipeline.model.variables import reading_arrays
from pipeline.workdir import Workdir
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.split import TRAIN, VALIDATION
from records.tfrecord.framing import read_records


def learned_hashes(manifest: Manifest, state: TrainingState) -> set[int]:
    """Those of the codes that a training on the records learned, and of those that its initial weights had learned."""
    shards = [path for split in (TRAIN, VALIDATION) for path in manifest.paths(split)]
    hashes = {included.hash_of(schema.decode(data)[2]) for path in shards for _, data in read_records(path)}
    earlier = {training.fingerprint for training in state.provenance.earlier}
    return hashes | included.LearnedCodes.load().hashes if earlier & included.fingerprints() else hashes


def main(arguments: list[str]) -> None:
    workdir = Workdir(arguments[0])
    best = Checkpoints(workdir.checkpoints).choose("best")
    hashes = learned_hashes(Manifest.load(workdir.records), best.state)  # before the folder is emptied
    folder = Checkpoints(included.FOLDER)
    folder.clear()
    folder.save(best.step, dict(reading_arrays(best.arrays)), best.state)
    np.save(included.CODES, np.array(sorted(hashes), np.uint64))
    print(f"{included.FOLDER}: step {best.step:,}, {len(hashes):,} codes")


if __name__ == "__main__":
    main(sys.argv[1:])
