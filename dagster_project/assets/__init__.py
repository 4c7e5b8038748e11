"""The layers as Dagster assets: raw → dbt → gate → publication → report. Each is thin; the work is in the modules."""
