"""The check stage: what this machine has, what a run with these settings needs, and whether the records are intact.

It must work where packages are missing, TensorFlow among them: reporting that is its purpose.
"""

import configparser
import dataclasses
import errno
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from pipeline.config import RunConfig
from pipeline.machine.memory import available_memory, total_memory
from pipeline.workdir import Workdir
from records.errors import DigitwiseError

OK, WARNING, MISSING = "ok", "warning", "missing"
_MARKS = {OK: "ok", WARNING: "!", MISSING: "MISSING"}
_OLDEST_PYTHON = (3, 11)  # as setup.cfg says; hashlib.file_digest and typing.Self came with it
_TENSORFLOW_SECONDS = 120  # a first import from a slow disk takes a minute
_SAMPLE_IMAGES = 8
_FILE_BLOCK = 4096  # bytes that a file takes at least, on most file systems
# For TensorFlow, the network, records kept in memory, and the workers.
_TRAINING_MEMORY = 2 << 30
_TRAINING_STAGES = {"train", "test", "folds", "cleanings"}
# So many take a minute to generate, and nobody wants to hear of a broken TensorFlow after that.
_MANY_IMAGES = 200_000
_ONLY_FOR_TRAINING = ("tensorflow", "tensorboard", "matplotlib")

_LIST_DEVICES = """
import json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
devices = [[d.device_type, tf.config.experimental.get_device_details(d).get("device_name", d.name)]
           for d in tf.config.list_physical_devices()]
print(json.dumps({"version": tf.__version__, "devices": devices, "cuda": tf.test.is_built_with_cuda()}))
"""

TensorFlowProcess = subprocess.Popen[str]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One row of the table: what was checked, what was found, and how to fix it."""

    what: str
    found: str
    state: str = OK
    fix: str = ""


def check(config: RunConfig, workdir: Workdir) -> int:
    """Prints the table; the result is the exit code."""
    alone = config.ordered_stages == ("check",)
    needs_training = alone or bool(_TRAINING_STAGES & set(config.ordered_stages))
    gpus = _driver_gpus()
    # Started first: it takes seconds, in which all else is checked. Where nothing long comes before it, and there is no
    # GPU that it could miss, the training may as well be the first to import it.
    is_tried = alone or (needs_training and (bool(gpus) or _generates_many(config)))
    process = _start_tensorflow() if is_tried else None
    findings = [_python(), *_packages(needs_training)]
    findings += [_cores(config), _memory(), *_disk(config, workdir), _writable(workdir), *_inputs(config)]
    findings += _tensorflow(process, gpus)
    for line in table(findings):
        print(line)
    intact = not alone or _records_are_intact(config, workdir)
    missing = [finding for finding in findings if finding.state == MISSING]
    if missing:
        print(f"check: fix {len(missing)} of {len(findings)} first:")
        for finding in missing:
            print(f"  {finding.what}: {finding.fix}")
    return 1 if missing or not intact else 0


def table(findings: list[Finding]) -> list[str]:
    """The rows as aligned lines."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        fix = f"  ({finding.fix})" if finding.fix and finding.state == WARNING else ""
        lines.append(f"  {finding.what:<{width}}  {_MARKS[finding.state]:<7}  {finding.found}{fix}")
    return lines


def requirements() -> list[str]:
    """The core dependencies as the project's own files name them."""
    setup = pathlib.Path(__file__).parents[2] / "setup.cfg"
    parser = configparser.ConfigParser()
    if parser.read(setup, encoding="utf-8"):
        return parser["options"]["install_requires"].split()
    return [line for line in importlib.metadata.requires("digitwise") or () if "extra ==" not in line]


def _python() -> Finding:
    found = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    if sys.version_info < _OLDEST_PYTHON:
        wanted = ".".join(map(str, _OLDEST_PYTHON))
        return Finding("Python", found, MISSING, f"install Python {wanted} or newer")
    return Finding("Python", found)


