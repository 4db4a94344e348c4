"""The two splits of people and environments: what trains, and what only measures."""

from typing import Literal

Split = Literal["train", "test"]
"""Nobody and no environment of the test split is ever trained on."""
