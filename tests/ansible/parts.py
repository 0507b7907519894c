"""Single parts of the roles, run here, without a machine: many cases by one start of ansible."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.end_to_end.box import ROOT
from tests.provisioning.installing import play

if TYPE_CHECKING:
    from pathlib import Path

ANSIBLE = ROOT / "ansible"


@dataclass(frozen=True)
class Case:
    """A ``part`` of a role (a file of tasks, or a template) with what the inventory gives."""

    role: str
    part: str
    given: dict[str, Any]


def refusals(cases: dict[str, Case], folder: Path) -> dict[str, str]:
    """Run tasks; the sentence that each case was refused with, empty for those that went well."""
    note = {"dest": "{{ case_said }}", "mode": "0600", "content": "{{ ansible_failed_result.msg }}"}
    parts = {(case.role, case.part) for case in cases.values()}
    plays = []
    for role, part in sorted(parts):
        # The name of a role is worked out once for all hosts, so each part has a play of its own.
        include = {"name": str(ANSIBLE / "roles" / role), "tasks_from": part}
        hosts = [name for name, case in cases.items() if (case.role, case.part) == (role, part)]
        block = {
            "block": [{"ansible.builtin.include_role": include}],
            "rescue": [{"ansible.builtin.copy": note}],
        }
        plays.append({"hosts": hosts, "tasks": [block]})
    _run({name: _variables(case, folder / name) for name, case in cases.items()}, plays, folder)
    said = {name: folder / name for name in cases}
    return {
        name: " ".join(file.read_text().split()) if file.exists() else ""
        for name, file in said.items()
    }


def rendered(cases: dict[str, Case], folder: Path) -> dict[str, str]:
    """What templates become, with the defaults of their role."""
    copy = {"src": "{{ case_part }}", "dest": "{{ case_said }}", "mode": "0600"}
    hosts = {}
    for name, case in cases.items():
        role = ANSIBLE / "roles" / case.role
        defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
        template = {"case_part": str(role / "templates" / case.part)}
        hosts[name] = defaults | _variables(case, folder / name) | template
    _run(hosts, [{"hosts": "all", "tasks": [{"ansible.builtin.template": copy}]}], folder)
    return {name: (folder / name).read_text() for name in cases}


def _variables(case: Case, said: Path) -> dict[str, Any]:
    return {"case_part": case.part, "case_said": str(said), **case.given}


def _run(hosts: dict[str, dict[str, Any]], plays: list[dict[str, Any]], folder: Path) -> None:
    inventory, playbook = folder / "inventory.json", folder / "play.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    names = str(ANSIBLE / "vars/names.yml")
    here = {"connection": "local", "gather_facts": False, "vars_files": [names]}
    playbook.write_text(json.dumps([here | a_play for a_play in plays]))
    given = {"ansible_python_interpreter": sys.executable, "appliance_checkout": str(ROOT)}
    played = play(str(inventory), str(playbook), "--forks=4", **given)
    assert played.code == 0, played.said
