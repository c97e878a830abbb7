"""Chromium: installed where this is root on Debian, else as it is there; or the tests skip and say so."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import Volume, reduce_image, smoothed
from bidsdeface.report.figure import draw, views
from tests.heads import AVERAGE

PATIENCE_MS = 120_000  # without a graphics card, on a machine that others use too
playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra 'browser' of pyproject.toml")


@pytest.fixture(scope="session")
def browser():
    if os.geteuid() == 0 and shutil.which("apt-get") and not shutil.which("chromium"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], check=True)
    if not (path := shutil.which("chromium")):
        pytest.skip("Chromium: not here, and only root on Debian can install it")
    with playwright.sync_playwright() as engine:
        arguments = ["--enable-unsafe-swiftshader"]  # volumes are drawn without a graphics card too
        arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
        yield engine.chromium.launch(executable_path=path, args=arguments)


class Tab:
    """A page in a window of its own, with what it said and asked for."""

    def __init__(self, context, path):
        self.page, self.said, self.requests = context.new_page(), [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture
def opened(browser):
    """Open a file in a window of a width, with scripts or without."""
    contexts = []

    def open_in(path, width=1300, scripts=True):
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, java_script_enabled=scripts))
        contexts[-1].set_default_timeout(PATIENCE_MS)
        return Tab(contexts[-1], path)

    yield open_in
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> bytes:
    """Return the figure of the average head without its face."""
    image, path = read_image(AVERAGE), tmp_path_factory.mktemp("picture") / "head.png"
    face, brain = (
        read_image(Path(str(AVERAGE).replace("_T1w", f"_desc-{part}_mask"))).stored > 0
        for part in ("face", "brain")
    )
    image = replace(image, stored=np.where(face, 0, image.stored))
    smooth = smoothed(Volume(brain.astype(np.float32), image.affine, np.ones(brain.shape, np.float32)), 2.0)
    guard = lambda points: 0.2 - smooth.at(points, 0.0)  # noqa: E731
    draw(path, views(image, reduce_image(image, "average"), np.zeros(3), face, guard))
    return path.read_bytes()
