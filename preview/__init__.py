"""The preview: what topo-cron would find in an account, looked at before anything is deployed; nothing is sent."""

import sys
from pathlib import Path

# The functions' code is no installed package: its folder is what Lambda gets, and the root of its imports.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "functions"))
