"""Run the command line as ``python -m wellbridge``."""

from wellbridge.pipelines.cli import main

main()
