"""Which source goes where: sources, nightly runs, measures, extracts, reports, the command line."""
