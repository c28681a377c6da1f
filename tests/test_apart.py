"""Tests that wait for processes of their own, in a process of their own: of two cores both have something to do."""

from __future__ import annotations

import pytest


@pytest.mark.jit
@pytest.mark.beside(["test_batch.py", "test_cache.py", "test_cli_safety.py", "test_install.py"])
def test_what_starts_processes(beside):
    assert beside() >= 200
