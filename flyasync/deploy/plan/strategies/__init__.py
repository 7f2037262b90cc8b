"""The strategies: how a plan changes the machines of a group."""
