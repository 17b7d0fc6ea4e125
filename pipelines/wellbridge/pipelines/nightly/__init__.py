"""A night: every new delivery through the walk, in one transaction.

run      the order of a night, its outcome and exit code
intake   a delivery until its rows are keyed and de-identified: land, read, parse, validate, link's keys
placing  keyed rows into the warehouse: policy, shape, load
mending  rows of earlier nights whose reason to wait, or right to stay, has changed
night    what these share: the open stores and the run's counts
tally    the identity read = loaded + unchanged + held + removed
"""
