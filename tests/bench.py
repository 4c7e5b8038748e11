"""`make bench`: how long the path takes, each figure beside a baseline of the same run, since machines are noisy."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench_delivery import delivery_models
from tests.bench_experience import landing_beacons, one_more_day
from tests.bench_experience_models import experience_models, one_more_day_of_beacons
from tests.bench_slo import slo_models

PLUMBLINE = Path(sys.executable).with_name("plumbline")
SHARED = Path(__file__).resolve().parents[2] / "shared"
TAGS = r"production-{1,2}(?P<timestamp>\d{4}-\d{2}-\d{2}-{1,2}\d{2}-\d{2}(-\d{2})?)"
SERVICES = 50
COMMITS = 100_000
DEPLOYMENTS = 400


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def show(what: str, took: float, baseline: str = "", baseline_took: float = 0.0) -> None:
    ratio = f"{took / baseline_took:6.2f} × {baseline} ({baseline_took:.1f} s)" if baseline else ""
    print(f"{what:<58} {took:7.1f} s  {ratio}", flush=True)


def plumbline(config: Path, *arguments: str) -> float:
    command = [PLUMBLINE, "--config", config, *(arguments or ("run",))]
    return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def installation(folder: Path, sources: list[dict], service: str) -> Path:
    (folder / "seeds").mkdir(parents=True)
    header = "service,team,component_kind,repository,valid_from,valid_to\n"
    (folder / "seeds/services.csv").write_text(f"{header}{service},shop,frontend,,,\n", encoding="utf-8")
    (folder / "seeds/teams.csv").write_text("team,parent,time_zone\nshop,,UTC\n", encoding="utf-8")
    (folder / "landing").mkdir()
    config = folder / "plumbline.yaml"
    config.write_text(json.dumps({"data_dir": "data", "sources": sources}), encoding="utf-8")
    return config


def whole_path(folder: Path) -> None:
    """Sources to report, beside the same command on empty tables (start-up)."""
    landing = {"kind": "landing", "location": "landing"}
    empty = plumbline(installation(folder / "empty", [landing], "web"))
    show("plumbline run, no data", empty)
    demo = folder / "demo"
    for occasion in ("first", "again"):
        show(f"plumbline demo, {occasion}", plumbline(demo, "demo", "--folder", str(demo)), "no data", empty)
    script = SHARED / "real/storefront/make_git_repo.py"
    if not script.exists():
        print("storefront history: not beside this checkout, left out")
        return
    repository = folder / "storefront.git"
    subprocess.run([sys.executable, script, repository], check=True)
    source = {"kind": "git", "repository": str(repository), "service": "storefront-web"}
    source["deployments"] = {"tags": TAGS, "environment": "production"}
    config = installation(folder / "storefront", [source], "storefront-web")
    for occasion in ("first", "again"):
        show(f"plumbline run, storefront history, {occasion}", plumbline(config), "no data", empty)
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"largest process of all of these: {kilobytes / 2**20:.2f} GiB")
    git_source(folder, repository, source)


def git_source(folder: Path, repository: Path, source: dict) -> None:
    """The git source alone, beside git's own listing of the same commits."""
    from dagster_project.extract.git import extract
    from dagster_project.settings import load_settings
    from dagster_project.warehouse import Warehouse

    log = ["git", "-C", repository, "log", "--all", "--format=%H %P %at %ct %ae%n%B"]
    listing = seconds(lambda: subprocess.run(log, check=True, stdout=subprocess.DEVNULL))
    settings = load_settings(installation(folder / "git", [source], "storefront-web"))
    for occasion in ("first", "again"):
        with Warehouse(settings).connect() as connection:
            took = seconds(lambda connection=connection: extract(settings.sources[0], settings, connection))
        show(f"git source, storefront history, {occasion}", took, "git log", listing)


