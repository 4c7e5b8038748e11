"""People are stored as keyed hashes, and the key is kept for its owner alone."""

import hashlib
import hmac
import stat
import unicodedata

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.errors import ConfigurationError
from dagster_project.people import SALT_VARIABLE, People, people_of


def key_of(person: str | None, salt: bytes) -> str | None:
    with duckdb.connect() as connection:
        People(salt).use_in(connection)
        return connection.execute("select person_key(?)", [person]).fetchone()[0]


LOWER_CASE = st.characters(exclude_categories=["Cs"]).filter(lambda character: character == character.lower())
BLANKS = "".join(chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) == "Zs")


@settings(deadline=None, max_examples=50)
@given(
    person=st.text(LOWER_CASE, min_size=1).filter(lambda text: text.strip(BLANKS)),
    salt=st.binary(min_size=1, max_size=200),
)
def test_a_key_is_the_hmac_of_the_person(person, salt):
    normal = person.strip(BLANKS)
    assert key_of(person, salt) == hmac.new(salt, normal.encode(), hashlib.sha256).hexdigest()


def test_case_and_outer_blanks_make_no_other_person():
    assert key_of(" Ada@Example.com ", b"salt") == key_of("ada@example.com", b"salt") != key_of("ada", b"salt")


@pytest.mark.parametrize("person", [None, "", "  "])
def test_nobody_has_no_key(person):
    assert key_of(person, b"salt") is None


def key_in(data_dir) -> str:
    with duckdb.connect() as connection:
        people_of(data_dir).use_in(connection)
        return connection.sql("select person_key('ada')").fetchone()[0]


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    first = key_in(tmp_path / "data")
    assert key_in(tmp_path / "data") == first != key_in(tmp_path / "other")
    (file,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv(SALT_VARIABLE, "sixteen letters!")
    assert key_in(tmp_path) == hmac.new(b"sixteen letters!", b"ada", hashlib.sha256).hexdigest()
    assert not list(tmp_path.iterdir())


def test_a_short_or_damaged_salt_is_refused_without_being_shown(tmp_path, monkeypatch):
    monkeypatch.setenv(SALT_VARIABLE, "short")
    with pytest.raises(ConfigurationError, match=f"{SALT_VARIABLE}: shorter than 16") as caught:
        people_of(tmp_path)
    assert "short;" not in str(caught.value)
    monkeypatch.delenv(SALT_VARIABLE)
    (tmp_path / "people.salt").write_text("torn")
    with pytest.raises(ConfigurationError, match=r"people\.salt: damaged") as caught:
        people_of(tmp_path)
    assert "torn" not in str(caught.value)


def test_the_salt_stands_in_no_statement_and_no_error(tmp_path):
    with duckdb.connect() as connection:
        People(b"a very secret salt").use_in(connection)
        with pytest.raises(duckdb.Error) as caught:
            connection.sql("select person_key('ada') + unknown_column")
        macros = connection.sql("select macro_definition from duckdb_functions() where function_name = 'person_key'")
        assert b"secret" not in str(macros.fetchall()).encode()
        assert "secret" not in str(caught.value)
