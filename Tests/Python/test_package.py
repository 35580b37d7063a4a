"""What is built of the package is the whole package."""

import pathlib
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent / "bindings" / "python"


def test_every_folder_of_modules_is_a_package_that_is_built():
    with open(ROOT / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "swiftcnn").rglob("*.py")}
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in folders)