def monorepo(path: Path) -> None:
    """A repository of SERVICES folders, each deployed DEPLOYMENTS times: a merge every four commits, and one commit in
    fifty touches what all services share."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True)
    with subprocess.Popen(["git", "-C", path, "fast-import", "--quiet"], stdin=subprocess.PIPE, text=True) as git:
        for number in range(1, COMMITS + 1):
            time = 1_600_000_000 + 600 * number
            git.stdin.write(f"commit refs/heads/main\nmark :{number}\ncommitter A <a@example.org> {time} +0000\n")
            git.stdin.write("data 7\nfix: it\n")
            if number % 4 == 0:
                git.stdin.write(f"from :{number - 2}\nmerge :{number - 1}\n\n")
                continue
            if number > 1:
                git.stdin.write(f"from :{number - 1 - (number % 4 == 3)}\n")
            folder = "shared" if number % 50 == 1 else f"services/s{number * 7919 % SERVICES}"
            git.stdin.write(f"M 100644 inline {folder}/index.js\ndata {len(str(number))}\n{number}\n\n")
        for service in range(SERVICES):
            for release in range(1, DEPLOYMENTS + 1):
                commit = (COMMITS - 4 * SERVICES) * release // DEPLOYMENTS // 4 * 4 + 4 * service
                git.stdin.write(f"reset refs/tags/s{service}-v{release}\nfrom :{commit}\n\n")


def services_of_one_repository(folder: Path) -> None:
    """SERVICES services of one repository, told apart by path rules, beside one service that has all of it: what the
    git source takes, and what the models take beyond the same on empty tables."""
    from dagster_project.extract.git import extract
    from dagster_project.reference import load_reference
    from dagster_project.settings import DBT_DIR, load_settings
    from dagster_project.warehouse import Warehouse

    monorepo(folder / "mono.git")

    def models(warehouse: Path) -> float:
        command = [PLUMBLINE.with_name("dbt"), "run", "--target-path", folder / "target", "--log-path", folder / "logs"]
        environment = {**os.environ, "PLUMBLINE_WAREHOUSE": str(warehouse)}
        run = partial(subprocess.run, command, cwd=DBT_DIR, env=environment, check=True, stdout=subprocess.DEVNULL)
        return seconds(run)

    # The first run also parses the project.
    models(folder / "start-up.duckdb")
    empty = models(folder / "start-up.duckdb")
    took: dict[int, tuple[float, float]] = {}
    for count in (1, SERVICES):
        sources = [
            {
                "kind": "git",
                "repository": str(folder / "mono.git"),
                "service": f"s{service}",
                "deployments": {"tags": rf"s{service}-v\d+", "environment": "production"},
            }
            for service in range(count)
        ]
        config = installation(folder / f"services-{count}", sources, "s0")
        if count > 1:
            rows = "".join(f"s{service},shop,frontend,services/s{service}/** shared/**\n" for service in range(count))
            services = f"service,team,component_kind,paths\n{rows}"
            (config.parent / "seeds/services.csv").write_text(services, encoding="utf-8")
        settings = load_settings(config)
        with Warehouse(settings).connect() as connection:
            load_reference(connection, settings.reference_dir)
            extraction = seconds(
                lambda settings=settings, connection=connection: extract(settings.sources[0], settings, connection)
            )
            connection.execute("""
                insert into raw.builds (source, build_id, repository, commit_sha, status, started_at, finished_at)
                select
                    'ci', commit_sha, repository, commit_sha, 'success', merged_at + interval 1 minute,
                    merged_at + interval 11 minute
                from raw.changes
                where commit_sha = merge_commit_sha
            """)
        took[count] = extraction, models(settings.warehouse_file) - empty
    for part, one, many in zip(("git source", "models, beyond start-up"), took[1], took[SERVICES], strict=True):
        show(f"{SERVICES} services of one repository: {part}", many, "one service", one)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole_path(Path(folder))
        delivery_models(Path(folder))
        (Path(folder) / "slo").mkdir()
        slo_models(Path(folder) / "slo")
        landing_beacons(Path(folder) / "beacons")
        one_more_day(Path(folder) / "days")
        experience_models(Path(folder))
        one_more_day_of_beacons(Path(folder))
        services_of_one_repository(Path(folder))


if __name__ == "__main__":
    main()
