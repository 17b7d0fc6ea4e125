"""What records mean: contracts, rules, privacy classes and the warehouse's tables."""