def _packages(needs_training: bool) -> list[Finding]:
    """A row for each dependency."""
    findings = []
    for requirement in requirements():
        match = re.match(r"([A-Za-z0-9._-]+)(?:>=([0-9.]+))?", requirement)
        assert match, f"setup.cfg has the requirement {requirement!r}"
        name, oldest = match[1], match[2]
        install = f"pip install '{requirement}'"
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            state = WARNING if name in _ONLY_FOR_TRAINING and not needs_training else MISSING
            findings.append(Finding(name, "not installed", state, install))
            continue
        if oldest and _numbers(version) < _numbers(oldest):
            findings.append(Finding(name, f"{version}, older than {oldest}", MISSING, install))
        else:
            findings.append(Finding(name, version))
    return findings


def _numbers(version: str) -> list[int]:
    # Three numbers are enough for a comparison, and need no package that might be missing here.
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _cores(config: RunConfig) -> Finding:
    return Finding("cores", f"{os.cpu_count()}, worker processes: {config.processes}")


def _memory() -> Finding:
    total, free = total_memory(), available_memory()
    if total is None:
        return Finding("memory", "unknown on this system")
    found = f"{size(free)} free of {size(total)}"
    if free < _TRAINING_MEMORY:
        return Finding("memory", found, WARNING, f"training needs about {size(_TRAINING_MEMORY)}")
    return Finding("memory", found)


def _disk(config: RunConfig, workdir: Workdir) -> list[Finding]:
    """Rows for the fonts and the disk; the space needed is estimated from a few rendered images, if any are needed."""
    free = shutil.disk_usage(_existing(workdir.root)).free
    if not _renders(config):
        return [Finding("disk", f"{size(free)} free")]
    try:
        needed, fonts = _need(config)
    except DigitwiseError as error:
        return [Finding("fonts", str(error), MISSING, str(error)), Finding("disk", f"{size(free)} free")]
    except ImportError as error:
        return [Finding("disk", f"{size(free)} free; how much is needed is unknown without {error.name}", WARNING)]
    found = f"{size(free)} free, about {size(needed)} needed for {config.generate.num_images:,} images"
    if free < needed:
        fix = "make room, or use another --workdir or fewer --num_images"
        return [fonts, Finding("disk", found, MISSING, fix)]
    return [fonts, Finding("disk", found)]


def _renders(config: RunConfig) -> bool:
    """Whether the run would render images; check alone covers everything that a run may need."""
    if config.records.images or config.foreign.records:
        return config.synthetic_share > 0
    stages = set(config.ordered_stages)
    return stages == {"check"} or "generate" in stages or config.synthetic_share > 0


def _inputs(config: RunConfig) -> list[Finding]:
    """Rows for the folders that the settings name."""
    findings = []
    if config.records.images:
        found, state = config.records.images, OK
        if not os.path.isdir(found):
            found, state = f"{found} is not a folder", MISSING
        elif not _has_image(found):
            found, state = f"{found} has no image in it", MISSING
        findings.append(Finding("images", found, state, "set --images to a folder of labelled images"))
    checkpoints = {"--checkpoint": config.test.checkpoint, "--initialize_from": config.train.given_weights}
    for flag, folder in checkpoints.items():
        if folder:
            findings.append(_given(flag, folder))
    return findings


def _has_image(folder: str) -> bool:
    try:
        from records.images.folder import image_keys
    except ImportError:  # told of by the packages' rows
        return True
    return next(image_keys(folder), None) is not None


def _given(flag: str, folder: str) -> Finding:
    try:
        from pipeline.model.checkpoints import Checkpoints

        return Finding("checkpoints", str(Checkpoints.given(flag, folder).folder))
    except DigitwiseError as error:
        return Finding("checkpoints", str(error), MISSING, f"set {flag} to a checkpoint folder or a workdir")
    except ImportError as error:
        return Finding("checkpoints", f"{folder}, not checked without {error.name}", WARNING)


