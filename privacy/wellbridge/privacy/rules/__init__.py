"""The rules as data: what the law asks of a column, a row, a cell, an agreement and a release, and what is stricter.

``book.toml`` holds the rules, ``states.toml`` what states ask beyond them. ``book`` reads and checks both, ``local``
adds a site's own stricter rules, and ``decide`` says what happens to a column where several laws meet.
"""
