"""Fixtures that several test modules share."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import LANDING, SERVICES, TEAMS, installation, run, write_history

from dagster_project.settings import Settings, load_settings
from dagster_project.warehouse import Warehouse

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation of its own, without sources and with one service."""
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds/services.csv").write_text(SERVICES + "web,shop,frontend,web,,\n", encoding="utf-8")
    (tmp_path / "seeds/teams.csv").write_text(TEAMS + "shop,,Europe/Berlin\n", encoding="utf-8")
    file = tmp_path / "plumbline.yaml"
    file.write_text("data_dir: data\nsources: []\n", encoding="utf-8")
    return load_settings(file)


@pytest.fixture
def connection(settings: Settings):
    """The build file of that installation, open for writing."""
    with Warehouse(settings).connect() as connection:
        yield connection


@pytest.fixture(scope="session")
def once(tmp_path_factory, request) -> Callable[[str, Callable[[Path], None]], Path]:
    """The folder of that name which a function fills; once for all processes of this test run."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent

    def filled(name: str, fill: Callable[[Path], None]) -> Path:
        with (folder / f"{name}.lock").open("a+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                (folder / name).mkdir()
                fill(folder / name)
                lock.write("filled")
        return folder / name

    return filled


@pytest.fixture(scope="session")
def storefront(once) -> Path:
    """The rebuilt eight-year history of a real storefront."""
    script = SHARED / "real/storefront/make_git_repo.py"
    if not script.exists():
        pytest.skip("the recorded storefront history is not beside this checkout")

    def fill(folder: Path) -> None:
        subprocess.run([sys.executable, script, folder / "storefront.git"], check=True)

    return once("storefront", fill) / "storefront.git"


@pytest.fixture(scope="session")
def shop(once) -> Path:
    """plumbline.yaml of a small installation after one undisturbed run."""

    def fill(folder: Path) -> None:
        config = installation(folder, LANDING)
        write_history(folder)
        code, output = run(config)
        assert code == 0, output

    return once("shop", fill) / "plumbline.yaml"
