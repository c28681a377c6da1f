"""How many threads a call may use: cores, affinity, and the quotas of control groups."""

from __future__ import annotations

import os
import sys

import pytest

from imfnb.runtime import devices
from imfnb.runtime.devices import resolve_threads

V2 = "30 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "34 25 0:31 {} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
MEMORY = "35 25 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"


@pytest.fixture
def quota(tmp_path):
    """What a process finds in /proc and in files below /sys/fs/cgroup."""

    def build(memberships: str, mounts: list[str], **files: str) -> int:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(memberships + "\n")
        (tmp_path / "proc" / "self" / "mountinfo").write_text(
            "\n".join(["22 1 8:1 / / rw - ext4 /dev/sda rw", *mounts])
        )
        for path, text in files.items():
            file = tmp_path / "sys" / "fs" / "cgroup" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        return devices._quota.__wrapped__(tmp_path)

    return build


def v1(path: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"{path}/cpu.cfs_quota_us": str(quota), f"{path}/cpu.cfs_period_us": str(period)}


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("100001 100000", 2),
        ("5000 100000", 1),
        ("1000 1000000", 1),
        ("800000 50000", 16),
        ("max 100000", sys.maxsize),
        ("200000 0", sys.maxsize),
        ("200000", sys.maxsize),
        ("many few", sys.maxsize),
        ("", sys.maxsize),
    ],
)
def test_quota_of_a_container(quota, limit, cores):
    """With a name space of its own, a container's group is the root of what it sees."""
    assert quota("0::/", [V2], **{"cpu.max": limit}) == cores


@pytest.mark.parametrize("limits", [("max", "300000", "max"), ("300000", "max", "500000"), ("max", "400000", "300000")])
def test_quota_of_any_group_above(quota, limits):
    names = ("a.slice/cpu.max", "a.slice/b c/cpu.max", "a.slice/b c/d/cpu.max")
    files = {name: f"{limit} 100000" for name, limit in zip(names, limits, strict=True)}
    assert quota("0::/a.slice/b c/d", [V2], **files, **{"other/cpu.max": "100000 100000"}) == 3


def test_a_group_outside_of_what_is_mounted(quota):
    assert quota("0::/../../x", [V2.replace(" / ", " /y ")], **{"cpu.max": "400000 100000"}) == 4


def test_escapes_in_mounts(quota):
    mount = V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/a\\040b")
    assert quota("0::/c", [mount], **{"a b/c/cpu.max": "400000 100000"}) == 4


@pytest.mark.parametrize("root", ["/", "/docker/0f"])
def test_quota_of_version_1(quota, root):
    """A container without a name space of its own names its group from the machine's root, and sees it as the root."""
    below = "cpu,cpuacct" + ("/docker/0f" if root == "/" else "")
    memberships = "5:memory:/docker/0f\n4:cpuacct,cpu:/docker/0f\n1:name=systemd:/docker/0f\n0::/"
    files = {**v1(below, 250_000), **v1("memory/docker/0f", 100_000)}
    assert quota(memberships, [MEMORY, V1.format(root), V2.replace("cgroup ", "cgroup/unified ", 1)], **files) == 3


def test_no_quota_of_version_1(quota):
    assert quota("4:cpu:/a", [V1.format("/")], **v1("cpu,cpuacct/a", -1), **v1("cpu,cpuacct", -1)) == sys.maxsize


@pytest.mark.parametrize("memberships", ["", "garbage", "0::", "7:memory:/"])
def test_nothing_to_be_read(quota, tmp_path, memberships):
    assert devices._quota.__wrapped__(tmp_path) == sys.maxsize
    assert quota(memberships, ["garbage", "- -", MEMORY]) == sys.maxsize


def test_threads_are_the_least_of_all(monkeypatch):
    monkeypatch.setattr(devices, "_cores", lambda: 6)
    for limit, threads in ((sys.maxsize, 6), (8, 6), (6, 6), (3, 3), (1, 1)):
        monkeypatch.setattr(devices, "_quota", lambda root, limit=limit: limit)
        assert resolve_threads(None) == threads and resolve_threads(12) == 12


def test_cores_of_this_process(monkeypatch):
    """The quota is looked up once."""
    devices._quota.cache_clear()
    for _ in range(2):
        assert 1 <= resolve_threads(None) <= os.cpu_count()
    assert devices._quota.cache_info().misses == 1
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)  # Python 3.13, with PYTHON_CPU_COUNT
    assert devices._cores() == 3
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2}, raising=False)
    assert devices._cores() == 2
