"""Whose record is whose: one child, many records, never the sibling, always explainable."""
