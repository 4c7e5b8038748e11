"""Pages for people, made from the published marts alone."""
