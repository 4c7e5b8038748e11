"""Sources: one module a kind; each maps what it reads onto the canonical raw tables."""
