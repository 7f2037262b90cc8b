"""One builder, many apps."""
