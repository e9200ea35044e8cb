"""A deferred package's `__init__` runs when one of its names is asked for, and not before."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gpu_worker import lazy_packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package whose `__init__` uses one of its modules, which uses another name of the package."""
    name = f"deferred_{uuid4().hex}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("SIZE = 3\nfrom .inner import area\n")
    (folder / "inner.py").write_text("def area():\n    from . import SIZE\n    return SIZE * SIZE\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    lazy_packages.defer([name])
    yield name
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


def test_a_module_is_imported_without_the_packages_init(package: str) -> None:
    inner = importlib.import_module(f"{package}.inner")
    assert "SIZE" not in vars(sys.modules[package])
    assert inner.area() == 9
    assert vars(sys.modules[package])["SIZE"] == 3


def test_a_name_of_the_package_runs_its_init(package: str) -> None:
    assert importlib.import_module(package).area() == 9
    assert importlib.import_module(package).inner is sys.modules[f"{package}.inner"]


def test_a_name_that_there_is_not_is_an_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'weight'"):
        importlib.import_module(package).weight  # noqa: B018  # the look-up is what fails


@pytest.mark.parametrize("name", lazy_packages.UNUSED)
def test_the_libraries_have_the_deferred_packages(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
