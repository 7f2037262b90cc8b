"""The world as JSON and as a file, so that it can be copied and outlives the process."""
