"""Tables of counts: what may be shown of them, and the proof that nothing more can be worked out."""
