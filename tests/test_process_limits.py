"""CPU cores that this process may use: a container's quota counts too."""

import pytest

from trainlab import process_limits
from trainlab.process_limits import cpu_quota


def files(root, **content: str):
    for name, text in content.items():
        path = root / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs_", "cpu.cfs_")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


GROUP = "sys__fs__cgroup__"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, float("inf")),
        ({"proc__self__cgroup": "0::/\n", f"{GROUP}cpu_max": "max 100000\n"}, float("inf")),
        ({"proc__self__cgroup": "0::/\n", f"{GROUP}cpu_max": "150000 100000\n"}, 1.5),
        ({"proc__self__cgroup": "0::/a/b\n", f"{GROUP}a__b__cpu_max": "400000 100000\n"}, 4),
        (
            {
                "proc__self__cgroup": "0::/a/b\n",
                f"{GROUP}a__cpu_max": "200000 100000\n",
                f"{GROUP}a__b__cpu_max": "400000 100000\n",
            },
            2,
        ),
        ({"proc__self__cgroup": "0::/docker/x\n", f"{GROUP}cpu_max": "50000 100000\n"}, 0.5),
        (
            {
                "proc__self__cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n0::/\n",
                f"{GROUP}cpu,cpuacct__a__cfs_quota_us": "300000\n",
                f"{GROUP}cpu,cpuacct__a__cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc__self__cgroup": "4:cpu,cpuacct:/a\n",
                f"{GROUP}cpu__a__cfs_quota_us": "-1\n",
                f"{GROUP}cpu__a__cfs_period_us": "100000\n",
            },
            float("inf"),
        ),
        ({"proc__self__cgroup": "0::/\n", f"{GROUP}cpu_max": "garbage\n"}, float("inf")),
    ],
)
def test_the_quota_of_a_control_group_of_either_version(tmp_path, content, expected):
    assert cpu_quota(files(tmp_path, **content)) == expected


@pytest.mark.parametrize(("quota", "expected"), [(float("inf"), 8), (1.5, 2), (0.25, 1), (3, 3), (64, 8)])
def test_cores_are_no_more_than_the_quota_pays_for(monkeypatch, quota, expected):
    monkeypatch.setattr(process_limits.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(process_limits, "cpu_quota", lambda: quota)
    assert process_limits.available_cores() == expected
