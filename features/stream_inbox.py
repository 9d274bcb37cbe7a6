"""The inbox: files of events, one JSON object a line, dropped into a folder of the workspace.

A file must appear whole: write it under another name and rename it to `….jsonl`. It is queued, then moved to `done`; a
worker that is killed in between queues it again, which changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from common.whole_files import write_whole
from common.workspace import Workspace
from features.stream_door import EventDoor, read_lines

_MOST_WAITING = 100_000
"""Events in the queue above which files wait in the folder instead."""


def inbox_folder(workspace: Workspace) -> Path:
    """Where a workspace's files of events are dropped."""
    return workspace.root / "inbox"


def take_inbox(workspace: Workspace, door: EventDoor) -> int:
    """Queue the events of all files; lines that are refused go to `refused/<file>`, each with its reason.

    Returns:
        Events accepted.
    """
    folder = inbox_folder(workspace)
    if not folder.is_dir():
        return 0
    accepted = 0
    for path in sorted(folder.glob("*.jsonl")):
        if door.queue.depth() >= _MOST_WAITING:
            break
        with path.open(encoding="utf-8", errors="replace") as lines:
            taken, refused = read_lines(lines, door)
        if refused:
            told = (json.dumps({"reason": reason, "line": line}, ensure_ascii=False) for line, reason in refused)
            write_whole(folder / "refused" / path.name, "\n".join(told) + "\n")
        (folder / "done").mkdir(exist_ok=True)
        path.replace(folder / "done" / path.name)
        accepted += taken
    return accepted
