"""Contracts, one module a source kind; importing a module registers its contracts."""
