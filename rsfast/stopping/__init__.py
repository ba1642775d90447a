"""When an image is done: what is drawn of it, which rule ends that, and what a rule will cost."""
