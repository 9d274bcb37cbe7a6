"""A digest of what a bundle answers with: equal digests answer alike, bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from training.manifest import MANIFEST_FILE

RECORD_FILE = "record.json"
# Files that tell of the model and are no part of it.
_BESIDES = (MANIFEST_FILE, RECORD_FILE, "reference.parquet")
# What makes an answer besides the model's own files.
_ANSWERING = ("task", "library", "horizon_days", "base_rate", "calibration", "thresholds", "feature_service")
_READING = ("name", "dtype", "categories", "other_code")
_DIGEST_BYTES = 16


def model_hash(bundle: Path) -> str:
    """Digest of a bundle's model: its own files, the features with their categories, the calibration, the thresholds.

    When it was trained, its version and its figures do not count.

    Args:
        bundle: Folder with `manifest.json`.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    values = json.loads((bundle / MANIFEST_FILE).read_text(encoding="utf-8"))
    digest.update(json.dumps(_answering(values), sort_keys=True).encode())
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        name = path.relative_to(bundle).as_posix()
        if name not in _BESIDES:
            digest.update(name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _answering(values: dict[str, Any]) -> dict[str, Any]:
    features = [{name: feature[name] for name in _READING} for feature in values["features"]]
    return {name: values[name] for name in _ANSWERING if name in values} | {"features": features}
