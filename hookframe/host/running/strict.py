"""Importing a plugin from the bytes that were verified, and from nothing else.

RECORD has no digests for compiled files, and Python prefers them to the source: a planted ``.pyc`` passes every comparison
with RECORD and runs. Here the source that was compared is compiled, and ``__pycache__`` is neither read nor written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder, PathEntryFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from hookframe.errors import PluginRejected

__all__ = ["VerifiedLoader", "VerifiedModules", "importing_verified"]


class VerifiedLoader(SourceFileLoader):
    """Runs one module from the bytes it is given; everything else (its file, its resources) is as usual."""

    def __init__(self, fullname: str, path: str, verified: bytes) -> None:
        super().__init__(fullname, path)
        self.verified = verified

    def get_code(self, fullname: str) -> CodeType:
        """Compile the verified bytes."""
        code: CodeType = self.source_to_code(self.verified, self.path)
        return code


class VerifiedModules(MetaPathFinder):
    """Finds the modules of one distribution among files that were verified.

    :param root: the directory that the distribution was installed into.
    :param files: path in RECORD → content.
    """

    def __init__(self, root: Path, files: Mapping[str, bytes]) -> None:
        self._root = root
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The verified module of that name; None if the distribution has none."""
        place = fullname.replace(".", "/")
        for file in (f"{place}/__init__.py", f"{place}.py"):
            if file in self._files:
                location = str(self._root / file)
                loader = VerifiedLoader(fullname, location, self._files[file])
                return spec_from_file_location(fullname, location, loader=loader)
        for suffix in EXTENSION_SUFFIXES:
            if place + suffix in self._files:
                location = str(self._root / (place + suffix))
                return spec_from_file_location(fullname, location, loader=ExtensionFileLoader(fullname, location))
        return None

    @property
    def packages(self) -> dict[str, str]:
        """The distribution's own packages → their directories."""
        places = [file.removesuffix("/__init__.py") for file in self._files if file.endswith("/__init__.py")]
        return {place.replace("/", "."): str(self._root / place) for place in places}

    def check_imported(self) -> None:
        """Make sure that modules which were imported before came from the same bytes.

        :raises PluginRejected: if a module of the distribution was imported in another way.
        """
        for file, content in self._files.items():
            module = sys.modules.get(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
            if not file.endswith(".py") or module is None:
                continue
            loader = getattr(module.__spec__, "loader", None)
            if not isinstance(loader, VerifiedLoader) or loader.verified != content:
                raise PluginRejected(
                    f"its module {module.__name__} was imported before it could be verified: attach the first hook, or "
                    "make the plugin manager, before anything imports the plugin"
                )


class _InDirectory(PathEntryFinder):
    """What the import system asks about one directory of a verified plugin, from then on.

    Modules that a plugin imports later, inside its functions, are found by the directory of their package. It is kept
    in ``sys.path_importer_cache`` under the plugin's own directories, so it answers for no other plugin.
    """

    def __init__(self, modules: VerifiedModules, package: str) -> None:
        self._modules = modules
        self._package = package

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        return self._modules.find_spec(f"{self._package}.{fullname.rpartition('.')[2]}", None)


@contextmanager
def importing_verified(modules: VerifiedModules) -> Iterator[None]:
    """Import the plugin's modules from verified bytes inside the block, and the submodules of its packages afterwards.

    A top-level module beside the plugin's own that is imported only after the block comes in the ordinary way.

    :raises PluginRejected: if a module of the plugin was imported in another way before; nothing was changed.
    """
    modules.check_imported()
    sys.meta_path.insert(0, modules)
    for package, directory in modules.packages.items():
        sys.path_importer_cache[directory] = _InDirectory(modules, package)
    try:
        yield
    finally:
        sys.meta_path.remove(modules)
