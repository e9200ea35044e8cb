"""The functions' zip, built once for all tests that need it: for this machine's processor and this Python."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from interactions_lambda import packaging

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("package") / "lambda.zip"
    packaging.build(target, architecture=ARCHITECTURE, python=PYTHON)
    return target
