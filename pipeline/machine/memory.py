"""How much memory a process may still take."""

import os
import pathlib

_CONTAINER_LIMITS = (  # cgroup version 2, and 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_ANY_MACHINE = 1 << 31  # what one that trains networks has at least


def available_memory():
    """Free bytes of this machine, or what is left of this container's share of them."""
    free = _free_of_machine()
    for limit, used in _CONTAINER_LIMITS:
        try:
            free = min(free, int(pathlib.Path(limit).read_text()) - int(pathlib.Path(used).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return max(0, free)


def total_memory():
    """Bytes of this machine, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _free_of_machine():
    try:
        for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    total = total_memory()
    return total // 2 if total else _ANY_MACHINE
