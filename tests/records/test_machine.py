"""Which machine this is."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from odebench.records import describe_machine
from odebench.records import machine as machine_module
from odebench.records.machine import cpu_model, memory_bytes, system_name


def test_this_machine_is_told_the_same_twice():
    here = describe_machine(["Fast GPU"])
    assert here == describe_machine(["Fast GPU"])
    assert here.cores >= here.usable_cores >= 1
    assert here.memory_gib >= 1
    assert here.cpu_model != "unknown"
    assert json.loads(json.dumps(here.to_json())) == here.to_json()
    assert here.to_json()["id"] == here.id


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"cpu_model": "Other"}, False),
        ({"cores": 3}, False),
        ({"memory_gib": 9}, False),
        ({"accelerators": ("GPU",)}, False),
        ({"system": "Linux (Test 2)"}, False),
        ({"architecture": "arm64"}, False),
        ({"usable_cores": 1}, True),
        ({"kernel": "6.2"}, True),
        ({"python": "CPython 3.12.0"}, True),
    ],
)
def test_hardware_and_system_make_the_identity_and_the_rest_does_not(machine, change, same):
    assert (replace(machine, **change).id == machine.id) == same


def test_the_id_stays_as_stored_records_have_it(machine):
    assert machine.id == "00741d1d03eef1b2"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "processor : 0\nmodel name : Fast  CPU @ 3GHz\n\nprocessor : 1\nmodel name : Fast  CPU @ 3GHz\n",
            "Fast CPU @ 3GHz",
        ),
        ("processor : 0\nCPU part : 0xd0b\n\nModel : Raspberry Pi 5\n", "Raspberry Pi 5"),
        ("CPU implementer : 0x41\nCPU part : 0xd0c\n", "implementer 0x41 part 0xd0c"),
    ],
)
def test_the_cpu_is_named_on_x86_boards_and_servers(tmp_path, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_model(tmp_path).endswith(name)


def test_systems_without_proc_are_told_by_their_own_means(tmp_path, monkeypatch):
    assert cpu_model(tmp_path)
    assert memory_bytes(tmp_path) > 2**20
    monkeypatch.setattr(machine_module.sys, "platform", "darwin")
    monkeypatch.setattr(machine_module, "_output", lambda *command: "Apple M3")
    assert cpu_model(tmp_path) == "Apple M3"


def test_memory_is_read_in_bytes(tmp_path):
    (tmp_path / "meminfo").write_text("MemFree: 1 kB\nMemTotal:       16307940 kB\n")
    assert memory_bytes(tmp_path) == 16307940 * 1024


def test_the_system_has_the_version_of_its_maker(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_module.platform, "system", lambda: "Linux")
    (tmp_path / "os-release").write_text('NAME="Debian GNU/Linux"\nVERSION_ID="12"\n')
    assert system_name(tmp_path / "os-release") == "Linux (Debian GNU/Linux 12)"
    assert system_name(tmp_path / "none") == "Linux"


def test_neither_torch_nor_plugins_are_imported_for_results():
    code = (
        "import sys; sys.path[:] = %r; import odebench.records;"
        "print(sorted({'torch', 'pluggy', 'click', 'pandas', 'odebench.plugins', 'odebench.run'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code % sys.path], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
