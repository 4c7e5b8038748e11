"""Profiles: variables from reference data under those of plumbline.yaml; a wrong row is named by file and line."""

import pytest

from dagster_project.contracts import PROFILES
from dagster_project.errors import ConfigurationError
from dagster_project.profiles import dbt_vars
from dagster_project.reference import read_file
from dagster_project.settings import PROJECT_DIR, wrong_variable

HEADER = "profile,variable,value,why\n"
SHIPPED = sorted({row["profile"] for row in read_file(PROJECT_DIR / "seeds", PROFILES).to_dicts()})


def with_profile(settings, rows: str | None, **changes):
    if rows is not None:
        (settings.reference_dir / "profiles.csv").write_text(HEADER + rows, encoding="utf-8")
    return settings.model_copy(update={"profile": "ours", **changes})


def test_without_a_profile_dbt_gets_what_plumbline_yaml_says(settings):
    assert dbt_vars(settings.model_copy(update={"vars": {"week_start": "sunday"}})) == {"week_start": "sunday"}


def test_a_profile_sets_variables_in_their_own_types_and_plumbline_yaml_wins(settings):
    rows = (
        "ours,incident_link_window_hours,null,no limit\n"
        "ours,failure_causes,[incident],only these\n"
        "ours,week_start,sunday,as there\n"
        "another,rollback_blames,replaced,not ours\n"
    )
    assert dbt_vars(with_profile(settings, rows, vars={"week_start": "monday"})) == {
        "profile": "ours",
        "incident_link_window_hours": None,
        "failure_causes": ["incident"],
        "week_start": "monday",
    }


@pytest.mark.parametrize("profile", SHIPPED)
def test_a_reference_folder_without_the_file_has_the_shipped_profiles(settings, profile):
    assert not (settings.reference_dir / "profiles.csv").exists()
    chosen = dbt_vars(settings.model_copy(update={"profile": profile}))
    assert chosen.pop("profile") == profile
    assert chosen
    assert [problem for item in chosen.items() if (problem := wrong_variable(*item))] == []


def test_the_shipped_profiles_are_those_of_the_tools_that_teams_come_from():
    assert {"devlake", "four_keys", "gitlab"} <= set(SHIPPED)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("theirs,week_start,sunday,x\n", "profile: 'ours' is not in "),
        ("ours,colour,red,x\n", "profiles.csv line 2: 'colour' is no variable of the dbt project"),
        ("\nours,week_start,friday,x\n", "profiles.csv line 3: week_start: 'friday' is not allowed"),
        ("ours,profile,x,x\n", "profiles.csv line 2: 'profile' is no variable"),
        ('ours,week_start,"[",x\n', "profiles.csv line 2: week_start: '[' is not valid YAML"),
        ("ours,hotfix_blame_window_days,-1,x\n", "profiles.csv line 2: hotfix_blame_window_days: -1 is below 0"),
        ("ours,hotfix_blame_window_days,null,x\n", "profiles.csv line 2: hotfix_blame_window_days: None is not like"),
        ('ours,failure_causes,"[weather]",x\n', "profiles.csv line 2: failure_causes: 'weather' is not allowed"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(settings, rows, says):
    with pytest.raises(ConfigurationError) as caught:
        dbt_vars(with_profile(settings, rows))
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
