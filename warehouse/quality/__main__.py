"""`python -m warehouse.quality docs/quality.schema.json` writes the report's JSON Schema."""

import json
import sys
from pathlib import Path

from common.whole_files import write_whole
from warehouse.quality.documents import quality_json_schema

if __name__ == "__main__":
    write_whole(Path(sys.argv[1]), json.dumps(quality_json_schema(), indent=2) + "\n")
