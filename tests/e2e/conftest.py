"""One deployed stack for all tests over HTTP."""

import pytest

from workshop import client
from workshop.lab import Lab


@pytest.fixture(scope="session")
def lab(deployed: Lab) -> Lab:
    """The lab with the deployed function."""
    return deployed


@pytest.fixture(scope="session")
def url(lab: Lab) -> str:
    """The endpoint's address."""
    return client.predict_url(lab)
