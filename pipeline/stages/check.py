"""The check stage: what this machine has, what a run of these settings needs, and whether the records are sound.

It works where packages are missing, TensorFlow among them: telling so is its purpose.
"""

import configparser
import dataclasses
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

from pipeline.machine.memory import available_memory, total_memory
from records.errors import DigitwiseError

OK, WARNING, MISSING = "ok", "warning", "missing"
_MARKS = {OK: "ok", WARNING: "!", MISSING: "MISSING"}
_OLDEST_PYTHON = (3, 11)
_PROBE_SECONDS = 120
_SAMPLE_IMAGES = 8
_FILE_BLOCK = 4096
_TRAINING_MEMORY = 2 << 30
_TRAINING_STAGES = {"train", "test", "folds", "cleanings"}

_PROBE = """
import json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
devices = [[d.device_type, tf.config.experimental.get_device_details(d).get("device_name", d.name)]
           for d in tf.config.list_physical_devices()]
print(json.dumps({"version": tf.__version__, "devices": devices, "cuda": tf.test.is_built_with_cuda()}))
"""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One row of the table: what was looked at, what was found, and how to mend it."""

    what: str
    found: str
    state: str = OK
    mend: str = ""


def check(config, workdir):
    """Prints the table; the result is the exit code."""
    needs_training = bool(_TRAINING_STAGES & set(config.ordered_stages)) or config.ordered_stages == ("check",)
    probe = _start_probe() if needs_training else None
    findings = [_python(), *_packages(needs_training)]
    findings += [_cores(config), _memory(), *_disk(config, workdir), _writable(workdir), *_inputs(config)]
    findings += _tensorflow(probe)
    for line in table(findings):
        print(line)
    sound = config.ordered_stages != ("check",) or _records_are_sound(config, workdir)
    missing = [finding for finding in findings if finding.state == MISSING]
    if missing:
        print(f"check: {len(missing)} of {len(findings)} must be mended first:")
        for finding in missing:
            print(f"  {finding.what}: {finding.mend}")
        return 1
    return 0 if sound else 1


def table(findings):
    """The rows as aligned lines."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        mend = f"  ({finding.mend})" if finding.mend and finding.state == WARNING else ""
        lines.append(f"  {finding.what:<{width}}  {_MARKS[finding.state]:<7}  {finding.found}{mend}")
    return lines


def requirements():
    """The core dependencies as the project's own files name them."""
    setup = pathlib.Path(__file__).parent.parent / "setup.cfg"
    parser = configparser.ConfigParser()
    if parser.read(setup, encoding="utf-8"):
        return parser["options"]["install_requires"].split()
    return [line for line in importlib.metadata.requires("digitwise") or () if "extra ==" not in line]


def _python():
    found = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    if sys.version_info < _OLDEST_PYTHON:
        wanted = ".".join(map(str, _OLDEST_PYTHON))
        return Finding("Python", found, MISSING, f"install Python {wanted} or newer")
    return Finding("Python", found)


def _packages(needs_training):
    """A row for each dependency."""
    findings = []
    for requirement in requirements():
        match = re.match(r"([A-Za-z0-9._-]+)(?:>=([0-9.]+))?", requirement)
        name, least = match[1], match[2]
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            optional = name in ("tensorflow", "tensorboard", "matplotlib") and not needs_training
            state = WARNING if optional else MISSING
            findings.append(Finding(name, "not installed", state, f"pip install '{requirement}'"))
            continue
        too_old = least and _numbers(version) < _numbers(least)
        state = MISSING if too_old else OK
        found = f"{version}, older than {least}" if too_old else version
        findings.append(Finding(name, found, state, f"pip install '{requirement}'" if too_old else ""))
    return findings


def _numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _cores(config):
    return Finding("cores", f"{os.cpu_count()}, worker processes: {config.processes}")


def _memory():
    total, free = total_memory(), available_memory()
    if total is None:
        return Finding("memory", "not known on this system")
    found = f"{size(free)} free of {size(total)}"
    if free < _TRAINING_MEMORY:
        return Finding("memory", found, WARNING, f"training takes about {size(_TRAINING_MEMORY)}")
    return Finding("memory", found)


