"""One deployed stack for all tests over HTTP."""

from urllib.parse import urlsplit

import pytest

from workshop import client, deployment, models
from workshop.lab import Lab, connect

# Servers of the tests' own listen here, on any port; 127.0.0.1 and the rest of 127.0.0.0/8 stay refused.
SERVERS = "127.0.0.2"


@pytest.fixture(scope="session")
def lab(emulator_url, tmp_path_factory) -> Lab:
    """A lab whose function is built, deployed, granted its store and given the practice model."""
    lab = connect("local", "us-east-1", "e2e-tests")
    files = models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False)
    allowed = f"{urlsplit(emulator_url).netloc},{SERVERS}"
    deployment.deploy(lab, files, AllowedPrivateHosts=allowed, AccessLogs="true", AlarmEmail="nobody@example.com")
    return lab


@pytest.fixture(scope="session")
def url(lab) -> str:
    """The endpoint's address."""
    return client.predict_url(lab)
