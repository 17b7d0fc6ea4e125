#!/bin/sh
# Make a virtual environment with the newest suitable Python, or say plainly what is missing.
#
# Usage: scripts/venv.sh DIR        PYTHON=/path/to/python3 chooses the interpreter
#        scripts/venv.sh --check    only say whether one could be made
#
# Debian and Ubuntu split `ensurepip` from Python; `python3 -m venv` then leaves half an environment behind,
# so it is looked for before anything is made.
set -eu

target="$1"
bare=""

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_pip() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    suits "$python" || continue
    if has_pip "$python"; then
        [ "$target" = --check ] && exit 0
        echo "Making $target with $("$python" --version)"
        rm -rf "$target"
        exec "$python" -m venv "$target"
    fi
    bare="${bare:-$python}"
done

if [ -n "$bare" ]; then
    package="$("$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    echo "Python is here ($bare), but the part of it that makes virtual environments is not." >&2
    echo "  do:  apt-get install $package   (Debian, Ubuntu), then the same make command again" >&2
else
    echo "Wellbridge needs Python 3.11 or newer; none was found${PYTHON:+ at $PYTHON}." >&2
    echo "  do:  apt-get install python3 python3-venv   (Debian 12 or newer), or make PYTHON=/path/to/python3" >&2
fi
exit 1