def _disk(config, workdir):
    """Rows for the fonts and for the disk, whose need is reckoned from a few images drawn for it, where any are."""
    free = shutil.disk_usage(_existing(workdir.root)).free
    if not _draws(config):
        return [Finding("disk", f"{size(free)} free")]
    try:
        needed, fonts = _need(config)
    except DigitwiseError as error:
        return [Finding("fonts", str(error), MISSING, str(error)), Finding("disk", f"{size(free)} free")]
    except ImportError as error:
        return [Finding("disk", f"{size(free)} free; the need is not known without {error.name}", WARNING)]
    found = f"{size(free)} free, about {size(needed)} needed for {config.generate.num_images:,} images"
    if free < needed:
        mend = "free some space, or give another --workdir or fewer --num_images"
        return [fonts, Finding("disk", found, MISSING, mend)]
    return [fonts, Finding("disk", found)]


def _draws(config):
    """Whether the run would draw images; the check alone looks at all that a run may need."""
    if config.records.images or config.foreign.records:
        return config.synthetic_share > 0
    stages = set(config.ordered_stages)
    return stages == {"check"} or "generate" in stages or config.synthetic_share > 0


def _inputs(config):
    """Rows for the folders that the settings name."""
    findings = []
    if config.records.images:
        state = OK if os.path.isdir(config.records.images) else MISSING
        found = config.records.images if state == OK else f"{config.records.images} is not a folder"
        findings.append(Finding("images", found, state, "give --images a folder of labelled images"))
    checkpoints = {"--checkpoint": config.test.checkpoint, "--initialize_from": config.train.initialize_from}
    for flag, folder in checkpoints.items():
        if folder:
            findings.append(_given(flag, folder))
    return findings


def _given(flag, folder):
    try:
        from pipeline.model.checkpoints import Checkpoints

        return Finding("checkpoints", str(Checkpoints.given(flag, folder).folder))
    except DigitwiseError as error:
        return Finding("checkpoints", str(error), MISSING, f"give {flag} a folder of checkpoints, or a workdir")
    except ImportError as error:
        return Finding("checkpoints", f"{folder}, not looked at without {error.name}", WARNING)


def _need(config):
    from pipeline.drawing.renderer import Drawing, SyntheticSource, image_key

    drawing = Drawing.of(config.code, config.generate.drawing)
    source = SyntheticSource(drawing, _SAMPLE_IMAGES)
    sizes = [len(source.load(image_key(index, "", False))) for index in range(_SAMPLE_IMAGES)]
    records = sum(sizes) / len(sizes)
    files = sum(-(-s // _FILE_BLOCK) * _FILE_BLOCK for s in sizes) / len(sizes)
    drawn = config.records.source == "images" and not config.records.images
    fonts = Finding("fonts", ", ".join(name for name, _ in drawing.font_hashes))
    return config.generate.num_images * (records + (files if drawn else 0)), fonts


def _writable(workdir):
    folder = _existing(workdir.root)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("workdir", f"{workdir.root} can be written")
    except OSError as error:
        found = f"{folder} cannot be written ({error.strerror})"
        return Finding("workdir", found, MISSING, f"chmod u+w {folder}, or give another --workdir")


def _existing(path):
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def _start_probe():
    """TensorFlow is imported in a process of its own: it takes seconds, and can end the process that tries."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _tensorflow(probe):
    """Rows for the devices that TensorFlow sees, beside those that the driver sees."""
    gpus = _driver_gpus()
    if probe is None:
        return [Finding("GPUs", ", ".join(gpus) or "none")]
    try:
        output, _ = probe.communicate(timeout=_PROBE_SECONDS)
        seen = json.loads(output.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        probe.kill()
        probe.communicate()
        return [
            Finding("TensorFlow runs", "it could not be imported", MISSING, "pip install --force-reinstall tensorflow")
        ]
    devices = [f"{kind} {name}" for kind, name in seen["devices"]]
    findings = [Finding("TensorFlow runs", f"{seen['version']} on {', '.join(devices)}")]
    if not gpus:
        return [*findings, Finding("GPUs", "none; training takes the CPU")]
    usable = sum(kind == "GPU" for kind, _ in seen["devices"])
    if usable < len(gpus):
        mend = "pip install 'tensorflow[and-cuda]'"
        return [*findings, Finding("GPUs", f"{', '.join(gpus)}; TensorFlow sees {usable}", WARNING, mend)]
    return [*findings, Finding("GPUs", ", ".join(gpus))]


def _driver_gpus():
    try:
        result = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split(" (")[0] for line in result.stdout.splitlines() if line.startswith("GPU ")]


def _records_are_sound(config, workdir):
    """Verifies the records in the workdir, where there are any."""
    if not workdir.records.exists():
        return True
    from pipeline.stages.verification import verify

    return verify(workdir.records, config.processes)


def size(count):
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
