"""A night: every new delivery through the walk, in one transaction of each store.

run       what a night is asked and what it answers; ends at once where nothing is new
walk      the steps of a night, in order
intake    a delivery until its rows are keyed and de-identified: land, read, parse, validate, link's keys
disputes  deliveries that contradict each other: none of them counts until one is chosen
placing   keyed rows into the warehouse: policy, shape, load
mending   rows of earlier nights whose reason to wait, or right to stay, has changed
answers   held rows whose place a later word has taken
problems  what kept a night from being done, in five parts each
review    held rows for people, and what of them to try again
night     what the steps share: the open stores and the run's counts
tally     the identity read = loaded + unchanged + held + removed
shelf     where rows wait to be placed
stores    both stores, opened for a change that commits in both or in neither
"""
