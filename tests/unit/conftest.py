"""Unit tests have no server and no model."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def redis_server() -> None:
    pytest.fail("a test that needs Redis belongs in tests/redis")


@pytest.fixture(scope="session")
def s3() -> None:
    pytest.fail("a test that needs an S3 server belongs in tests/s3")


@pytest.fixture(scope="session")
def tiny_checkpoint() -> None:
    pytest.fail("a test that needs a checkpoint belongs in tests/model")
