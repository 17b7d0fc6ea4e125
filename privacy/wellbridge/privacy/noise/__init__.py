"""Noise in published counts: rounding that adds up, cell-key perturbation, differential privacy with its budget."""
