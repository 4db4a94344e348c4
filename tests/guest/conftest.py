"""Tests against real video devices. They run in the guest that run.sh starts, and nowhere else."""

import os

collect_ignore_glob = [] if os.environ.get("VCAM_GUEST") else ["test_*.py"]
