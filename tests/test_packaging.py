"""What ``setup.cfg`` ships: every package there is, and the files that are no Python."""

from __future__ import annotations

from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]


def setup_cfg() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def package_folders() -> dict[str, Path]:
    """The folder of each package by its name, as ``package_dir`` maps them."""
    pairs = (line.split(" = ") for line in setup_cfg()["options"]["package_dir"].strip().splitlines())
    found: dict[str, Path] = {}
    for name, folder in pairs:
        for init in (ROOT / folder).rglob("__init__.py"):
            below = init.parent.relative_to(ROOT / folder).parts
            found[".".join([name, *below])] = init.parent
    return found


def test_every_folder_with_an_init_is_a_package() -> None:
    listed = setup_cfg()["options"]["packages"].split()
    assert listed == sorted(package_folders())


def test_every_folder_with_modules_has_an_init() -> None:
    for folder in ("engines", "pipeline", "train"):
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), f"{module.parent} is shipped by nobody"


def test_every_file_beside_the_modules_is_shipped() -> None:
    data = {name: value.split(", ") for name, value in setup_cfg()["options.package_data"].items()}
    for name, folder in package_folders().items():
        patterns = [*data["*"], *data.get(name, [])]
        for file in folder.iterdir():
            if file.is_file() and file.suffix not in (".py", ".pyc", ".so") and not file.name.startswith("."):
                assert any(fnmatch(file.name, pattern) for pattern in patterns), (
                    f"{file} is shipped by nobody"
                )
