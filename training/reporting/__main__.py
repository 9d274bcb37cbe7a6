"""`python -m training.reporting docs/training-report.schema.json` writes the report's JSON Schema."""

import json
import sys
from pathlib import Path

from common.whole_files import write_whole
from training.reporting.documents import report_json_schema

if __name__ == "__main__":
    write_whole(Path(sys.argv[1]), json.dumps(report_json_schema(), indent=2) + "\n")
