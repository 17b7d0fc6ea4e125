"""How records move: landing, reading, parsing, validation, identity, loading, runs."""
