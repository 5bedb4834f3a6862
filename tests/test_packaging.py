"""What `pip install` takes along."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed_and_nothing_else() -> None:
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for top in ("automl", "envs", "search_spaces")
        for file in (ROOT / top).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_test_folder_is_a_package() -> None:
    # Without one, pytest would take `tests/envs` for the package `envs`.
    folders = {file.parent for file in (ROOT / "tests").rglob("test_*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_foreign_packages_of_the_same_name_cannot_break_imports() -> None:
    # PyPI has an `envs`, which would overwrite our `__init__.py`; submodules survive that.
    for name in ("envs", "search_spaces"):
        text = (ROOT / name / "__init__.py").read_text()
        assert "import" not in text.replace("import from", "")


def test_every_dependency_that_is_imported_is_declared() -> None:
    declared = " ".join(PROJECT["project"]["dependencies"]).lower()
    known = {"sklearn": "scikit-learn", "PIL": "pillow", "huggingface_hub": "huggingface-hub"}
    for file in (ROOT / "automl").rglob("*.py"):
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]) and len(words) > 1:
                top = words[1].split(".")[0].rstrip(",")
                package = known.get(top, top)
                if package.lower() in THIRD_PARTY:
                    assert package.lower() in declared, f"{file} imports {package}"


THIRD_PARTY = {
    "torch",
    "torchvision",
    "timm",
    "optuna",
    "sqlalchemy",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "rich",
    "typer",
    "onnx",
    "onnxruntime",
    "safetensors",
    "matplotlib",
    "huggingface-hub",
}
