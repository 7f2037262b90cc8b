"""The release history of an app, and the plan that restores the previous state."""
