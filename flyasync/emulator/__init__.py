"""A pretend Fly: the Machines API on 127.0.0.1, written from the published facts and nothing of ours."""
