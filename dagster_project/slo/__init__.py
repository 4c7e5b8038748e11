"""SLOs as code: OpenSLO v1 files in the reference folder, read, checked, and turned into rows that dbt counts by."""
