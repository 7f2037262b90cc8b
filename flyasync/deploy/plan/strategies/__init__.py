"""The strategies, one class each: how the machines of a group change, or how a launch adds some."""
