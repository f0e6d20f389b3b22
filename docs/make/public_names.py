"""For the documentation: ``from a import B as B`` makes B public, as type checkers read it.

The documentation's reader of source code (griffe) takes only ``__all__`` for a re-export.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import griffe


class PublicNames(griffe.Extension):
    """Marks names that a package imports under their own name as exported by it."""

    def on_module(self, *, mod: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        del loader, kwargs
        _export(mod)


def _export(package: griffe.Module) -> None:
    for part in package.modules.values():
        if not part.is_alias:
            _export(part)
    path = package.filepath
    if package.exports is not None or not isinstance(path, Path) or not path.is_file():
        return
    kept = [
        alias.asname
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.asname is not None and alias.asname == alias.name
    ]
    if kept:
        own = (name for name in package.members if name not in package.imports and not name.startswith("_"))
        package.exports = [*kept, *(name for name in own if not package.members[name].is_module)]
