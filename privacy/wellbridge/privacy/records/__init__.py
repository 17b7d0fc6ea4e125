"""Record files: how far each child is alike others, and what is recoded until enough are."""
