"""GitHub Actions: annotations, the job summary and the outputs of a step."""
