# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests. Servers are started once a run (and pytest worker), when a test first wants one."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab import ground  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from lab.mta import Exim, OpenSmtpd, Postfix  # noqa: E402
from lab.names import Knot, PocketDns  # noqa: E402
from lab.scripted import Scripted  # noqa: E402
from lab import mail as lab_mail  # noqa: E402

failed = False


def pytest_configure(config):
    config.addinivalue_line("markers", "core: also run under ASan+UBSan and TSan")
    config.addinivalue_line("markers", "threads: worker, store and reload tests for TSan")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        global failed
        failed = True
        for gateway in getattr(item, "gateways", []):
            report.sections.append((f"gateway {gateway.host} ({gateway.folder})",
                                    f"log {gateway.log}, its end:\n{gateway.said()[-3000:]}"))


def pytest_sessionfinish(session):
    ground.clean(keep=failed)


@pytest.fixture(scope="session")
def authority():
    return Authority()


def _server(make):
    server = make()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def knot():
    yield from _server(Knot)


@pytest.fixture(scope="session")
def postfix(authority):
    yield from _server(lambda: Postfix(authority))


@pytest.fixture(scope="session")
def opensmtpd(authority):
    yield from _server(lambda: OpenSmtpd(authority))


@pytest.fixture(scope="session")
def exim(authority):
    yield from _server(lambda: Exim(authority))


@pytest.fixture
def word():
    return lab_mail.token()


@pytest.fixture
def domain(word):
    """A domain nobody else uses."""
    return f"{word}.example"


@pytest.fixture
def gateway(request, authority):
    """Makes gateways; at the end each must stop cleanly."""
    made = request.node.gateways = []

    def make(**options):
        start = options.pop("start", True)
        g = Gateway(authority, start=False, **options)
        made.append(g)
        return g.start() if start else g
    yield make
    faults = []
    for g in made:
        try:
            g.stop()
        except ground.LabError as e:
            faults.append(str(e))
    assert not faults, "\n".join(faults)


@pytest.fixture
def scripted():
    made = []

    def make(*arguments, **options):
        made.append(Scripted(*arguments, **options))
        return made[-1]
    yield make
    for server in made:
        server.stop()


@pytest.fixture
def small_disk(request):
    """A folder that is a disk of 24 MiB, or of what an indirect parameter says."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = ground.folder("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', '24m')}", "tidegate-lab", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def pocket_dns():
    made = []

    def make(answer, **how):
        made.append(PocketDns(answer, **how))
        return made[-1]
    yield make
    for server in made:
        server.stop()
