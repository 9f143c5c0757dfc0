"""How much memory a process may still use, and how much this one uses."""

import os
import pathlib

_CONTAINER_LIMITS = (  # cgroup version 2, and 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_SMALLEST_MACHINE = 1 << 31  # bytes; assumed where the system does not say


def available_memory() -> int:
    """Free bytes of this machine, or what is left of this container's share of them."""
    free = _free_of_machine()
    for limit, used in _CONTAINER_LIMITS:
        try:
            # In a container /proc/meminfo tells of the whole machine, and using that much would get the process killed.
            free = min(free, int(pathlib.Path(limit).read_text()) - int(pathlib.Path(used).read_text()))
        except (OSError, ValueError):  # no such file, or "max", which means no limit
            continue
    return max(0, free)


def total_memory() -> int | None:
    """Bytes of this machine, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def own_memory() -> int:
    """Bytes of this process that are in memory; 0 where the system does not say."""
    try:
        return int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _free_of_machine() -> int:
    try:
        for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    total = total_memory()
    # Systems without MemAvailable, such as macOS: half is a cautious guess.
    return total // 2 if total else _SMALLEST_MACHINE
