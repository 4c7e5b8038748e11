"""`plumbline`: run, demo, doctor, slo check, vars, report, evidence, dev.

Exit codes: 0 done; 2 wrong configuration; 3 the gate refused and the published marts are untouched; 1 anything else.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from pydantic import ValidationError
from rich.console import Console

from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.profiles import dbt_vars
from dagster_project.settings import PROJECT_DIR, DemoSource, Settings, load_settings
from dagster_project.warehouse import Warehouse


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="plumbline.yaml of the installation. Default: PLUMBLINE_CONFIG, else that of this folder or of the checkout.",
)
def cli(config: Path | None) -> None:
    """Plumbline, an engineering-metrics warehouse: sources → DuckDB → dbt → gate → published marts → report."""
    if config:
        os.environ["PLUMBLINE_CONFIG"] = str(config.resolve())


@cli.command()
def run() -> None:
    """Extract, build, gate, publish, report."""
    _refresh(load_settings())


@cli.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), default=PROJECT_DIR / "data" / "demo", show_default="data/demo"
)
@click.option("--seed", default=DemoSource.model_fields["seed"].default, show_default=True)
@click.option("--days", default=DemoSource.model_fields["days"].default, show_default=True)
@click.option("--sessions-per-day", default=DemoSource.model_fields["sessions_per_day"].default, show_default=True)
def demo(folder: Path, seed: int, days: int, sessions_per_day: int) -> None:
    """The same on a generated organisation, in a folder of its own."""
    from dagster_project.extract.demo import write_installation

    try:
        source = DemoSource(kind="demo", seed=seed, days=days, sessions_per_day=sessions_per_day)
    except ValidationError as error:
        problems = [f"--{item['loc'][0].replace('_', '-')}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError("\n".join(problems)) from None
    _refresh(load_settings(write_installation(folder.resolve(), source)))


@cli.command()
def report() -> None:
    """Write the report page again from the published marts."""
    from dagster_project.report.monthly import write_report

    click.echo(write_report(load_settings()))


@cli.command()
def doctor() -> None:
    """Check versions, configuration, sources, reference data, disk and lock; change nothing."""
    from dagster_project.doctor import diagnose, show

    findings = diagnose()
    show(findings)
    sys.exit(max(finding.exit_code for finding in findings))


@cli.group()
def slo() -> None:
    """Service level objectives, as in the folder slos of the reference data."""


@slo.command("check")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def slo_check(files: tuple[Path, ...]) -> None:
    """Validate definitions (FILES, else all of the installation) and try them on the history on record."""
    from dagster_project.slo.check import check

    problems, histories = check(load_settings(), files)
    for history in histories:
        for each in history.objectives:
            click.echo(f"{history.definition.name}, {each}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    click.echo("every definition is right")


@cli.command("vars")
def print_vars() -> None:
    """Print the variables that dbt gets, as JSON: dbt build --vars "$(plumbline vars)"."""
    click.echo(json.dumps(dbt_vars(load_settings()), default=str))


@cli.command()
@click.option("--person", required=True, help="Login, name or e-mail, as the evidence log of the source has it.")
@click.option("--quarter", required=True, help="For example 2026-Q2.")
def evidence(person: str, quarter: str) -> None:
    """Print one person's own evidence log of a quarter, with its gaps; the access is recorded."""
    from dagster_project.guard.evidence import evidence_pack

    warehouse = Warehouse(load_settings())
    with warehouse.lock(), warehouse.connect() as connection:
        click.echo(evidence_pack(connection, person, quarter), nl=False)


@cli.command()
@click.option("--port", default=3000, show_default=True)
def dev(port: int) -> None:
    """Open the Dagster UI on this installation."""
    from dagster_project.orchestration import prepare_environment

    prepare_environment(load_settings())
    dagster = Path(sys.executable).with_name("dagster")
    os.execv(dagster, [str(dagster), "dev", "-m", "dagster_project.definitions", "-p", str(port)])


def _refresh(settings: Settings) -> None:
    # A wrong profile is found before anything is read.
    dbt_vars(settings)
    if held := Warehouse(settings).is_locked():
        raise PlumblineError(held)
    from dagster_project.progress import shown

    # Bound to today's standard output, which is redirected while Dagster runs.
    console = Console(file=sys.stdout)
    console.print(f"installation: {settings.config_file}", soft_wrap=True, highlight=False)
    with shown(console):
        from dagster_project.orchestration import refresh

        refresh(settings)
    console.print(f"published:    {settings.published_file}", soft_wrap=True, highlight=False)
    console.print(f"report:       {settings.report_dir / 'index.html'}", soft_wrap=True, highlight=False)


def main() -> None:
    try:
        cli()
    except PlumblineError as error:
        click.echo(f"plumbline: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"plumbline: {error.filename}: {error.strerror}; mend that and start again", err=True)
        sys.exit(PlumblineError.exit_code)
