"""Connectors: reading a source into canonical rows. Here: a folder of files, through a mapping."""

from __future__ import annotations

from warehouse.connectors.files import FileConnector
from warehouse.connectors.found import find_files
from warehouse.connectors.interface import Connector, Cursor, Extract, Part, Remark

__all__ = ["Connector", "Cursor", "Extract", "FileConnector", "Part", "Remark", "find_files"]
