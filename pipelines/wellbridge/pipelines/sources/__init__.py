"""Source kinds: which member of a delivery holds which record, and which facts a record becomes."""
