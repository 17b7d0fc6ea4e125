"""What may be known: policy, agreements, sealing, table and record protection."""
