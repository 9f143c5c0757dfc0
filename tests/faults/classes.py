"""The classes of faults: {name: what tries it once, given a Lab and a source of random numbers}."""

from tests.faults import damage, disks, hostile, kills, services, surroundings

CLASSES = {
    "kill -9 while writing images and records": kills.kill_data,
    "kill -9 while training and testing": kills.kill_training,
    "kill -9 inside saves of images and records": kills.kill_in_saves_data,
    "kill -9 inside saves of training and test": kills.kill_in_saves_training,
    "SIGTERM, Ctrl-C and bursts, images and records": kills.signals_data,
    "SIGTERM, Ctrl-C and bursts, training and test": kills.signals_training,
    "two runs in one workdir": kills.two_runs,
    "disk full from some write on": disks.full_disk_at_any_write,
    "files limited in size": disks.large_files_refused,
    "damaged files": damage.damaged_file,
    "hostile records": hostile.records,
    "hostile images": hostile.images,
    "hostile labels": hostile.labels,
    "hostile mappings": hostile.mappings,
    "hostile checkpoints": hostile.checkpoints,
    "odd environments": surroundings.environment,
    "jumping clocks": surroundings.clock,
    "nowhere to print": surroundings.nowhere_to_print,
    "lost and frozen peers": surroundings.lost_peer,
}
if disks.can_mount():
    CLASSES |= {"full disk (tmpfs)": disks.full_disk, "read-only disk": disks.read_only}
if services.can_serve():
    CLASSES |= {"kill -9 while labelling": services.labelling}
if services.can_export():
    CLASSES |= {"kill -9 while exporting": services.exporting}