def _need(config: RunConfig) -> tuple[float, Finding]:
    """(bytes needed for images and records, the row for the fonts)."""
    from pipeline.drawing.renderer import Drawing, SyntheticSource, image_key

    drawing = Drawing.of(config.code, config.generate.drawing)
    source = SyntheticSource(drawing, _SAMPLE_IMAGES)
    sizes = [len(source.load(image_key(index, "", False))) for index in range(_SAMPLE_IMAGES)]
    in_records = sum(sizes) / len(sizes)
    in_files = sum(-(-s // _FILE_BLOCK) * _FILE_BLOCK for s in sizes) / len(sizes)
    has_files = config.records.source == "images" and not config.records.images
    fonts = Finding("fonts", ", ".join(name for name, _ in drawing.font_hashes))
    return config.generate.num_images * (in_records + (in_files if has_files else 0)), fonts


def _writable(workdir: Workdir) -> Finding:
    folder = _existing(workdir.root)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("workdir", f"{workdir.root} is writable")
    except OSError as error:
        found = f"{folder} is not writable ({error.strerror})"
        fix = "use another --workdir"
        if error.errno in (errno.EACCES, errno.EPERM):
            fix = f"chmod u+w {folder}, or {fix}"
        elif error.errno == errno.EROFS:
            fix = f"mount the file system of {folder} writable, or {fix}"
        return Finding("workdir", found, MISSING, fix)


def _existing(path: pathlib.Path) -> pathlib.Path:
    """The folder itself, or the first one above it that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def _start_tensorflow() -> TensorFlowProcess:
    """Lists TensorFlow's devices in another process: the import takes seconds and can crash the process that tries."""
    # -P: a tensorflow.py or json.py in the current directory must not be run.
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _LIST_DEVICES], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _generates_many(config: RunConfig) -> bool:
    return "generate" in config.ordered_stages and config.generate.num_images >= _MANY_IMAGES


def _tensorflow(process: TensorFlowProcess | None, gpus: list[str]) -> list[Finding]:
    """Rows for the devices that TensorFlow sees, beside those that the driver sees."""
    if process is None:
        return [Finding("GPUs", ", ".join(gpus) or "none")]
    try:
        output, _ = process.communicate(timeout=_TENSORFLOW_SECONDS)
        seen = json.loads(output.splitlines()[-1])  # the last line: libraries may print before it
    except subprocess.TimeoutExpired:
        _end(process)
        found = f"its import took longer than {_TENSORFLOW_SECONDS} s"
        return [Finding("TensorFlow", found, WARNING, "the machine is busy, or its disk slow")]
    except (ValueError, IndexError):
        _end(process)
        return [Finding("TensorFlow", "it could not be imported", MISSING, "pip install --force-reinstall tensorflow")]
    devices = [f"{kind} {name}" for kind, name in seen["devices"]]
    findings = [Finding("TensorFlow", f"{seen['version']} on {', '.join(devices)}")]
    if not gpus:
        return [*findings, Finding("GPUs", "none; training uses the CPU")]
    usable = sum(kind == "GPU" for kind, _ in seen["devices"])
    # The usual cause: TensorFlow was installed without the CUDA libraries, and would silently train on the CPU.
    if usable < len(gpus):
        fix = "pip install 'tensorflow[and-cuda]'"
        return [*findings, Finding("GPUs", f"{', '.join(gpus)}; TensorFlow sees {usable}", WARNING, fix)]
    return [*findings, Finding("GPUs", ", ".join(gpus))]


def _end(process: TensorFlowProcess) -> None:
    process.kill()
    process.communicate()


def _driver_gpus() -> list[str]:
    try:
        result = subprocess.run(["nvidia-smi", "-L"], check=False, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split(" (")[0] for line in result.stdout.splitlines() if line.startswith("GPU ")]


def _records_are_intact(config: RunConfig, workdir: Workdir) -> bool:
    """Verifies the records in the workdir, if there are any."""
    if not workdir.records.exists():
        return True
    from pipeline.stages.verification import verify

    return verify(workdir.records, config.processes)


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):  # powers of 1000, as disks are sold
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
