"""GraphQL as api.fly.io serves it: the schema, and its fields over the records of the world."""
