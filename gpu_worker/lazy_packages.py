"""Packages whose `__init__` imports far more than a worker uses: it runs when one of its names is first asked for.

Their modules can be imported before that. diffusers' UNets, for example, import one module of the package with all
transformers, and each scheduler imports `scipy.stats`.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any

UNUSED = (
    "diffusers.models.autoencoders",
    "diffusers.models.controlnets",
    "diffusers.models.transformers",
    "diffusers.models.unets",
    "scipy.stats",
)
_lock = threading.RLock()


def defer(packages: Collection[str]) -> None:
    """Defer the `__init__` of these packages. Has no effect on those that are imported already."""
    sys.meta_path.insert(0, _Finder(frozenset(packages)))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, packages: frozenset[str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._packages:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations:
            spec.loader = _DeferredLoader(spec.loader)
        return spec


class _DeferredLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it to the first attribute that is asked for."""

    def run(self, package: ModuleType) -> None:
        """Run the package's `__init__`."""
        self._loader.exec_module(package)


class _Package(ModuleType):
    def __getattr__(self, name: str) -> Any:
        """Run the `__init__`, once, and return its name."""
        with _lock:
            loader = self.__spec__.loader if self.__spec__ else None
            # Python's own look-ups must not run it, and what it looks up itself while it runs is missing.
            if name.startswith("__") or not isinstance(loader, _DeferredLoader) or "_ran" in self.__dict__:
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
            self.__dict__["_ran"] = True
            loader.run(self)
        return getattr(self, name)
