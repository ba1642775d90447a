"""make fuzz: coverage-guided fuzzing of the readers of other people's files (atheris), outside CI."""
