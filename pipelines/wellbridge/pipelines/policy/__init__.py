"""The rules at work: what a site's rules are, whether everything keeps them, and what they do to every column."""
