"""The Debian package's files against the program and its unit."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "debian"
RULES = (FOLDER / "rules").read_text()
UNIT = (ROOT / "deploy" / "nightday-stream.service").read_text()


@pytest.fixture(scope="module")
def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_command_is_found_where_the_package_installs_it(setup: ConfigParser) -> None:
    root, suffix = re.findall(r"DH_VIRTUALENV_INSTALL_ROOT := (\S+)|--install-suffix (\S+)", RULES)
    folder = f"{root[0]}/{suffix[1]}/bin"
    lines = (FOLDER / "nightday-stream.links").read_text().splitlines()
    links = {f"/{target}": f"/{source}" for source, target in (line.split() for line in lines)}
    commands = [
        line.split(" = ")[0] for line in setup["options.entry_points"]["console_scripts"].split("\n") if line
    ]
    assert links == {f"/usr/bin/{name}": f"{folder}/{name}" for name in commands}
    started = re.search(r"^ExecStart=(\S+)", UNIT, re.MULTILINE)
    assert started is not None
    assert started[1] in links.values()


def test_the_service_waits_for_its_configuration() -> None:
    named = re.search(r"--cameras (\S+)/", UNIT)
    assert named is not None
    assert f"/{(FOLDER / 'nightday-stream.dirs').read_text().strip()}" == named[1]
    assert "dh_installsystemd --no-enable --no-start" in RULES


def test_its_extras_are_those_of_the_program(setup: ConfigParser) -> None:
    asked = re.search(r"^EXTRAS \?= (\S+)$", RULES, re.MULTILINE)
    assert asked is not None
    assert {*asked[1].split(",")} <= {*setup["options.extras_require"]}
