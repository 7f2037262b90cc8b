"""Rate limits: one token bucket per action and identifier, in memory or shared."""
