"""The release history of an app, and the plan that restores what was there before."""
