"""Plumbline: an engineering-metrics warehouse for teams that ship JavaScript."""
