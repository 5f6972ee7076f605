"""Free memory: the machine's, and what is left of the limits of a container or a job."""

import pytest

from xpnet.device import Device, memory

GB = 2**30
V1, V2 = "5:cpu:/\n4:cpuacct,memory:{}\n0::/\n", "0::{}\n"


@pytest.fixture
def machine(tmp_path):
    def make(groups="", **files):
        for name, content in {
            "proc/meminfo": f"MemTotal: 9 kB\nMemAvailable: {8 * 2**20} kB\n",
            **files,
        }.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        if groups:
            (tmp_path / "proc/self").mkdir(exist_ok=True)
            (tmp_path / "proc/self/cgroup").write_text(groups)
        return tmp_path

    return make


def of_group(folder, limit, used, cached, version):
    names = {1: ("limit_in_bytes", "usage_in_bytes", "total_"), 2: ("max", "current", "")}[version]
    stat = f"anon 1\n{names[2]}inactive_file {cached // 2}\n{names[2]}active_file {cached // 2}\n"
    return {
        f"{folder}/memory.{names[0]}": f"{limit}\n",
        f"{folder}/memory.{names[1]}": f"{used}\n",
        f"{folder}/memory.stat": stat,
    }


def test_of_a_machine_without_limits(machine):
    assert memory.free(machine()) == 8 * GB
    assert memory.free(machine(V2.format("/a"), **of_group("sys/fs/cgroup/a", "max", GB, 0, 2))) == 8 * GB


@pytest.mark.parametrize(
    ("version", "groups", "top"), [(1, V1, "sys/fs/cgroup/memory"), (2, V2, "sys/fs/cgroup")]
)
def test_the_least_of_all_limits_counts_and_what_is_kept_of_files_is_free(machine, version, groups, top):
    files = of_group(f"{top}/slurm/job_1/step_0", 7 * GB, 2 * GB, GB, version)
    assert memory.free(machine(groups.format("/slurm/job_1/step_0"), **files)) == 6 * GB
    files |= of_group(f"{top}/slurm/job_1", 4 * GB, 3 * GB, GB, version)
    assert memory.free(machine(**files)) == 2 * GB
    assert memory.free(machine(**of_group(f"{top}/slurm", 4 * GB, 5 * GB, 0, version))) == 0


def test_without_statistics_what_is_kept_of_files_is_not_free(machine):
    files = of_group("sys/fs/cgroup/a", 2 * GB, GB, GB, 2) | {"sys/fs/cgroup/a/memory.stat": "cut"}
    assert memory.free(machine("\n" + V2.format("/a"), **files)) == GB


def test_a_container_has_its_group_at_the_top(machine):
    files = of_group("sys/fs/cgroup/memory", 2 * GB, GB, 0, 1)
    assert memory.free(machine(V1.format("/docker/1234"), **files)) == GB


def test_a_system_that_does_not_tell(tmp_path, monkeypatch):
    assert memory.free(tmp_path) is None
    monkeypatch.setattr(memory, "free", lambda: None)
    assert Device().free_memory() > 0


def test_of_this_machine():
    free = memory.free()
    assert free is None or free > 0
