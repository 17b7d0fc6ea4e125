"""Outcome measures: what each one says, declared in one place, and how it is counted and shown."""
