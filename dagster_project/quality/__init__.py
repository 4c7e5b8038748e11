"""The quality gate between candidate and published marts.

suites.py       expectations/<table>.yaml, read and validated
engine.py       Great Expectations on DuckDB; the only module that imports it, which takes 9 s of CPU
gate.py         one gate run
record.py       what it found, kept by build id
fingerprint.py  what a table contains, in one checksum
"""
