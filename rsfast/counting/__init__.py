"""Images → votes, the expensive half: images are checked, drawn around, classified and counted."""
