"""People become keyed hashes before a row reaches the warehouse; this module is the only one that does it."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

from dagster_project.durable import replace_durably
from dagster_project.errors import ConfigurationError

SALT_VARIABLE = "PLUMBLINE_PEOPLE_SALT"
KEY_FILE = "people.salt"
# HMAC's block size for SHA-256 (RFC 2104).
BLOCK_BYTES = 64


class People:
    """HMAC-SHA256 of a login, name or e-mail, case and outer blanks ignored; 64 hexadecimal digits."""

    def __init__(self, salt: bytes) -> None:
        key = hashlib.sha256(salt).digest() if len(salt) > BLOCK_BYTES else salt
        block = key.ljust(BLOCK_BYTES, b"\0")
        self._inner = bytes(byte ^ 0x36 for byte in block)
        self._outer = bytes(byte ^ 0x5C for byte in block)

    def use_in(self, connection) -> None:
        """Make the macro `person_key(text)` available on a DuckDB connection.

        The salt lives in session variables, so that it stands in no statement and no error message.
        """
        connection.execute("set variable people_inner = ?", [self._inner])
        connection.execute("set variable people_outer = ?", [self._outer])
        connection.execute("""
            create or replace temp macro person_key(person) as
                case when nullif(trim(person), '') is not null then sha256(
                    getvariable('people_outer')::blob
                    || unhex(sha256(getvariable('people_inner')::blob || encode(lower(trim(person)))))
                ) end
        """)


def people_of(data_dir: Path) -> People:
    """The hasher of one installation: the key from the environment, else made once in data_dir for its owner alone."""
    if salt := os.environ.get(SALT_VARIABLE):
        if len(salt) < 16:
            raise ConfigurationError(f"{SALT_VARIABLE}: shorter than 16 characters; take a longer random text")
        return People(salt.encode())
    file = data_dir / KEY_FILE
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        # Temporary files are readable by their owner alone; a process killed here leaves no half of a key.
        with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix=f"{KEY_FILE}.", delete=False) as out:
            out.write(secrets.token_hex(32))
        replace_durably(Path(out.name), file)
    salt = file.read_text(encoding="ascii", errors="replace").strip()
    if len(salt) < 16:
        raise ConfigurationError(f"{file}: damaged; restore it from a backup, or delete it and the warehouse with it")
    return People(salt.encode())
