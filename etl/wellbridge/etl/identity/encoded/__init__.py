"""Encoded linkage: a partner sends keyed filters and tokens of its records, never the records."""
