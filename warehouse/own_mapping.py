"""The mapping a workspace was loaded with, where it is the user's own: kept with it, for later commands."""

from __future__ import annotations

from pathlib import Path

from common.errors import SourceError
from common.whole_files import write_whole
from common.workspace import Workspace
from warehouse.sources import Source, load_source, read_mapping, source_names


def keep_mapping(workspace: Workspace, mapping: Path) -> Source:
    """Keep a mapping of one's own with its workspace, which has the mapping's name; returns the source.

    Raises:
        SourceError: if the mapping cannot be used, is named otherwise, or has the name of a shipped source.
    """
    source = read_mapping(mapping)
    if source.name in source_names():
        raise SourceError(
            f"The mapping {mapping} is named '{source.name}', as a shipped source is",
            expected="a name of its own",
            next_step="change `name:` in the mapping",
        )
    if source.name != workspace.name:
        raise SourceError(f"The mapping {mapping} is named '{source.name}'", expected=f"'{workspace.name}'")
    workspace.root.mkdir(parents=True, exist_ok=True)
    write_whole(workspace.mapping, mapping.read_text(encoding="utf-8"))
    return source


def source_of(workspace: Workspace) -> Source:
    """The source of a workspace: its own mapping, or the shipped one of its name.

    Raises:
        SourceError: if there is neither, or the mapping cannot be used.
    """
    return read_mapping(workspace.mapping) if workspace.mapping.exists() else load_source(workspace.name)
