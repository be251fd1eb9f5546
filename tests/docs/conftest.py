"""What pages name as the reader's own."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest


def weigh(views: Any, masks: Any, sigma: float = 1.0) -> Any:
    """Weights of the views: their masks."""
    return masks


@pytest.fixture
def my_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of the reader's that configurations name."""
    module = ModuleType("my_module")
    module.weigh = weigh  # type: ignore[attr-defined]
    weigh.__module__ = "my_module"
    monkeypatch.setitem(sys.modules, "my_module", module)
