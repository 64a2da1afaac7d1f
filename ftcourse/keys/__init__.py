"""The answer keys of the exercises, one module a notebook of `nbs/exercises`."""
